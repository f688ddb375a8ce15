// The shell's fsck: which disk, and what was found.
#include <ringlet/file.hpp>

#include "boot/reports.hpp"
#include "boot/storage.hpp"
#include "fs/ext4/check.hpp"
#include "fs/partition.hpp"
#include "kernel/console.hpp"
#include "lib/parse.hpp"

namespace ringlet::boot {

namespace {

constexpr char kCtrlC = 3;

void check(TextSink to, fs::BlockDevice& device) {
    const fs::CheckOptions options{.memory_bytes = page_stats().free_pages * kPageSize / 4,
                                   .stopped = [] { return kernel::console_discard_through(kCtrlC); }};
    const auto done = fs::check_ext4(device, options, [&](std::string_view line) { format(to, "{}\n", line); });
    if (!done && done.error() == Error::cancelled) return format(to, "^C\n{}: not checked to the end\n", device.name());
    if (!done) return format(to, "{}: not checked: {}\n", device.name(), done.error());
    if (done->needs_recovery)
        return format(to,
                      "{}: not checked: it is mounted for writing (`mount -o remount,ro PATH` ends that), or was not "
                      "left in order (mounting it once mends that)\n",
                      device.name());
    if (done->problems > options.max_lines) format(to, "and {} more\n", done->problems - options.max_lines);
    if (done->orphans != 0) format(to, "{} files wait to be deleted or cut\n", done->orphans);
    if (done->is_clean())
        format(to, "{}: clean: {} inodes, {} of them directories, and {} blocks in use\n", device.name(), done->inodes,
               done->directories, done->blocks);
    else
        format(to, "{}: {} problem{}\n", device.name(), done->problems, done->problems == 1 ? "" : "s");
}

/// Whether `name` is this disk or one of its partitions.
bool check_named(TextSink to, fs::BlockDevice& disk, std::string_view name) {
    if (name == disk.name()) {
        check(to, disk);
        return true;
    }
    if (!name.starts_with(disk.name())) return false;
    const auto table = fs::read_partition_table(disk);
    if (!table) return false;
    for (const auto& row : table->rows) {
        fs::Partition part = fs::open_partition(disk, row);
        if (part.name() != name) continue;
        check(to, part);
        return true;
    }
    return false;
}

}  // namespace

void report_fsck(TextSink to, std::string_view arguments) {
    char root[32];
    std::string_view name = next_word(arguments);
    if (name.empty()) {
        files().for_each_mount([&](const fs::MountInfo& mount) {
            if (mount.where == "/" && mount.source.size() <= sizeof(root))
                name = {root, mount.source.copy(root, sizeof(root))};
        });
        if (name.empty()) return to("fsck: no disk is mounted at /\n");
    }
    bool found = false;
    for_each_disk([&](fs::BlockDevice& disk) { found = found || check_named(to, disk, name); });
    if (!found) format(to, "fsck: {}: no such disk or partition\n", name);
}

}  // namespace ringlet::boot
