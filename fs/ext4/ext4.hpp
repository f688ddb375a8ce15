// ext4, ext3 and ext2 as mke2fs makes them, read-only. docs/filesystem.md says what is understood.
// Context: thread.
#pragma once

#include <memory>

#include "fs/block_device.hpp"
#include "fs/inode.hpp"

namespace ringlet::fs {

/// Why a mount failed, in words ("unsupported feature: encrypt"), or what was remarkable about it.
struct MountText {
    char text[120] = {};
    usize length = 0;
    std::string_view view() const { return {text, length}; }
};

struct Ext4Options {
    u64 cache_bytes = 1 << 20;  ///< bound of the block cache: recommended_cache_bytes(ram)
    u32 inode_cache = 256;      ///< inodes kept that nobody uses
};

/// True when `device` begins like an ext2/3/4 filesystem (magic only). io.
Result<bool> looks_like_ext4(BlockDevice& device);

/// Reads and checks superblock and group descriptors. `device` outlives the filesystem. unsupported, corrupt,
/// io, no_memory, not_found (no ext4 there); `why` says it in words.
Result<std::unique_ptr<FileSystem>> mount_ext4(BlockDevice& device, const Ext4Options& options, MountText& why);

}  // namespace ringlet::fs
