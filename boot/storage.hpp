// From disks to a tree: partitions, filesystems, mounts; how <ringlet/mount.hpp> is done; the flusher; and what is left
// to do when the run ends. Used by boot_main() alone.
#pragma once

#include <span>
#include <string_view>

#include "boot/cmdline.hpp"
#include "fs/block_device.hpp"
#include "fs/inode.hpp"
#include "lib/function_ref.hpp"

namespace ringlet::boot {

struct StorageOptions {
    std::string_view root;                ///< "vda2": only that one is mounted at "/"; empty: the first with an ext4
    bool root_read_only = false;          ///< even if the disk can be written
    std::span<const MountOption> mounts;  ///< besides "/", in their order; lives for ever
    u64 cache_bytes = 0;                  ///< 0: by the size of RAM
    u64 ram_bytes = 0;
};

/// A disk that every listing shows from now on (the shell's `disks`), and one that is gone. Drivers' starters and
/// hot-plug call them. Context: thread, holding nothing of Rank::service or below. `disk` lives for ever.
void add_disk(fs::BlockDevice& disk);
void remove_disk(fs::BlockDevice& disk);
/// In the order in which they came; none comes or goes meanwhile. Context: thread; `visit` neither adds nor removes.
void for_each_disk(FunctionRef<void(fs::BlockDevice&)> visit);

/// What is mounted of disks and partitions, by its name; nothing is mounted or taken off meanwhile. Context: thread.
void for_each_filesystem(FunctionRef<void(std::string_view, fs::FileSystem&)> visit);

/// Every disk is looked at, in order, for what is mounted at "/" (the first filesystem that fits; without any, a
/// memfs), then what the options want besides, then a memfs at "/tmp" where the root has that directory. From then on
/// filesystems can be mounted by name, and are left in order when the run ends. Once.
void mount_disks(const StorageOptions& options);

}  // namespace ringlet::boot
