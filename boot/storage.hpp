// From disks to a tree: partitions, filesystems, mounts. Used by boot_main() alone.
#pragma once

#include <string_view>

#include "fs/block_device.hpp"
#include "lib/function_ref.hpp"

namespace ringlet::boot {

struct StorageOptions {
    std::string_view root;  ///< "vda2": only that one is mounted at "/"; empty: the first with an ext4 filesystem
    u64 cache_bytes = 0;    ///< 0: by the size of RAM
    u64 ram_bytes = 0;
};

/// A disk that every listing shows from now on (the shell's `disks`), and one that is gone. Drivers' starters and
/// hot-plug call them. Context: thread, with no lock held. `disk` outlives its entry.
void add_disk(fs::BlockDevice& disk);
void remove_disk(fs::BlockDevice& disk);
/// In the order in which they came; none comes or goes meanwhile. Context: thread; `visit` neither adds nor removes.
void for_each_disk(FunctionRef<void(fs::BlockDevice&)> visit);

/// Every disk is looked at, in order, then finish_mounts().
void mount_disks(const StorageOptions& options);

/// Looks for filesystems on `disk` and mounts the first that fits at "/" if nothing is there yet. What is wrong with a
/// disk goes to the log, by name, and the next one has its chance. `disk` lives for ever.
void mount_disk(fs::BlockDevice& disk, const StorageOptions& options);
/// After all disks: a memfs at "/" if nothing was mounted, and one at "/tmp" where that exists.
void finish_mounts(const StorageOptions& options);

}  // namespace ringlet::boot
