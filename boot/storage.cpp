#include "boot/storage.hpp"

#include <algorithm>
#include <memory>

#include <ringlet/file.hpp>
#include <ringlet/mount.hpp>

#include "boot/memory_plan.hpp"
#include "fs/ext4/ext4.hpp"
#include "fs/memfs.hpp"
#include "fs/partition.hpp"
#include "kernel/log.hpp"
#include "kernel/mm/pressure.hpp"
#include "kernel/sched/event.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/system.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::boot {

namespace {

using kernel::log;
using kernel::LogLevel;

struct DiskList {
    fs::BlockDevice* all[64] = {};
    usize count = 0;
    std::span<fs::BlockDevice*> span() { return std::span(all).first(count); }
};

/// A disk, or a part of one.
struct Volume {
    fs::BlockDevice* disk = nullptr;
    std::unique_ptr<fs::Partition> partition;  ///< none: the whole disk

    fs::BlockDevice& device() const { return partition ? *partition : *disk; }
    bool overlaps(const Volume& o) const {
        return disk != nullptr && disk == o.disk &&
               (!partition || !o.partition || partition->name() == o.partition->name());
    }
};

struct Mounted {
    std::unique_ptr<fs::FileSystem> filesystem;
    Volume volume;         ///< nothing: in memory
    bool on_tree = false;  ///< false: taken off, but somebody still had a file open
};
/// What has ever been mounted and can still be in use. The lock is held while one is mounted, taken off or flushed, so
/// that each of these finds the others done.
struct Mounts {
    Mounted rows[2 * fs::Vfs::kMaxMounts];
    StorageOptions options;
    bool flushed = false;  ///< there is a flusher

    Mounted* free_row() {
        for (Mounted& row : rows) {
            if (row.filesystem && !row.on_tree && row.filesystem->users() == 0) row = {};
            if (!row.filesystem) return &row;
        }
        return nullptr;
    }
};

// Constant-initialised, and never destroyed. Nobody holds both.
template <class T> union Kept {
    kernel::Guarded<T, kernel::Rank::service, kernel::Mutex> guarded;
    constexpr Kept() : guarded() {}
    ~Kept() {}
    auto lock() { return guarded.lock(); }
};
constinit Kept<DiskList> known_disks;
constinit Kept<Mounts> known_mounts;

/// Disks live for ever, so that one may be looked at while others come and go.
DiskList disks_now() {
    auto disks = known_disks.lock();
    return *disks;
}

bool root_is_mounted() {
    return files().stat("/").has_value();
}

// ---- mounting

constinit kernel::Event flusher_wanted;

/// The last to be asked for memory: what the caches still have must be written before it can be given back.
constinit kernel::MemorySource unwritten{.give = [](void*, usize, kernel::Pressure) {
    flusher_wanted.set();
    return usize{0};
}};

/// Every five seconds, or when somebody needs memory, what has waited long enough goes to its disk.
void flush_for_ever() {
    for (;; flusher_wanted.wait_until(kernel::now() + Duration::from_s(5))) {
        auto mounts = known_mounts.lock();
        files().write_back();
    }
}

void start_flusher(Mounts& mounts) {
    if (mounts.flushed) return;
    auto thread = kernel::ThreadHandle::spawn({.name = "flusher", .priority = 14}, flush_for_ever);
    if (!thread) return log(LogLevel::error, "no flusher: {}", thread.error());
    thread->detach();
    mounts.flushed = true;
}

void log_failure(std::string_view device, std::string_view what) {
    log(LogLevel::error, "{}: {}", device, what);
}

/// Half a KiB each: at most a hundredth of the memory.
u32 inodes_to_keep(const StorageOptions& options) {
    return static_cast<u32>(std::clamp<u64>(options.ram_bytes / 64_KiB, 64, 16384));
}

Result<std::unique_ptr<fs::FileSystem>> open_filesystem(fs::BlockDevice& device, const StorageOptions& options,
                                                        Access access) {
    fs::MountText why;
    const fs::Ext4Options how{.cache_bytes = cache_bytes(options.cache_bytes, options.ram_bytes),
                              .inode_cache = inodes_to_keep(options),
                              .writable = access == Access::read_write && !device.read_only(),
                              .on_failure = log_failure};
    auto mounted = fs::mount_ext4(device, how, why);
    if (!mounted)
        log(LogLevel::error, "{}: cannot mount: {}", device.name(),
            why.length != 0 ? why.view() : to_string(mounted.error()));
    return mounted;
}

/// Mounts `volume`, or a new memfs when that is nothing. What is wrong goes to the log.
Result<> mount_volume(Volume volume, std::string_view where, Access access) {
    auto mounts = known_mounts.lock();
    Mounted* const row = mounts->free_row();
    if (row == nullptr) return fail(Error::no_space);
    const bool on_disk = volume.disk != nullptr;
    for (const Mounted& other : mounts->rows)
        if (other.filesystem && volume.overlaps(other.volume)) return fail(Error::in_use);
    auto filesystem = TRY(on_disk ? open_filesystem(volume.device(), mounts->options, access)
                                  : fs::make_memfs(mounts->options.ram_bytes / 16));
    bool read_only = TRY(filesystem->statfs()).read_only;
    if (access == Access::read_only && !read_only) {
        TRY(filesystem->remount(true));
        read_only = true;
    }
    const std::string_view name = on_disk ? volume.device().name() : std::string_view{};
    if (const auto done = files().mount(where, *filesystem, name); !done) {
        if (on_disk) log(LogLevel::error, "{}: cannot mount at {}: {}", name, where, done.error());
        if (!read_only) (void)filesystem->remount(true);
        return done;
    }
    if (on_disk) log(LogLevel::info, "{}: {} mounted {}at {}", name, "ext4", read_only ? "read-only " : "", where);
    if (!filesystem->warning().empty()) log(LogLevel::warning, "{}: {}", name, filesystem->warning());
    if (on_disk && !read_only) start_flusher(*mounts);
    *row = {std::move(filesystem), std::move(volume), true};
    return {};
}

Result<> unmount_volume(std::string_view where) {
    auto mounts = known_mounts.lock();
    fs::FileSystem* const filesystem = &TRY(files().resolve(where))->filesystem();
    TRY(filesystem->sync());
    TRY(files().unmount(where));
    for (Mounted& row : mounts->rows)
        if (row.filesystem.get() == filesystem) row.on_tree = false;
    // Nothing is written from here on, and the disk says that it was left in order.
    if (const auto done = filesystem->remount(true); !done && done.error() != Error::unsupported)
        log(LogLevel::error, "{}: not left in order: {}", where, done.error());
    (void)mounts->free_row();  // it, unless somebody has just opened a file
    return {};
}

/// The disk or partition called `name`. not_found.
Result<Volume> find_volume(std::string_view name) {
    DiskList disks = disks_now();
    for (fs::BlockDevice* disk : disks.span()) {
        if (disk->name() == name) return Volume{disk, {}};
        if (!name.starts_with(disk->name())) continue;
        const auto table = TRY(fs::read_partition_table(*disk));
        for (const auto& row : table.rows) {
            auto part =
                std::unique_ptr<fs::Partition>(new (std::nothrow) fs::Partition(fs::open_partition(*disk, row)));
            if (!part) return fail(Error::no_memory);
            if (part->name() == name) return Volume{disk, std::move(part)};
        }
    }
    return fail(Error::not_found);
}

Result<> mount_by_name(std::string_view device, std::string_view where, Access access) {
    return mount_volume(device == "memfs" ? Volume{} : TRY(find_volume(device)), where, access);
}

/// The run ends: every disk is written, and says that it was left in order. Open files do not matter any more.
void leave_in_order() {
    auto mounts = known_mounts.lock();
    for (Mounted& row : mounts->rows) {
        if (row.volume.disk == nullptr || !row.filesystem) continue;
        auto done = row.filesystem->remount(true);
        if (!done && done.error() == Error::unsupported) done = row.filesystem->sync();
        if (!done) log(LogLevel::error, "{}: not left in order: {}", row.volume.device().name(), done.error());
    }
}

// ---- looking for "/"

enum class Verdict : u8 { mounted, nothing_there, passed_over };

Verdict consider(Volume volume, const StorageOptions& options) {
    fs::BlockDevice& device = volume.device();
    if (!options.root.empty() && device.name() != options.root) return Verdict::passed_over;
    const auto is_ext4 = fs::looks_like_ext4(device);
    if (!is_ext4) {
        log(LogLevel::error, "{}: cannot read: {}", device.name(), is_ext4.error());
        return Verdict::passed_over;
    }
    if (!*is_ext4) return Verdict::nothing_there;
    const Access access = options.root_read_only ? Access::read_only : Access::read_write;
    return mount_volume(std::move(volume), "/", access) ? Verdict::mounted : Verdict::passed_over;
}

/// Mounts the first filesystem on `disk` that fits at "/" if nothing is there yet. What is wrong with a disk goes to
/// the log, by name, and the next one has its chance.
void mount_root(fs::BlockDevice& disk, const StorageOptions& options) {
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
        if (consider({&disk, {}}, options) == Verdict::nothing_there)
            log(LogLevel::warning, "{}: no filesystem known here", disk.name());
        return;
    }
    for (const auto& row : table->rows) {
        Volume part{&disk, {}};
        part.partition.reset(new (std::nothrow) fs::Partition(fs::open_partition(disk, row)));
        if (!part.partition) return log(LogLevel::error, "{}: out of memory", disk.name());
        if (consider(std::move(part), options) == Verdict::mounted) return;
    }
    log(LogLevel::warning, "{}: no filesystem known in its {} partitions", disk.name(), table->rows.size());
}

/// A memfs at "/" if nothing was mounted; what the command line wants besides; a memfs at a "/tmp" that is on a disk.
void mount_others(const StorageOptions& options) {
    const auto mounted = [](std::string_view device, std::string_view where, Access access) {
        const auto done = mount_by_name(device, where, access);
        if (!done) log(LogLevel::error, "{}: cannot mount at {}: {}", device, where, done.error());
        return done.has_value();
    };
    const bool in_memory = !root_is_mounted();
    if (in_memory) {
        if (!options.root.empty())
            log(LogLevel::error, "root={}: there is no such disk or it could not be mounted", options.root);
        if (!mounted("memfs", "/", Access::read_write)) return;
        (void)files().create_directory("/tmp", 01777);
    }
    for (const MountOption& m : options.mounts)
        mounted(m.device, m.where, m.read_only ? Access::read_only : Access::read_write);
    const auto root = files().stat("/"), tmp = files().stat("/tmp");
    if (root && tmp && tmp->type == NodeType::directory && tmp->filesystem == root->filesystem && !in_memory)
        mounted("memfs", "/tmp", Access::read_write);
}

}  // namespace

void add_disk(fs::BlockDevice& disk) {
    auto disks = known_disks.lock();
    if (disks->count == std::size(disks->all))
        return log(LogLevel::warning, "{}: left alone, there are {} disks already", disk.name(), disks->count);
    disks->all[disks->count++] = &disk;
}

void remove_disk(fs::BlockDevice& disk) {
    auto disks = known_disks.lock();
    disks->count -= std::ranges::remove(disks->span(), &disk).size();
}

void for_each_disk(FunctionRef<void(fs::BlockDevice&)> visit) {
    auto disks = known_disks.lock();
    for (fs::BlockDevice* disk : disks->span()) visit(*disk);
}

void for_each_filesystem(FunctionRef<void(std::string_view, fs::FileSystem&)> visit) {
    auto mounts = known_mounts.lock();
    for (Mounted& row : mounts->rows)
        if (row.filesystem && row.volume.disk != nullptr) visit(row.volume.device().name(), *row.filesystem);
}

void mount_disks(const StorageOptions& options) {
    {
        auto mounts = known_mounts.lock();
        mounts->options = options;
    }
    kernel::pressure_register(unwritten);  // before any cache: the last registered is asked first
    set_mounter({.mount = mount_by_name, .unmount = unmount_volume});
    kernel::set_last_step(leave_in_order);
    DiskList disks = disks_now();
    for (fs::BlockDevice* disk : disks.span()) mount_root(*disk, options);
    if (disks.count == 0) log(LogLevel::warning, "no disk: / is in memory");
    mount_others(options);
}

}  // namespace ringlet::boot
