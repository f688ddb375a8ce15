// Threads that make something durable at the same time: they share writes and flushes, and nobody is told too early.
#include <functional>
#include <thread>

#include "fake_disk.hpp"
#include "fs/vfs.hpp"
#include "image.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

constexpr usize kBlock = 4096;
constexpr int kFollowers = 6;

/// A file of a few blocks on a disk that holds its requests back when it is told to.
struct Stage {
    Stage() {
        stdfs::create_directories(scratch.path / "tree");
        make_image(scratch.path / "image", scratch.path / "tree", "-b 4096", "64M");
        disk.emplace((scratch.path / "image").string());
        disk->writable = true;
        MountText why;
        auto mounted = mount_ext4(*disk, {.cache_bytes = 1 << 20, .writable = true}, why);
        REQUIRE(mounted);
        volume = std::move(*mounted);
        REQUIRE(vfs.mount("/", *volume));
        file = *vfs.open("/file", OpenMode::create);
        for (int i = 0; i <= kFollowers; ++i) REQUIRE(file.write_at(i * kBlock, block) == kBlock);
        REQUIRE(file.sync());
    }
    ~Stage() {
        file = File();
        REQUIRE(vfs.unmount("/"));
    }
    /// The leader's request is with the disk when the others come; then the disk answers. How many had no success.
    int run(const std::function<bool(int)>& make_durable) {
        std::atomic<int> failures{0};
        const auto one = [&](int i) { failures += !make_durable(i); };
        std::vector<std::thread> threads;
        disk->hold(true);
        for (int i = 0; i <= kFollowers; ++i) {
            threads.emplace_back(one, i);
            std::this_thread::sleep_for(std::chrono::milliseconds(i == 0 ? 50 : 10));
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        disk->hold(false);
        for (auto& t : threads) t.join();
        return failures;
    }

    u64 value(std::string_view name) {
        u64 found = 0;
        volume->for_each_value([&](std::string_view of, u64 value) { found = of == name ? value : found; });
        return found;
    }

    std::vector<std::byte> block = std::vector<std::byte>(kBlock, std::byte{0x5a});
    Scratch scratch;
    std::optional<FakeDisk> disk;
    std::unique_ptr<FileSystem> volume;
    Vfs vfs;
    File file;
};

}  // namespace

TEST_CASE("who asks for a flush while one is under way shares the next", "[threads]") {
    Stage s;
    const u64 before = s.disk->flushes;
    CHECK(s.run([&](int) { return s.file.sync(Sync::data).has_value(); }) == 0);
    CHECK(s.disk->flushes == before + 2);  // the first may have passed over what the others wrote
}

TEST_CASE("a flush that fails is everybody's error", "[threads]") {
    Stage s;
    s.disk->flush_fails = true;
    CHECK(s.run([&](int) { return s.file.sync(Sync::data).has_value(); }) == kFollowers + 1);
    CHECK(s.volume->statfs()->read_only);
}

TEST_CASE("what is changed while somebody writes goes with the next who does", "[threads]") {
    Stage s;
    const auto writes = [&] { return s.disk->kicks - s.disk->flushes; };
    const u64 before = writes();
    CHECK(s.run([&](int i) { return s.file.write_at(i * kBlock, s.block) == kBlock && s.file.sync(Sync::data); }) == 0);
    CHECK(writes() <= before + 2);
}

TEST_CASE("an append is durable after four kicks: its data and the log go together") {
    Stage s;
    File log = *s.vfs.open("/log", OpenMode::create | OpenMode::append);
    const auto append = [&] { return log.write(s.block).value_or(0) == kBlock && log.sync().has_value(); };
    REQUIRE(append());
    const u64 kicks = s.disk->kicks, flushes = s.disk->flushes;
    for (int i = 0; i < 10; ++i) REQUIRE(append());
    CHECK(s.disk->kicks - kicks == 40);
    CHECK(s.disk->flushes - flushes == 20);
}

TEST_CASE("a hole reads as zeros when the cache has the first block of the disk") {
    Stage s;
    File sparse = *s.vfs.open("/sparse", OpenMode::create);
    REQUIRE(sparse.write_at(10 * kBlock, s.block) == kBlock);
    {
        File orphan = *s.vfs.open("/orphan", OpenMode::create);
        REQUIRE(s.vfs.unlink("/orphan"));  // its number goes into the superblock
    }
    for (int i = 0; i < 2; ++i) {
        std::vector<std::byte> bytes(100, std::byte{1});
        REQUIRE(sparse.read_at(1024 + 24, bytes) == bytes.size());
        CHECK(bytes == std::vector<std::byte>(100));
    }
}

TEST_CASE("a small file goes in one handle, with its last name, unless it is open") {
    Stage s;
    for (const char* path : {"/a", "/b", "/c"}) {
        File small = *s.vfs.open(path, OpenMode::create);
        REQUIRE(small.write(Bytes(s.block).first(1000)) == 1000);
    }
    REQUIRE(s.volume->sync());
    REQUIRE(s.vfs.unlink("/a"));  // whatever is looked at for the first time
    REQUIRE(s.volume->sync());
    const StatFs before = *s.volume->statfs();
    const u64 looks = s.value("hits") + s.value("misses");
    REQUIRE(s.vfs.unlink("/b"));
    CHECK(s.value("hits") + s.value("misses") - looks <= 12);
    CHECK(s.volume->statfs()->free_files == before.free_files + 1);
    File open = *s.vfs.open("/c");
    REQUIRE(s.vfs.unlink("/c"));
    std::vector<std::byte> bytes(1000);
    CHECK(open.read(bytes) == 1000);
    CHECK(bytes[999] == s.block[0]);
    CHECK(s.volume->statfs()->free_files == before.free_files + 1);
    open = File();
    CHECK(s.volume->statfs()->free_files == before.free_files + 2);
    CHECK(s.vfs.stat("/b").error() == Error::not_found);
    CHECK(s.vfs.stat("/c").error() == Error::not_found);
}

TEST_CASE("a file whose blocks cannot be given back loses its name all the same") {
    const Scratch scratch;
    stdfs::create_directories(scratch.path / "tree");
    write_file(scratch.path / "tree/file", std::string(5000, 'x'));
    make_image(scratch.path / "image", scratch.path / "tree", "-b 4096", "64M");
    FakeDisk disk((scratch.path / "image").string());
    disk.writable = true;
    u32 bitmap;  // of the first group's blocks
    std::memcpy(&bitmap, disk.bytes().data() + 4096, sizeof(bitmap));
    disk.bytes()[usize{bitmap} * 4096 + 4000] ^= std::byte{1};  // its checksum is wrong
    MountText why;
    auto volume = *mount_ext4(disk, {.cache_bytes = 1 << 20, .writable = true}, why);
    {
        Vfs vfs;
        REQUIRE(vfs.mount("/", *volume));
        CHECK(vfs.unlink("/file"));
        CHECK(vfs.stat("/file").error() == Error::not_found);
        CHECK_FALSE(volume->statfs()->read_only);
        REQUIRE(vfs.unmount("/"));
    }
    CHECK(volume->sync());
}
