// mount, umount, df, du, sync, fstrim, hexdump: filesystems as a whole, and what is in files.
#include <new>

#include <ringlet/mount.hpp>

#include "shell/commands/walk.hpp"

namespace ringlet::shell {

namespace {

void list_mounts() {
    files().for_each_mount([](const fs::MountInfo& m) {
        print("{} on {} ({}{}{})\n", m.statfs.type, m.where, m.source, m.source.empty() ? "" : ", ",
              m.statfs.read_only ? "ro" : "rw");
        if (!m.warning.empty()) print("  warning: {}\n", m.warning);
    });
}

Outcome outcome_of(std::string_view command, std::string_view subject, const Result<>& done) {
    return done ? Outcome::done : complain(command, subject, done.error());
}

}  // namespace

Outcome mount(Shell& shell, const Arguments& args) {
    if (args.count == 1) return list_mounts(), Outcome::done;
    // `mount -o remount,ro PATH`, `mount [-o ro] DEVICE PATH [ro]`
    usize first = 1;
    bool again = false, read_only = false;
    const auto understood = [&](std::string_view word) {
        again = word.starts_with("remount,");
        if (again) word.remove_prefix(8);
        read_only = word == "ro";
        return word == "ro" || word == "rw";
    };
    if (args[1] == "-o") {
        if (!understood(args[2])) return Outcome::usage;
        first = 3;
    }
    const usize named = again ? first : first + 1;  // the path
    const std::string_view access = args[named + 1];
    if (args.count <= named || args.count > named + 2) return Outcome::usage;
    if (args.count == named + 2 && (again || (access != "ro" && access != "rw"))) return Outcome::usage;
    read_only |= access == "ro";
    char storage[1024];
    const auto path = shell.absolute(args[named], storage);
    if (!path) return complain("mount", args[named], path.error());
    if (again) return outcome_of("mount", args[named], files().remount(*path, read_only));
    return outcome_of("mount", args[first],
                      ringlet::mount(args[first], *path, read_only ? Access::read_only : Access::read_write));
}

Outcome umount(Shell& shell, const Arguments& args) {
    if (args.count != 2) return Outcome::usage;
    char storage[1024];
    const auto path = shell.absolute(args[1], storage);
    return outcome_of("umount", args[1], path ? unmount(*path) : fail(path.error()));
}

Outcome df(Shell&, const Arguments& args) {
    bool files_wanted = false;
    usize first;
    if (!read_flags(args, "i", {&files_wanted, 1}, first) || first != args.count) return Outcome::usage;
    print("{:<10} {:>10} {:>10} {:>10}  {}\n", "Type", files_wanted ? "Files" : "Size", "Used", "Free", "Mounted on");
    files().for_each_mount([&](const fs::MountInfo& m) {
        const fs::StatFs& s = m.statfs;
        char text[3][16];
        const u64 total = files_wanted ? s.files : s.blocks, free = files_wanted ? s.free_files : s.free_blocks;
        const auto shown = [&](u64 n, unsigned i) -> std::string_view {
            return files_wanted ? format_to(text[i], "{}", n) : human_size(n * s.block_size, text[i]);
        };
        print("{:<10} {:>10} {:>10} {:>10}  {}\n", s.type, shown(total, 0), shown(total - free, 1), shown(free, 2),
              m.where);
    });
    return Outcome::done;
}

Outcome sync(Shell&, const Arguments& args) {
    if (args.count != 1) return Outcome::usage;
    return outcome_of("sync", "/", files().sync());
}

Outcome fstrim(Shell& shell, const Arguments& args) {
    if (args.count != 2) return Outcome::usage;
    char storage[1024], size[16];
    const auto path = shell.absolute(args[1], storage);
    const auto done = path ? files().trim(*path) : fail(path.error());
    if (!done) return complain("fstrim", args[1], done.error());
    print("{}: {} trimmed\n", args[1], human_size(*done, size));
    return Outcome::done;
}

Outcome du(Shell& shell, const Arguments& args) {
    const std::string_view what = args.count == 1 ? std::string_view(".") : args[1];
    if (args.count > 2) return Outcome::usage;
    struct Work {
        TreeWalk walk;
        char path[fs::kPathMax];
        u64 sectors[TreeWalk::kDepth + 2] = {};  ///< of the directories that the walk is in
    };
    const std::unique_ptr<Work> work(new (std::nothrow) Work);
    if (!work) return complain("du", what, Error::no_memory);
    const auto path = shell.absolute(what, work->path);
    if (!path) return complain("du", what, path.error());
    const auto done = work->walk.run(*path, [&](std::string_view at, NodeType, When when) -> Result<> {
        if (shell.interrupted()) return fail(Error::cancelled);
        const usize depth = work->walk.depth();  // the directories that `at` is in
        u64* const sum = &work->sectors[depth];
        if (when == When::before) sum[1] = 0;
        if (when != When::after) return sum[when == When::before] += TRY(files().lstat(at)).sectors, Result<>();
        print("{:>10} KiB  {}\n", (sum[1] + 1) / 2, at);
        sum[0] += sum[1];
        return {};
    });
    if (done && work->walk.depth() == 0 && work->sectors[0] != 0 && work->sectors[1] == 0)
        print("{:>10} KiB  {}\n", (work->sectors[0] + 1) / 2, *path);  // not a directory
    return outcome_of("du", work->walk.path(), done);
}

Outcome hexdump(Shell& shell, const Arguments& args) {
    if (args.count != 2) return Outcome::usage;
    char storage[1024];
    const auto path = shell.absolute(args[1], storage);
    auto file = path ? files().open(*path) : fail(path.error());
    if (!file) return complain("hexdump", args[1], file.error());
    for (u64 offset = 0; !shell.interrupted();) {
        u8 row[16];
        const auto n = file->read_at(offset, std::as_writable_bytes(std::span(row)));
        if (!n) return complain("hexdump", args[1], n.error());
        print("{:08x}", offset);
        if (*n == 0) return print("\n"), Outcome::done;
        ConsoleWriter out;
        for (usize i = 0; i < 16; ++i)
            i < *n ? format(out, "{}{:02x}", i == 8 ? "  " : " ", row[i]) : out(i == 8 ? "    " : "   ");
        out("  |");
        for (usize i = 0; i < *n; ++i) format(out, "{}", row[i] >= 0x20 && row[i] < 0x7f ? char(row[i]) : '.');
        out("|\n");
        offset += *n;
    }
    return Outcome::failed;
}

}  // namespace ringlet::shell
