// cp, mv, ln, rm, mkdir, rmdir, touch, write: what changes the tree.
#include <algorithm>
#include <new>

#include <ringlet/system.hpp>

#include "lib/parse.hpp"
#include "shell/commands/walk.hpp"

namespace ringlet::shell {

namespace {

/// Two absolute paths on the heap: together too large for the stack.
struct Paths {
    char a[fs::kPathMax], b[fs::kPathMax];
    PathBuffer inside;
};

std::string_view last_name(std::string_view path) {
    return substring(path, path.rfind('/') + 1);
}

using Action = Outcome (*)(Shell&, std::string_view command, std::string_view from, std::string_view to, bool flag);

/// `cp A B`, `cp A... DIRECTORY`: `act` on each, into the directory if the last word is one.
Outcome into(Shell& shell, const Arguments& args, usize first, bool flag, Action act) {
    if (args.count < first + 2) return Outcome::usage;
    const std::string_view command = args[0], last = args[args.count - 1];
    const std::unique_ptr<Paths> paths(new (std::nothrow) Paths);
    if (!paths) return complain(command, last, Error::no_memory);
    const auto to = shell.absolute(last, paths->b);
    if (!to) return complain(command, last, to.error());
    const auto there = files().stat(*to);
    const bool directory = there && there->type == NodeType::directory;
    if (!directory && (args.count > first + 2 || last.ends_with('/')))
        return complain(command, last, there ? Error::not_directory : there.error());
    Outcome outcome = Outcome::done;
    for (usize i = first; i + 1 < args.count; ++i) {
        const auto from = shell.absolute(args[i], paths->a);
        const auto put =
            from ? paths->inside.set(*to, directory ? last_name(*from) : "") : Result<>(fail(from.error()));
        if (!put) return complain(command, args[i], put.error());
        if (act(shell, command, *from, paths->inside.view(), flag) != Outcome::done) outcome = Outcome::failed;
    }
    return outcome;
}

/// `act` on each path that is named.
template <class F> Outcome each(Shell& shell, const Arguments& args, usize first, F act) {
    if (first >= args.count) return Outcome::usage;
    const std::unique_ptr<Paths> paths(new (std::nothrow) Paths);
    if (!paths) return complain(args[0], args[first], Error::no_memory);
    Outcome outcome = Outcome::done;
    for (usize i = first; i < args.count; ++i) {
        const auto path = shell.absolute(args[i], paths->a);
        const auto done = path ? act(*path) : Result<>(fail(path.error()));
        if (done) continue;
        outcome = Outcome::failed;
        if (done.error() != Error::cancelled) complain(args[0], args[i], done.error());
    }
    return outcome;
}

Outcome move_one(Shell& shell, std::string_view command, std::string_view from, std::string_view to, bool) {
    const auto done = files().rename(from, to);
    if (done) return Outcome::done;
    if (done.error() != Error::cross_device) return complain(command, from, done.error());
    const Outcome copied = copy_tree(shell, command, from, to, true);
    return copied == Outcome::done ? remove_tree(shell, command, from) : copied;
}

/// Each directory on the way that is missing. `path` is absolute and has no "..".
Result<> make_all(std::string_view path) {
    for (usize end = 0; end != path.npos;) {
        end = path.find('/', end + 1);
        const auto part = substring(path, 0, end);
        const auto made = files().create_directory(part);
        if (made || (made.error() != Error::exists && made.error() != Error::read_only)) {
            if (!made) return made;
            continue;
        }
        const auto s = files().stat(part);
        if (!s) return made;
        if (s->type != NodeType::directory) return fail(end == path.npos ? Error::exists : Error::not_directory);
    }
    return {};
}

Result<> touch_one(std::string_view path) {
    const u64 ns = wall_clock_ns();
    const Timestamp time{static_cast<i64>(ns / 1'000'000'000), static_cast<u32>(ns % 1'000'000'000)};
    if (!files().stat(path)) TRY(files().open(path, OpenMode::create));
    return files().set_attributes(path, {.accessed = time, .modified = time});
}

}  // namespace

Outcome cp(Shell& shell, const Arguments& args) {
    bool all = false;
    usize first;
    if (!read_flags(args, "r", {&all, 1}, first)) return Outcome::usage;
    return into(shell, args, first, all, copy_tree);
}

Outcome mv(Shell& shell, const Arguments& args) {
    usize first;
    if (!read_flags(args, "", {}, first)) return Outcome::usage;
    return into(shell, args, first, false, move_one);
}

Outcome ln(Shell& shell, const Arguments& args) {
    bool symbolic = false;
    usize first;
    if (!read_flags(args, "s", {&symbolic, 1}, first)) return Outcome::usage;
    if (!symbolic)
        return into(shell, args, first, false,
                    [](Shell&, std::string_view command, std::string_view from, std::string_view to, bool) {
                        const auto done = files().link(from, to);
                        return done ? Outcome::done : complain(command, to, done.error());
                    });
    if (args.count != first + 2) return Outcome::usage;
    // The target is what was typed: it is looked up from where the link is.
    const Arguments name{.words = {args[0], args[first + 1]}, .count = 2, .rest = {}};
    return each(shell, name, 1, [&](std::string_view path) { return files().symlink(args[first], path); });
}

Outcome rm(Shell& shell, const Arguments& args) {
    bool flags[2] = {};
    usize first;
    if (!read_flags(args, "rf", flags, first)) return Outcome::usage;
    return each(shell, args, first, [&](std::string_view path) -> Result<> {
        const auto s = files().lstat(path);
        if (!s && s.error() == Error::not_found && flags[1]) return {};
        if (!s || s->type != NodeType::directory || !flags[0]) return files().unlink(path);
        if (path == "/") return fail(Error::in_use);
        return remove_tree(shell, args[0], path) == Outcome::done ? Result<>() : fail(Error::cancelled);
    });
}

Outcome mkdir(Shell& shell, const Arguments& args) {
    bool all = false;
    usize first;
    if (!read_flags(args, "p", {&all, 1}, first)) return Outcome::usage;
    return each(shell, args, first,
                [&](std::string_view path) { return all ? make_all(path) : files().create_directory(path); });
}

Outcome rmdir(Shell& shell, const Arguments& args) {
    return each(shell, args, 1, [](std::string_view path) { return files().remove_directory(path); });
}

Outcome touch(Shell& shell, const Arguments& args) {
    return each(shell, args, 1, touch_one);
}

Outcome write(Shell& shell, const Arguments& args) {
    bool append = false;
    usize first;
    if (!read_flags(args, "a", {&append, 1}, first) || first == args.count) return Outcome::usage;
    char line[LineEditor::kMaxLine + 1];
    usize used = 0;
    for (usize i = first + 1; i < args.count; ++i) {
        if (i != first + 1) line[used++] = ' ';
        used = static_cast<usize>(std::ranges::copy(args[i], line + used).out - line);
    }
    line[used++] = '\n';
    const Arguments name{.words = {args[0], args[first]}, .count = 2, .rest = {}};
    return each(shell, name, 1, [&](std::string_view path) -> Result<> {
        File file = TRY(files().open(path, OpenMode::create | (append ? OpenMode::append : OpenMode::truncate)));
        Bytes left = std::as_bytes(std::span(line).first(used));
        while (!left.empty()) left = left.subspan(TRY(file.write(left)));
        return {};
    });
}

}  // namespace ringlet::shell
