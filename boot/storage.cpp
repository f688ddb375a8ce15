#include "boot/storage.hpp"

#include <algorithm>

#include <ringlet/file.hpp>

#include "fs/block_cache.hpp"
#include "fs/ext4/ext4.hpp"
#include "fs/memfs.hpp"
#include "fs/partition.hpp"
#include "kernel/log.hpp"
#include "kernel/sched/mutex.hpp"

namespace ringlet::boot {

namespace {

using kernel::log;
using kernel::LogLevel;

// Constant-initialised, and never destroyed.
struct DiskList {
    fs::BlockDevice* all[64] = {};
    usize count = 0;
    std::span<fs::BlockDevice*> span() { return std::span(all).first(count); }
};
constinit union Holder {
    kernel::Guarded<DiskList, kernel::Rank::application, kernel::Mutex> disks;
    constexpr Holder() : disks() {}
    ~Holder() {}
} known;

bool root_is_mounted() {
    bool found = false;
    files().for_each_mount([&](const fs::MountInfo&) { found = true; });
    return found;
}

/// True: `device` is mounted now. `quiet`: not being ext4 is no news.
bool mount_root(fs::BlockDevice& device, const StorageOptions& options) {
    fs::MountText why;
    const fs::Ext4Options how{.cache_bytes = options.cache_bytes != 0 ? options.cache_bytes
                                                                      : fs::recommended_cache_bytes(options.ram_bytes),
                              .inode_cache = options.ram_bytes < 16_MiB ? 64u : 256u};
    auto mounted = fs::mount_ext4(device, how, why);
    if (!mounted) {
        log(LogLevel::error, "{}: cannot mount: {}", device.name(),
            why.length != 0 ? why.view() : to_string(mounted.error()));
        return false;
    }
    fs::FileSystem& filesystem = *mounted->release();  // mounted for ever
    if (const auto done = files().mount("/", filesystem); !done) {
        log(LogLevel::error, "{}: cannot mount at /: {}", device.name(), done.error());
        return false;
    }
    log(LogLevel::info, "{}: ext4 mounted read-only at /", device.name());
    if (!filesystem.warning().empty()) log(LogLevel::warning, "{}: {}", device.name(), filesystem.warning());
    return true;
}

enum class Verdict : u8 { mounted, nothing_there, passed_over };

Verdict consider(fs::BlockDevice& device, const StorageOptions& options) {
    if (!options.root.empty() && device.name() != options.root) return Verdict::passed_over;
    const auto is_ext4 = fs::looks_like_ext4(device);
    if (!is_ext4) {
        log(LogLevel::error, "{}: cannot read: {}", device.name(), is_ext4.error());
        return Verdict::passed_over;
    }
    if (!*is_ext4) return Verdict::nothing_there;
    return mount_root(device, options) ? Verdict::mounted : Verdict::passed_over;
}

}  // namespace

void add_disk(fs::BlockDevice& disk) {
    auto disks = known.disks.lock();
    if (disks->count == std::size(disks->all))
        return log(LogLevel::warning, "{}: left alone, there are {} disks already", disk.name(), disks->count);
    disks->all[disks->count++] = &disk;
}

void remove_disk(fs::BlockDevice& disk) {
    auto disks = known.disks.lock();
    disks->count -= std::ranges::remove(disks->span(), &disk).size();
}

void for_each_disk(FunctionRef<void(fs::BlockDevice&)> visit) {
    auto disks = known.disks.lock();
    for (fs::BlockDevice* disk : disks->span()) visit(*disk);
}

void mount_disks(const StorageOptions& options) {
    bool any = false;
    for_each_disk([&](fs::BlockDevice& disk) {
        any = true;
        mount_disk(disk, options);
    });
    if (!any) log(LogLevel::warning, "no disk: / is in memory");
    finish_mounts(options);
}

void mount_disk(fs::BlockDevice& disk, const StorageOptions& options) {
    log(LogLevel::info, "{}: {} MiB{}", disk.name(), disk.sectors() / 2048, disk.read_only() ? ", read-only" : "");
    if (root_is_mounted()) return;
    const auto table = fs::read_partition_table(disk);
    if (!table) {
        log(LogLevel::error, "{}: partition table: {}", disk.name(), table.error());
        return;
    }
    if (table->from_backup)
        log(LogLevel::warning, "{}: the primary partition table is damaged, the backup is used", disk.name());
    if (table->kind == fs::TableKind::none) {
        if (consider(disk, options) == Verdict::nothing_there)
            log(LogLevel::warning, "{}: no filesystem known here", disk.name());
        return;
    }
    for (const auto& row : table->rows) {
        auto* part = new (std::nothrow) fs::Partition(fs::open_partition(disk, row));
        if (part == nullptr) return log(LogLevel::error, "{}: out of memory", disk.name());
        if (consider(*part, options) == Verdict::mounted) return;  // the mount uses `part` for ever
        delete part;
    }
    log(LogLevel::warning, "{}: no filesystem known in its {} partitions", disk.name(), table->rows.size());
}

void finish_mounts(const StorageOptions& options) {
    if (root_is_mounted()) return;
    if (!options.root.empty())
        log(LogLevel::error, "root={}: there is no such disk or it could not be mounted", options.root);
    auto memory = fs::make_memfs(options.ram_bytes / 16);
    if (!memory) return log(LogLevel::error, "no filesystem at /: {}", memory.error());
    if (const auto done = files().mount("/", *memory->release()); !done)
        log(LogLevel::error, "no filesystem at /: {}", done.error());
}

}  // namespace ringlet::boot
