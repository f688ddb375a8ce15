// ls, cat, cd, pwd, stat: the tree.
#include <algorithm>
#include <memory>
#include <new>

#include "lib/parse.hpp"
#include "shell/commands/commands.hpp"

namespace ringlet::shell {

namespace {

char type_letter(NodeType t) {
    switch (t) {
    case NodeType::directory:
        return 'd';
    case NodeType::symlink:
        return 'l';
    case NodeType::char_device:
        return 'c';
    case NodeType::block_device:
        return 'b';
    case NodeType::fifo:
        return 'p';
    case NodeType::socket:
        return 's';
    case NodeType::file:
        break;
    }
    return '-';
}

std::string_view type_name(NodeType t) {
    switch (t) {
    case NodeType::directory:
        return "directory";
    case NodeType::symlink:
        return "symbolic link";
    case NodeType::char_device:
        return "character device";
    case NodeType::block_device:
        return "block device";
    case NodeType::fifo:
        return "fifo";
    case NodeType::socket:
        return "socket";
    case NodeType::file:
        break;
    }
    return "regular file";
}

std::string_view mode_text(const Stat& s, std::span<char, 10> to) {
    to[0] = type_letter(s.type);
    for (unsigned i = 0; i < 9; ++i) to[i + 1] = (s.mode >> (8 - i)) & 1 ? "rwx"[i % 3] : '-';
    return {to.data(), to.size()};
}

/// Control characters of a file name must not reach the terminal.
void print_name(std::string_view name) {
    for (const char c : name) print("{}", static_cast<u8>(c) < 0x20 || c == 0x7f ? '?' : c);
}

void print_long(std::string_view directory, std::string_view name) {
    char path[fs::kPathMax], mode[10], target[256], date[32];
    const auto full = fs::join_path(directory, name, path);
    const auto s = full ? files().lstat(*full) : Result<Stat>(fail(full.error()));
    if (!s) {
        print_name(name);
        print(": {}\n", s.error());
        return;
    }
    print("{} {:3} {:>10} {} ", mode_text(*s, mode), s->links, s->size, date_text(s->modified.seconds, date));
    print_name(name);
    if (s->type == NodeType::symlink)
        if (const auto n = files().read_link(*full, target)) {
            print(" -> ");
            print_name({target, *n});
        }
    print("\n");
}

template <class Visit> Result<> for_each_entry(std::string_view path, bool all, Visit visit) {
    auto directory = TRY(files().open_directory(path));
    DirEntry entry;
    for (;;) {
        if (!TRY(directory.next(entry))) return {};
        if (!all && entry.name().starts_with('.')) continue;
        if (!visit(entry.name(), entry.type)) return {};
    }
}

/// The entries of one directory, sorted by name. Read twice: to count, and to copy.
class Listing {
public:
    /// Error::no_memory also when there are so many that the order of the disk must do.
    Result<> read(std::string_view path, bool all) {
        usize rows = 0, bytes = 0;
        TRY(for_each_entry(path, all, [&](std::string_view name, NodeType) {
            bytes += name.size();
            return ++rows <= kMaxRows;
        }));
        if (rows > kMaxRows) return fail(Error::no_memory);
        rows_.reset(new (std::nothrow) Row[rows]);
        text_.reset(new (std::nothrow) char[bytes]);
        if (rows_ == nullptr || text_ == nullptr) return fail(Error::no_memory);
        usize used = 0;
        TRY(for_each_entry(path, all, [&](std::string_view name, NodeType type) {
            if (count_ == rows || name.size() > bytes - used) return false;  // it has grown meanwhile
            rows_[count_++] = {{&text_[used], name.size()}, type};
            std::ranges::copy(name, &text_[used]);
            used += name.size();
            return true;
        }));
        const auto by_name = [](const Row& a, const Row& b) { return a.name < b.name; };
        std::make_heap(rows_.get(), rows_.get() + count_, by_name);  // small code, no deep recursion
        std::sort_heap(rows_.get(), rows_.get() + count_, by_name);
        return {};
    }
    template <class Visit> void for_each(Visit visit) const {
        for (usize i = 0; i < count_ && visit(rows_[i].name, rows_[i].type); ++i) {
        }
    }

private:
    static constexpr usize kMaxRows = 4096;
    struct Row {
        std::string_view name;
        NodeType type;
    };
    std::unique_ptr<Row[]> rows_;
    std::unique_ptr<char[]> text_;
    usize count_ = 0;
};

Outcome list(Shell& shell, std::string_view what, bool detailed, bool all) {
    char storage[fs::kPathMax];
    const auto path = shell.absolute(what, storage);
    if (!path) return complain("ls", what, path.error());
    const auto s = files().stat(*path);
    if (!s) return complain("ls", what, s.error());
    if (s->type != NodeType::directory) {
        if (detailed)
            print_long("/", *path);
        else
            print("{}\n", what);
        return Outcome::done;
    }
    const auto print_entry = [&](std::string_view name, NodeType type) {
        if (shell.interrupted()) return false;
        if (detailed) {
            print_long(*path, name);
        } else {
            print_name(name);
            print("{}\n", type == NodeType::directory ? "/" : "");
        }
        return true;
    };
    Listing listing;
    auto done = listing.read(*path, all);
    if (done)
        listing.for_each(print_entry);
    else if (done.error() == Error::no_memory)
        done = for_each_entry(*path, all, print_entry);
    return done ? Outcome::done : complain("ls", what, done.error());
}

Outcome print_file(Shell& shell, std::string_view what) {
    char storage[fs::kPathMax];
    const auto path = shell.absolute(what, storage);
    if (!path) return complain("cat", what, path.error());
    auto file = files().open(*path);
    if (!file) return complain("cat", what, file.error());
    std::byte buffer[1024];
    while (!shell.interrupted()) {
        const auto n = file->read(buffer);
        if (!n) return complain("cat", what, n.error());
        if (*n == 0) break;
        kernel::console_write({reinterpret_cast<const char*>(buffer), *n});
    }
    return Outcome::done;
}

}  // namespace

Outcome ls(Shell& shell, const Arguments& args) {
    bool detailed = false, all = false;
    usize first = 1;
    for (; first < args.count && args[first].starts_with('-') && args[first].size() > 1; ++first)
        for (const char c : substring(args[first], 1)) {
            if (c == 'l')
                detailed = true;
            else if (c == 'a')
                all = true;
            else
                return Outcome::usage;
        }
    if (first == args.count) return list(shell, ".", detailed, all);
    Outcome outcome = Outcome::done;
    for (usize i = first; i < args.count; ++i) {
        if (args.count - first > 1) print("{}{}:\n", i == first ? "" : "\n", args[i]);
        if (list(shell, args[i], detailed, all) != Outcome::done) outcome = Outcome::failed;
    }
    return outcome;
}

Outcome cat(Shell& shell, const Arguments& args) {
    if (args.count < 2) return Outcome::usage;
    Outcome outcome = Outcome::done;
    for (usize i = 1; i < args.count; ++i)
        if (print_file(shell, args[i]) != Outcome::done) outcome = Outcome::failed;
    return outcome;
}

Outcome cd(Shell& shell, const Arguments& args) {
    if (args.count > 2) return Outcome::usage;
    const std::string_view what = args.count == 2 ? args[1] : std::string_view{"/"};
    char storage[fs::kPathMax];
    const auto path = shell.absolute(what, storage);
    if (!path) return complain("cd", what, path.error());
    const auto s = files().stat(*path);
    if (!s) return complain("cd", what, s.error());
    if (s->type != NodeType::directory) return complain("cd", what, Error::not_directory);
    if (path->size() > 500) return complain("cd", what, Error::name_too_long);
    shell.set_directory(*path);
    return Outcome::done;
}

Outcome pwd(Shell& shell, const Arguments&) {
    print("{}\n", shell.directory());
    return Outcome::done;
}

Outcome stat(Shell& shell, const Arguments& args) {
    if (args.count != 2) return Outcome::usage;
    char storage[fs::kPathMax], mode[10], date[32];
    const auto path = shell.absolute(args[1], storage);
    if (!path) return complain("stat", args[1], path.error());
    const auto s = files().lstat(*path);
    if (!s) return complain("stat", args[1], s.error());
    print("  File: {}\n  Type: {}\n  Size: {} bytes, {} sectors of 512\n", *path, type_name(s->type), s->size,
          s->sectors);
    print(" Inode: {}\n Links: {}\n  Mode: {} (uid {}, gid {})\n", s->inode, s->links, mode_text(*s, mode), s->uid,
          s->gid);
    print("Change: {} UTC\n", date_text(s->changed.seconds, date));
    print("Modify: {} UTC\n", date_text(s->modified.seconds, date));
    return Outcome::done;
}

}  // namespace ringlet::shell
