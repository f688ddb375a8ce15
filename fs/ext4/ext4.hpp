// ext4, ext3 and ext2 as mke2fs makes them. docs/filesystem.md says what is understood.
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
    /// Mounts it so that it can be written; where that cannot be, read-only with a warning that says why.
    bool writable = false;
    /// Called once when an error has made it read-only, with the device's name and what happened. Context: any thread
    /// that writes, with locks of the filesystem held: it may log.
    void (*on_failure)(std::string_view device, std::string_view what) = nullptr;
};

/// True when `device` begins like an ext2/3/4 filesystem (magic only). io.
Result<bool> looks_like_ext4(BlockDevice& device);

/// Reads and checks superblock and group descriptors. `device` outlives the filesystem. unsupported, corrupt,
/// io, no_memory, not_found (no ext4 there); `why` says it in words.
Result<std::unique_ptr<FileSystem>> mount_ext4(BlockDevice& device, const Ext4Options& options, MountText& why);

}  // namespace ringlet::fs
