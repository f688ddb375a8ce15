// Paths, mounts, open files; on memfs, which has no disk to be slow.
#include "fs/vfs.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "fs/memfs.hpp"

using namespace ringlet;
using namespace ringlet::fs;

namespace {
Bytes text(std::string_view s) {
    return std::as_bytes(std::span(s));
}
std::string content(Vfs& vfs, std::string_view path) {
    auto f = vfs.open(path);
    if (!f) return "?";
    std::string s(static_cast<usize>(f->size()), ' ');
    (void)f->read(std::as_writable_bytes(std::span(s)));
    return s;
}
}  // namespace

TEST_CASE("memfs: create, write, read, remove") {
    auto fs = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    CHECK(vfs.create_directory("/a"));
    CHECK(vfs.create_directory("/a").error() == Error::exists);
    CHECK(vfs.create_directory("/x/y").error() == Error::not_found);
    {
        auto f = vfs.open("/a/f", OpenMode::create);
        REQUIRE(f);
        CHECK(*f->write(text("hello ")) == 6);
        CHECK(*f->write(text("world")) == 5);
        CHECK(*f->write_at(5000, text("far")) == 3);
        CHECK(f->size() == 5003);
        CHECK(*f->seek(-3, Whence::end) == 5000);
        char buffer[8];
        CHECK(*f->read(std::as_writable_bytes(std::span(buffer))) == 3);
        CHECK(f->seek(-1, Whence::start).error() == Error::invalid);
        CHECK(f->truncate(11));
        CHECK(f->truncate(20));
    }
    CHECK(content(vfs, "/a/f") == std::string("hello world") + std::string(9, '\0'));
    CHECK(vfs.open("/a/f")->write(text("x")).error() == Error::read_only);
    CHECK(vfs.open("/a").error() == Error::is_directory);
    CHECK(vfs.open("/a/f/").error() == Error::not_directory);
    CHECK(vfs.open("/a/f/g").error() == Error::not_directory);
    CHECK(vfs.open("/a/none").error() == Error::not_found);
    CHECK(vfs.remove_directory("/a").error() == Error::in_use);
    CHECK(vfs.unlink("/a").error() == Error::is_directory);
    auto open = vfs.open("/a/f");
    CHECK(vfs.unlink("/a/f"));
    CHECK(open->stat()->links == 0);
    CHECK(open->size() == 20);
    *open = File();
    CHECK(vfs.remove_directory("/a"));
    CHECK(vfs.stat("/a").error() == Error::not_found);
}

TEST_CASE("memfs: bounded, and the memory comes back") {
    auto fs = *make_memfs(64 << 10);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    const u64 before = vfs.statfs("/")->free_blocks;
    {
        auto f = vfs.open("/big", OpenMode::create);
        const std::string block(10'000, 'b');
        Result<usize> r = 0;
        while ((r = f->write(text(block)))) {
        }
        CHECK(r.error() == Error::no_space);
        CHECK(f->size() > 40'000);
        CHECK(f->size() < 64'000);
        CHECK(f->write_at(u64{1} << 60, text("x")).error() == Error::no_space);
        CHECK(f->write_at(~u64{0} - 1, text("x")).error() == Error::too_large);
        const auto view = f->map_at(0);
        CHECK(f->truncate(0).error() == Error::in_use);
    }
    CHECK(vfs.unlink("/big"));
    CHECK(vfs.statfs("/")->free_blocks == before);
    int made = 0;
    while (vfs.create_directory("/" + std::to_string(made))) ++made;
    CHECK(made > 10);
    CHECK(made < 400);
}

TEST_CASE("memfs: an iteration survives removals") {
    auto fs = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    for (int i = 0; i < 20; ++i) REQUIRE(vfs.create_directory("/" + std::to_string(i)));
    auto d = *vfs.open_directory("/");
    DirEntry e;
    int seen = 0;
    while (*d.next(e)) {
        if (e.name() == "." || e.name() == "..") continue;
        ++seen;
        REQUIRE(vfs.remove_directory("/" + std::string(e.name())));
    }
    CHECK(seen == 20);
}

TEST_CASE("mounts: down, up, busy") {
    auto root = *make_memfs(1 << 20), tmp = *make_memfs(1 << 20), third = *make_memfs(1 << 20);
    Vfs vfs;
    CHECK(vfs.stat("/").error() == Error::not_found);
    REQUIRE(vfs.mount("/", *root));
    CHECK(vfs.mount("/", *tmp).error() == Error::in_use);
    CHECK(vfs.mount("/tmp", *tmp).error() == Error::not_found);
    REQUIRE(vfs.create_directory("/tmp"));
    REQUIRE(vfs.create_directory("/tmp/hidden"));
    REQUIRE(vfs.mount("/tmp/", *tmp));
    CHECK(vfs.mount("/tmp", *third).error() == Error::in_use);
    CHECK(vfs.stat("/tmp/hidden").error() == Error::not_found);
    REQUIRE(vfs.create_directory("/tmp/in"));
    CHECK(vfs.stat("/tmp/in/../../tmp/in/..")->filesystem == tmp->id());
    CHECK(vfs.stat("/tmp/..")->filesystem == root->id());
    CHECK(vfs.stat("/../../..")->inode == vfs.stat("/")->inode);
    CHECK(vfs.remove_directory("/tmp").error() == Error::in_use);
    REQUIRE(vfs.mount("/tmp/in", *third));
    CHECK(vfs.unmount("/tmp").error() == Error::in_use);
    int mounts = 0;
    vfs.for_each_mount([&](const MountInfo& m) { mounts += m.statfs.type == "memfs" && m.where.starts_with('/'); });
    CHECK(mounts == 3);
    CHECK(vfs.unmount("/tmp/in"));
    CHECK(vfs.unmount("/tmp"));
    CHECK(vfs.stat("/tmp/hidden"));
    CHECK(vfs.unmount("/nowhere").error() == Error::not_found);
}

TEST_CASE("paths: bounds and odd ones") {
    auto fs = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    REQUIRE(vfs.create_directory("/d"));
    CHECK(vfs.stat("//d/.//./"));
    CHECK(vfs.stat("d"));
    CHECK(vfs.stat("").error() == Error::not_found);
    CHECK(vfs.stat(std::string("/d\0x", 4)).error() == Error::invalid);
    CHECK(vfs.stat("/" + std::string(255, 'n')).error() == Error::not_found);
    CHECK(vfs.stat("/" + std::string(256, 'n')).error() == Error::name_too_long);
    std::string slashes = std::string(4090, '/') + "d";
    CHECK(vfs.stat(slashes));
    CHECK(vfs.stat(slashes + "/////").error() == Error::name_too_long);
    CHECK(vfs.create_directory("/").error() == Error::exists);
    CHECK(vfs.create_directory("/d/..").error() == Error::invalid);
    char out[32];
    CHECK(*join_path("/a/b", "../c", out) == "/a/c");
    CHECK(*join_path("/a/b", "/x/./y//", out) == "/x/y");
    CHECK(*join_path("/", "../..", out) == "/");
    CHECK(join_path("/", std::string(40, 'x'), out).error() == Error::name_too_long);
}

TEST_CASE("memfs: threads create and remove the same names") {
    auto fs = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    const u64 before = vfs.statfs("/")->free_blocks;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 2000; ++i) {
                const std::string name = "/f" + std::to_string(i % 5);
                if (auto f = vfs.open(name, OpenMode::create)) (void)f->write(text("some content"));
                if (i % 3 == 0) (void)vfs.unlink(name);
            }
        });
    for (auto& t : threads) t.join();
    for (int i = 0; i < 5; ++i) (void)vfs.unlink("/f" + std::to_string(i));
    CHECK(vfs.statfs("/")->free_blocks == before);
}
