// memfs: what only it has (its bound, views), and every call against the model.
#include "fs/memfs.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "fs/vfs.hpp"
#include "posix_model.hpp"
#include "tests/unit/environment.hpp"

using namespace ringlet;
using namespace ringlet::fs;

namespace {
Bytes text(std::string_view s) {
    return std::as_bytes(std::span(s));
}
struct Memory {
    explicit Memory(u64 bytes) : fs(*make_memfs(bytes)) { REQUIRE(vfs.mount("/", *fs)); }
    u64 free() { return vfs.statfs("/")->free_blocks; }
    std::unique_ptr<FileSystem> fs;
    Vfs vfs;
};
}  // namespace

TEST_CASE("memfs behaves as the model says") {
    const unsigned steps = unsigned(environment("RINGLET_MODEL_STEPS", 6000));
    const unsigned first = unsigned(environment("RINGLET_MODEL_SEED", 1));
    unsigned succeeded = 0;
    for (unsigned seed = first; seed < first + 4; ++seed) {
        Memory m(8 << 20);
        fs::test::PosixModel model(m.vfs, {.seed = seed});
        for (int part = 0; part < 4; ++part) {
            model.run(steps / 4);
            model.compare();
        }
        CHECK(model.full() == 0);
        succeeded += model.succeeded();
    }
    CHECK(succeeded > steps / 2);  // of four times as many: the calls are not all nonsense
}

TEST_CASE("memfs behaves as the model says when it is full") {
    for (unsigned seed = 1; seed <= 4; ++seed) {
        Memory m(100 << 10);
        fs::test::PosixModel model(m.vfs, {.seed = seed});
        model.run(4000);
        model.compare();
        CHECK(model.full() > 50);
    }
}

TEST_CASE("memfs: all memory comes back, of links and open files too") {
    Memory m(1 << 20);
    const u64 before = m.free(), files = m.vfs.statfs("/")->free_files;
    CHECK(m.fs->users() == 1);
    {
        auto kept = *m.vfs.open("/a", OpenMode::create);
        REQUIRE(kept.allocate(0, 200'000));
        CHECK(kept.stat()->sectors >= 200'000 / 512);
        CHECK(m.free() < before - 45);
        REQUIRE(kept.punch(0, 100'000));
        REQUIRE(m.vfs.link("/a", "/b"));
        REQUIRE(m.vfs.symlink("/b", "/c"));
        CHECK(kept.stat()->links == 2);
        CHECK(m.fs->users() == 2);
        REQUIRE(m.vfs.unlink("/a"));
        REQUIRE(m.vfs.create_directory("/d"));
        REQUIRE(m.vfs.rename("/c", "/b"));  // the file's last name goes
        CHECK(kept.stat()->links == 0);
        CHECK(m.vfs.unlink("/b"));
        CHECK(kept.size() == 200'000);
        CHECK(m.vfs.link("/a", "/z").error() == Error::not_found);
    }
    CHECK(m.fs->users() == 1);
    REQUIRE(m.vfs.remove_directory("/d"));
    CHECK(m.free() == before);
    CHECK(m.vfs.statfs("/")->free_files == files);
}

TEST_CASE("memfs: bounds of offsets, and of memory before it is taken") {
    Memory m(256 << 10);
    auto f = *m.vfs.open("/f", OpenMode::create);
    const u64 before = m.free();
    CHECK(f.allocate(0, 1 << 20).error() == Error::no_space);
    CHECK(f.allocate(u64{1} << 62, u64{1} << 62).error() == Error::too_large);
    CHECK(f.allocate(0, INT64_MAX).error() == Error::no_space);
    CHECK(f.allocate(u64{1} << 50, 1).error() == Error::no_space);
    CHECK(f.allocate(0, 0).error() == Error::invalid);
    CHECK(m.free() == before);
    CHECK(f.size() == 0);
    CHECK(f.truncate(INT64_MAX));
    CHECK(f.punch(1, u64{INT64_MAX} - 1));
    CHECK(f.punch(1, INT64_MAX).error() == Error::too_large);
}

TEST_CASE("memfs: a new name that finds no room costs nothing") {
    const std::string longest(kNameMax, 'n');
    int refused = 0;
    for (usize pad = 1; pad < 300; pad += 10) {
        auto fs = *make_memfs(8192);
        const auto root = *fs->root();
        REQUIRE(root->create_symlink("pad", std::string(pad, 'p')));
        u32 names = 0;
        while (root->create(std::to_string(names), NodeType::file, 0644)) ++names;
        REQUIRE(root->unlink("0"));  // room for one, perhaps not with a long name
        if (root->create_symlink(longest, "t")) continue;
        ++refused;
        for (int i = 0; i < 20; ++i) CHECK(root->create_symlink(longest, "t").error() == Error::no_space);
        CHECK(root->create("0", NodeType::file, 0644));
    }
    CHECK(refused > 3);
}

TEST_CASE("memfs: what is mapped stays") {
    Memory m(1 << 20);
    auto f = *m.vfs.open("/f", OpenMode::create);
    REQUIRE(f.write(text(std::string(10'000, 'm'))));
    {
        const auto view = *f.map_at(5000);
        REQUIRE(m.vfs.unlink("/f"));
        f = File();
        CHECK(m.fs->users() == 2);
        CHECK(view.bytes().size() == 8192 - 5000);
        CHECK(view.bytes()[0] == std::byte{'m'});
    }
    CHECK(m.fs->users() == 1);
    f = *m.vfs.open("/g", OpenMode::create);
    REQUIRE(f.write(text("content")));
    const auto view = *f.map_at(0);
    CHECK(f.punch(0, 4).error() == Error::in_use);
    CHECK(m.vfs.open("/g", OpenMode::truncate).error() == Error::in_use);
}

TEST_CASE("memfs: attributes and times") {
    Memory m(1 << 20);
    auto f = *m.vfs.open("/f", OpenMode::create_new, 0600);
    CHECK(f.stat()->mode == 0600);
    REQUIRE(f.set_attributes({.mode = 0123, .uid = 7, .accessed = Timestamp{5, 6}, .modified = Timestamp{-7, 8}}));
    const Stat s = *m.vfs.stat("/f");
    CHECK(s.mode == 0123);
    CHECK((s.uid == 7 && s.gid == 0));
    CHECK((s.accessed.seconds == 5 && s.accessed.nanoseconds == 6));
    CHECK((s.modified.seconds == -7 && s.modified.nanoseconds == 8));
    CHECK(s.changed.seconds > 0);
    REQUIRE(f.write(text("x")));
    CHECK(m.vfs.stat("/f")->modified.seconds >= s.changed.seconds);
    CHECK(m.vfs.stat("/f")->accessed.seconds == 5);
}

TEST_CASE("memfs: many names, listed while they go and come") {
    Memory m(4 << 20);
    for (int i = 0; i < 3000; ++i) REQUIRE(m.vfs.symlink("t", "/" + std::to_string(i)));
    auto d = *m.vfs.open_directory("/");
    DirEntry e;
    int seen = 0;
    while (*d.next(e)) {
        if (e.type != NodeType::symlink) continue;
        // The one just reported, one that was reported before, and one that moves behind all others.
        const int i = std::stoi(std::string(e.name()));
        REQUIRE(i == seen);
        ++seen;
        if (i % 3 == 0) REQUIRE(m.vfs.unlink("/" + std::to_string(i)));
        if (i % 3 == 2) REQUIRE(m.vfs.unlink("/" + std::to_string(i - 1)));
        if (i % 300 == 2) REQUIRE(m.vfs.rename("/" + std::to_string(i), "/d" + std::to_string(i)));
        if (seen == 3000) break;
    }
    CHECK(seen == 3000);
    CHECK(m.vfs.lstat("/2").error() == Error::not_found);
    CHECK(m.vfs.lstat("/d2"));
    CHECK(m.vfs.lstat("/5"));
    CHECK(m.vfs.lstat("/4").error() == Error::not_found);
}

TEST_CASE("memfs: threads append to one file, and rename over each other", "[threads]") {
    Memory m(8 << 20);
    std::atomic<int> failed{0};  // Catch2's macros are for one thread
    auto worker = [&](int number) {
        auto f = *m.vfs.open("/log", OpenMode::create | OpenMode::append);
        const std::string line(100, static_cast<char>('a' + number));
        for (int i = 0; i < 500; ++i) {
            const auto written = f.write(text(line));
            if (!written || *written != 100) ++failed;
            const std::string mine = "/n" + std::to_string(number);
            (void)m.vfs.open(mine, OpenMode::create);
            if (!m.vfs.rename(mine, "/shared")) ++failed;
            (void)m.vfs.link("/shared", mine);
        }
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) threads.emplace_back(worker, t);
    for (auto& t : threads) t.join();
    CHECK(failed == 0);
    auto f = *m.vfs.open("/log");
    CHECK(f.size() == 200'000);
    std::string all(200'000, ' ');
    REQUIRE(f.read(std::as_writable_bytes(std::span(all))));
    for (usize i = 0; i < all.size(); i += 100) REQUIRE(all.substr(i, 100) == std::string(100, all[i]));
    f = File();
    for (const char* name : {"/log", "/shared", "/n0", "/n1", "/n2", "/n3"}) (void)m.vfs.unlink(name);
    CHECK(m.fs->users() == 1);
    CHECK(m.free() == m.vfs.statfs("/")->blocks - 1);
}
