// Trees and images: generated folders, and what mke2fs, debugfs, e2fsck and sfdisk make of them.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <string>

#include "fs/ext4/ext4.hpp"
#include "fs/vfs.hpp"

namespace ringlet::fs::test {

namespace stdfs = std::filesystem;

/// A directory that goes away with the test.
class Scratch {
public:
    Scratch() {
        char name[] = "/tmp/ringlet-fs-XXXXXX";
        if (::mkdtemp(name) == nullptr) std::abort();
        path = name;
    }
    ~Scratch() {
        std::error_code ignored;
        stdfs::remove_all(path, ignored);
    }
    stdfs::path path;
};

inline void run(const std::string& command) {
    INFO(command);
    const int status = std::system(("PATH=$PATH:/usr/sbin:/sbin; (" + command + ") >/dev/null 2>&1").c_str());
    REQUIRE(status != -1);
    // e2fsck says 1 when it changed something, as it was asked to.
    REQUIRE((WEXITSTATUS(status) == 0 || (command.starts_with("e2fsck") && WEXITSTATUS(status) <= 1)));
}

inline std::string random_text(std::mt19937& random, usize bytes) {
    std::string s(bytes, '\0');
    for (char& c : s) c = static_cast<char>(random());
    return s;
}

inline void write_file(const stdfs::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
}

inline std::string read_host(const stdfs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::string all(stdfs::file_size(path), '\0');
    in.read(all.data(), static_cast<std::streamsize>(all.size()));
    return all;
}

/// Sizes around every edge, links of both kinds, a deep branch, odd names, a directory of `many` files.
inline void make_tree(const stdfs::path& root, u32 seed, int many) {
    std::mt19937 random(seed);
    stdfs::create_directories(root / "sizes");
    for (usize n : {0,    1,    59,   60,   61,        100,           150,   511,   512,   1023,    1024,
                    1025, 4095, 4096, 4097, 12 * 1024, 12 * 1024 + 1, 49152, 49153, 65536, 300'000, 1'500'000})
        write_file(root / "sizes" / std::to_string(n), random_text(random, n));
    stdfs::path deep = root;
    for (int i = 0; i < 40; ++i) deep /= "d" + std::to_string(i);
    stdfs::create_directories(deep);
    write_file(deep / "bottom", "at the bottom");
    stdfs::create_directories(root / "many");
    for (int i = 0; i < many; ++i) {
        std::string name = "file-" + std::to_string(i) + "-" + std::string(static_cast<usize>(i) % 60, 'n');
        if (i % 7 == 0) name += "-\xc3\xa4\xff";  // bytes with the top bit: signed against unsigned hashes
        write_file(root / "many" / name, std::to_string(i));
    }
    stdfs::create_directories(root / "links");
    stdfs::create_symlink("../sizes/100", root / "links/short");
    stdfs::create_symlink("/sizes/1025", root / "links/absolute");
    stdfs::create_symlink(std::string(59, 'x'), root / "links/fast59");
    stdfs::create_symlink(std::string(60, 'y'), root / "links/slow60");
    stdfs::create_symlink(std::string(900, 'z'), root / "links/slow900");
    stdfs::create_symlink("..", root / "links/up");
    stdfs::create_symlink("loop", root / "links/loop");
    write_file(root / std::string(255, 'L'), "long name");
    stdfs::create_directories(root / "empty");
}

/// `mke2fs -t ext4 -d tree image`, with `options` before the size.
inline void make_image(const stdfs::path& image, const stdfs::path& tree, const std::string& options,
                       const std::string& size) {
    const std::string type = options.find("-t ") == options.npos ? "-t ext4 " : "";
    run("mke2fs -q -F " + type + "-d " + tree.string() + " " + options + " " + image.string() + " " + size);
}

inline std::string read_all(File& f, usize step) {
    std::string all;
    std::vector<std::byte> buffer(step);
    for (;;) {
        const auto n = f.read(buffer);
        REQUIRE(n);
        if (*n == 0) return all;
        all.append(reinterpret_cast<const char*>(buffer.data()), *n);
    }
}

/// Compares names, types, sizes, modes, times, link targets and every byte of `host` with what the vfs shows
/// at `path`.
inline usize compare(Vfs& vfs, const stdfs::path& host, const std::string& path, usize step = 10'000) {
    usize files = 0;
    INFO(path);
    std::set<std::string> there, here;
    for (const auto& e : stdfs::directory_iterator(host)) there.insert(e.path().filename().string());
    auto directory = vfs.open_directory(path);
    REQUIRE(directory);
    DirEntry e;
    for (;;) {
        const auto more = directory->next(e);
        REQUIRE(more);
        if (!*more) break;
        if (e.name() == "." || e.name() == ".." || e.name() == "lost+found") continue;
        REQUIRE(here.insert(std::string(e.name())).second);
    }
    REQUIRE(there == here);
    for (const std::string& name : there) {
        const std::string sub = path + (path.ends_with('/') ? "" : "/") + name;
        const stdfs::path on_host = host / name;
        INFO(sub);
        struct stat st = {};
        REQUIRE(::lstat(on_host.c_str(), &st) == 0);
        const auto s = vfs.lstat(sub);
        REQUIRE(s);
        REQUIRE(s->mode == (st.st_mode & 07777));
        REQUIRE(s->modified.seconds == st.st_mtim.tv_sec);
        ++files;
        if (S_ISDIR(st.st_mode)) {
            REQUIRE(s->type == NodeType::directory);
            files += compare(vfs, on_host, sub, step);
        } else if (S_ISLNK(st.st_mode)) {
            REQUIRE(s->type == NodeType::symlink);
            char target[kPathMax];
            const auto n = vfs.read_link(sub, target);
            REQUIRE(n);
            REQUIRE(std::string(target, *n) == stdfs::read_symlink(on_host).string());
        } else {
            REQUIRE(s->type == NodeType::file);
            REQUIRE(s->size == static_cast<u64>(st.st_size));
            auto f = vfs.open(sub);
            REQUIRE(f);
            const bool same = read_all(*f, step) == read_host(on_host);
            REQUIRE(same);
        }
    }
    return files;
}

/// A mounted image.
struct Mounted {
    explicit Mounted(BlockDevice& disk, u64 cache_bytes = 1 << 20) {
        auto r = mount_ext4(disk, {.cache_bytes = cache_bytes, .inode_cache = 64}, why);
        INFO(std::string(why.view()));
        REQUIRE(r);
        fs = std::move(*r);
        REQUIRE(vfs.mount("/", *fs));
    }
    ~Mounted() { (void)vfs.unmount("/"); }
    MountText why;
    std::unique_ptr<FileSystem> fs;
    Vfs vfs;
};

}  // namespace ringlet::fs::test
