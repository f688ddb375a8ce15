// Is an ext2, ext3 or ext4 filesystem consistent? Reads the disk itself, past every mount, and never writes.
// docs/filesystem.md says what is looked at. Context: thread.
#pragma once

#include <string_view>

#include "fs/block_device.hpp"
#include "lib/function_ref.hpp"

namespace ringlet::fs {

struct CheckOptions {
    u64 memory_bytes = 8 << 20;   ///< bound for tables: a bit per block, six bytes per inode, twelve per directory
    u64 cache_bytes = 256 << 10;  ///< bound of a block cache of its own, beside that; at least eight blocks
    u32 max_lines = 40;           ///< of problems that are told; the rest is counted
    bool (*stopped)() = nullptr;  ///< asked every 64 blocks: true ends the check. Context: the caller's thread
};

struct CheckReport {
    u64 problems = 0;
    bool needs_recovery = false;  ///< nothing was looked at: the journal must be replayed first
    u32 inodes = 0, directories = 0, orphans = 0;
    u64 blocks = 0;  ///< in use
    bool is_clean() const { return problems == 0 && !needs_recovery; }
};

/// Each problem goes to `tell`, a line without its end: "inode 14: block 8213 is used twice". Nobody may change the
/// filesystem meanwhile. Where the first superblock cannot be right, a copy is used, and that is a problem. not_found:
/// no such filesystem; unsupported: a feature that is not understood, or bigalloc (told); too_large: more memory would
/// be needed than `options` allow; no_memory; cancelled: `stopped`; and what the device says, except io: a block that
/// cannot be read is a problem.
Result<CheckReport> check_ext4(BlockDevice& device, const CheckOptions& options,
                               FunctionRef<void(std::string_view)> tell);

}  // namespace ringlet::fs
