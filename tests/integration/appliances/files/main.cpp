// Files at the end of a serial line, for tests/integration/test_linux_disk.py. Each line is a command, each answer ends
// with a line "ok" or an error:
//   show PATH         a line for each file below: "F kind mode links size hash path", as linux_disk.c prints it
//   change            works on what is there: removes, renames, cuts, writes
//   mount DEVICE PATH, umount PATH, sync, off
#include <ringlet/console.hpp>
#include <ringlet/file.hpp>
#include <ringlet/mount.hpp>
#include <ringlet/system.hpp>

#include "lib/format.hpp"
#include "lib/parse.hpp"

using namespace ringlet;

namespace {

constexpr usize kPart = 64 << 10;
std::byte part[kPart];

u64 hash(u64 h, Bytes bytes) {
    for (const std::byte b : bytes) h = (h ^ std::to_integer<u8>(b)) * 1099511628211u;
    return h;
}

struct Path {
    char text[512] = {};
    usize length = 0;
    std::string_view view() const { return {text, length}; }
    void add(std::string_view more) {
        for (const char c : more)
            if (length < sizeof text) text[length++] = c;
    }
};

Result<u64> hash_of(std::string_view path, const Stat& stat) {
    u64 h = 14695981039346656037u;
    if (stat.type == NodeType::symlink) {
        char target[fs::kPathMax];
        const usize n = TRY(files().read_link(path, target));
        return hash(h, std::as_bytes(std::span(target, n)));
    }
    if (stat.type != NodeType::file) return h;
    File file = TRY(files().open(path));
    for (;;) {
        const usize n = TRY(file.read(part));
        if (n == 0) return h;
        h = hash(h, Bytes(part, n));
    }
}

Result<> show(Path& path) {
    const std::string_view name = path.length == 0 ? "/" : path.view();
    const Stat stat = TRY(files().lstat(name));
    const bool directory = stat.type == NodeType::directory;
    print("F {} {:x} {} {} {:x} {}\n",
          directory                        ? 'd'
          : stat.type == NodeType::symlink ? 'l'
                                           : 'f',
          stat.mode, stat.links, directory ? 0 : stat.size, TRY(hash_of(name, stat)), path.view());
    if (!directory) return {};
    Directory list = TRY(files().open_directory(name));
    DirEntry e;
    const usize length = path.length;
    while (TRY(list.next(e))) {
        if (e.name() == "." || e.name() == ".." || e.name() == "lost+found") continue;
        path.add("/");
        path.add(e.name());
        TRY(show(path));
        path.length = length;
    }
    return {};
}

Result<> write(std::string_view path, u64 at, usize bytes, u8 value) {
    File file = TRY(files().open(path, OpenMode::create));
    std::memset(part, value, bytes);
    TRY(file.inode()->write_at(at, Bytes(part, bytes)));
    return {};
}

/// Removes every third name of a directory, cuts, lengthens or renames others.
Result<> change_directory(std::string_view where) {
    for (u32 i = 0; i < 200; ++i) {
        char text[64], other[64];
        const auto old = format_to(text, "{}/f{}", where, i), fresh = format_to(other, "{}/moved{}", where, i);
        if (!files().lstat(old)) continue;
        if (i % 3 == 0) {
            TRY(files().unlink(old));
        } else if (i % 3 == 1) {
            TRY(write(old, i * 700, 5000, static_cast<u8>(i)));
        } else {
            TRY(files().truncate(old, i * 100));
            TRY(files().rename(old, fresh));
        }
    }
    return {};
}

Result<> change() {
    for (const char* where : {"/d0", "/d1", "/d2", "/d3"}) TRY(change_directory(where));
    for (u32 i = 0; i < 1500; i += 2) {
        char text[64];
        (void)files().unlink(format_to(text, "/many/2-{}-with-a-name-of-some-length", i));
    }
    TRY(files().create_directory("/new", 0750));
    for (u32 i = 0; i < 600; ++i) {
        char text[64];
        TRY(write(format_to(text, "/new/a-file-of-ringlet-{}", i), i % 7 * 1000, i * 13, static_cast<u8>(i + 1)));
    }
    TRY(write("/sparse", 3 << 20, kPart, 7));
    TRY(files().truncate("/sparse", 40 << 20));
    TRY(files().symlink("/new/a-file-of-ringlet-1", "/link"));
    return files().link("/new/a-file-of-ringlet-2", "/hard");
}

Result<> run(std::string_view line) {
    const std::string_view word = next_word(line), first = next_word(line), second = next_word(line);
    if (word == "show") {
        Path path;
        path.add(first == "/" ? "" : first);
        return show(path);
    }
    if (word == "change") return change();
    if (word == "mount") return mount(first, second, Access::read_write);
    if (word == "umount") return unmount(first);
    if (word == "sync") return files().sync();
    if (word == "off") poweroff();
    return fail(Error::invalid);
}

}  // namespace

int main() {
    print("files: ready\n");
    char line[160];
    usize length = 0;
    for (;;) {
        const char c = read_key();
        if (c != '\n' && c != '\r') {
            if (length < sizeof line) line[length++] = c;
            continue;
        }
        const std::string_view text(line, std::exchange(length, 0));
        if (text.empty()) continue;
        const auto done = run(text);
        print("{}\n", done ? std::string_view("ok") : to_string(done.error()));
    }
}
