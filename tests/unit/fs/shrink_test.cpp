// The block cache gives memory back: which, how much, and while a filesystem that is written stands on it.
#include <catch2/catch.hpp>
#include <new>
#include <thread>

#include "arch/host.hpp"
#include "crash_disk.hpp"
#include "fake_disk.hpp"
#include "fs/block_cache.hpp"
#include "kernel/mm/pressure.hpp"
#include "kernel/time/clock.hpp"
#include "write_model.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

/// While it lives, of the allocations of this thread that may fail one in `one_in` does.
class ScarceMemory {
public:
    ScarceMemory(u32 seed, u32 one_in) {
        state = seed * 2 + 1;
        chance = one_in;
    }
    ~ScarceMemory() { chance = 0; }
    static bool fails() {
        if (chance == 0) return false;
        state = state * 1664525 + 1013904223;
        return (state >> 8) % chance == 0;
    }

private:
    static inline thread_local u32 state = 0, chance = 0;
};

class VirtualClock {
public:
    VirtualClock() { arch::host::use_virtual_clock(Instant{} + Duration::from_s(100)); }
    ~VirtualClock() { arch::host::use_real_clock(); }
    void pass(Duration time) { arch::host::advance_to(kernel::now() + time); }
};

usize ask_for(usize pages) {
    return kernel::relieve_pressure(pages, kernel::Pressure::exhausted);
}

void number_blocks(FakeDisk& disk) {
    for (u64 b = 0; b < disk.bytes().size() / 4096; ++b) std::memcpy(disk.bytes().data() + b * 4096, &b, 8);
}
bool says(const BlockRef& block, u64 n) {
    return std::memcmp(block.bytes().data(), &n, 8) == 0;
}

}  // namespace

void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
    return ScarceMemory::fails() ? nullptr : ::operator new(n);
}
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
    return ScarceMemory::fails() ? nullptr : ::operator new[](n);
}

TEST_CASE("the least recently used blocks give their memory back, whole pages of it") {
    VirtualClock clock;
    FakeDisk disk(usize{4} << 20);
    disk.synchronous = true;
    disk.writable = true;
    number_blocks(disk);
    auto cache = *BlockCache::create(disk, 4096, 1 << 20);
    for (u64 b = 0; b < 256; ++b) REQUIRE(says(*cache->get(BlockNo(b)), b));
    REQUIRE(cache->stats().memory_bytes == 1 << 20);
    for (u64 b = 0; b < 256; b += 3) (void)cache->get(BlockNo(b));  // 86 of them are used once more
    auto pinned = *cache->get(BlockNo(250));                        // in the chunk that would go first
    const std::byte* const at = pinned.bytes().data();
    for (u64 b : {4, 5, 100, 200}) {
        auto edit = *cache->edit_data(BlockNo(b), Content::read, 7, Ordered::no);
        const u64 mark = b + 1000;
        std::memcpy(edit.bytes().data(), &mark, 8);
    }
    const usize before = arch::host::live_dma_bytes();
    CHECK(ask_for(64) == 64);
    CHECK(before - arch::host::live_dma_bytes() == 64 * 4096);
    CHECK(cache->stats().memory_bytes == (1 << 20) - 64 * 4096);
    CHECK(cache->stats().given_back == 64);
    CHECK(cache->stats().dirty_blocks == 4);

    // Those that were used lately, changed or looked at are where they can be had without the disk.
    const u64 misses = cache->stats().misses;
    CHECK(pinned.bytes().data() == at);
    CHECK(says(pinned, 250));
    for (u64 b = 0; b < 256; b += 3) REQUIRE(says(*cache->get(BlockNo(b)), b == 100 || b == 200 ? b + 1000 : b));
    for (u64 b : {4, 5, 100, 200}) REQUIRE(says(*cache->get(BlockNo(b)), b + 1000));
    CHECK(cache->stats().misses == misses);
    // Exactly the coldest 64 are gone.
    u64 gone = 0;
    for (u64 b = 1; gone < 64; ++b) {
        if (b % 3 == 0 || b == 4 || b == 5 || b == 100) continue;
        ++gone;
        REQUIRE(says(*cache->get(BlockNo(b)), b));
    }
    CHECK(cache->stats().misses == misses + 64);
    REQUIRE(cache->write_back({}));
    for (u64 b : {4, 5, 100, 200}) {
        const u64 mark = b + 1000;
        CHECK(std::memcmp(disk.bytes().data() + b * 4096, &mark, 8) == 0);
    }
}

TEST_CASE("a cache that gave memory back grows again later, and never falls below what it keeps") {
    VirtualClock clock;
    FakeDisk disk(usize{4} << 20);
    disk.synchronous = true;
    number_blocks(disk);
    auto cache = *BlockCache::create(disk, 4096, 1 << 20);
    const auto read_all = [&] {
        for (u64 b = 0; b < 512; ++b) REQUIRE(says(*cache->get(BlockNo(b)), b));
    };
    REQUIRE(cache->keep(100));
    CHECK(cache->stats().memory_bytes == 112 * 4096);
    CHECK(cache->keep(10'000).error() == Error::unsupported);
    read_all();
    CHECK(kernel::reclaimable_pages() == 256 - 100);
    while (ask_for(1000) != 0) {
    }
    CHECK(cache->stats().memory_bytes == 112 * 4096);
    CHECK(kernel::reclaimable_pages() == 12);
    CHECK(cache->stats().is_short);
    CHECK(cache->prefetch_limit() == 28);
    read_all();
    CHECK(cache->stats().memory_bytes == 112 * 4096);
    clock.pass(Duration::from_s(3));
    CHECK_FALSE(cache->stats().is_short);
    CHECK(cache->prefetch_limit() == 64);
    read_all();
    CHECK(cache->stats().memory_bytes == 1 << 20);
    REQUIRE(cache->keep(0));
    while (ask_for(1000) != 0) {
    }
    CHECK(cache->stats().memory_bytes == 64 << 10);
    read_all();
}

TEST_CASE("what the journal was promised, and what only the log has, is not given back") {
    VirtualClock clock;
    FakeDisk disk(usize{4} << 20);
    disk.synchronous = true;
    disk.writable = true;
    auto cache = *BlockCache::create(disk, 4096, 1 << 20);
    REQUIRE(cache->keep(16));
    CHECK_FALSE(cache->promise(60));
    while (cache->grow()) {
    }
    CHECK(cache->promise(60));
    while (ask_for(1000) != 0) {
    }
    CHECK(cache->stats().memory_bytes == 96 * 4096);  // the promise is three quarters of 81
    bool joined = false;
    for (u64 b = 0; b < 60; ++b) REQUIRE(cache->edit_metadata(BlockNo(b), Content::zeros, joined));
    cache->freeze(1, [](BlockNo, Bytes) {});
    CHECK(cache->promise(0));
    CHECK(ask_for(1000) == 0);
    CHECK(cache->has_many_logged());
    CHECK_FALSE(cache->promise(1));
    REQUIRE(cache->write_back({.kind = BlockCache::Selection::Kind::logged, .up_to = 1}));
    CHECK(cache->promise(40));
    CHECK(cache->promise(0));
    CHECK(ask_for(1000) == 80);
}

TEST_CASE("memory that a lost device may still write into is not given back") {
    FakeDisk disk(usize{1} << 20);
    auto cache = *BlockCache::create(disk, 4096, 1 << 20);
    for (u64 b = 0; b < 64; ++b) REQUIRE(cache->get(BlockNo(b)));
    disk.lost = true;
    CHECK_FALSE(cache->get(BlockNo(100)));
    CHECK(ask_for(1000) == 0);
}

namespace {

std::vector<std::byte> image_with(const Scratch& s, const std::string& options, const std::string& size) {
    stdfs::create_directories(s.path / "tree");
    make_image(s.path / "image", s.path / "tree", options, size);
    return read_image((s.path / "image").string());
}

std::unique_ptr<FileSystem> mount_with(BlockDevice& disk, u64 cache_bytes) {
    MountText why;
    auto mounted = mount_ext4(disk, {.cache_bytes = cache_bytes, .inode_cache = 16, .writable = true}, why);
    REQUIRE(mounted);
    REQUIRE(!(*mounted)->statfs()->read_only);
    return std::move(*mounted);
}

void expect_clean(const Scratch& s, const CrashDisk& disk) {
    const auto path = (s.path / "after").string();
    write_image(path, disk.content());
    run("e2fsck -fn " + path);
}

/// Random operations while the memory comes and goes: asked for by whoever asks the disk for something, in the middle
/// of everything.
void write_under_pressure(const std::string& options, u32 seed, u32 fails_one_in) {
    INFO(options << ", seed " << seed);
    const Scratch s;
    VirtualClock clock;
    const struct Limit {
        ~Limit() { arch::host::limit_dma(~usize{0}); }
    } unlimited_afterwards;
    CrashDisk disk(image_with(s, options, "48M"), CrashDisk::Trace::none);
    auto fs = mount_with(disk, 4 << 20);
    Operations ops(*fs, seed);
    ops.largest = 100'000;
    ops.extents = !options.starts_with("-t ext3");
    std::mt19937 random(seed);
    usize given = 0, least = ~usize{0}, most = 0;
    disk.on_request = [&](const BlockRequest&) {
        if (random() % 8 == 0) given += ask_for(1 + random() % 400);
        const usize now = arch::host::live_dma_bytes();
        least = std::min(least, now);
        most = std::max(most, now);
        if (random() % 16 == 0) clock.pass(Duration::from_s(3));
        arch::host::limit_dma(random() % 4 == 0 ? now : ~usize{0});
    };
    for (int i = 0; i < 1500; ++i) {
        INFO("step " << i);
        {
            const ScarceMemory scarce(seed + static_cast<u32>(i), fails_one_in);
            ops.step();
        }
        if (i % 50 == 49) fs->write_back();
        if (i % 100 == 99) REQUIRE(ops.difference() == "");
        REQUIRE_FALSE(fs->statfs()->read_only);
    }
    disk.on_request = {};
    CHECK(given > 200);
    CHECK(most > least + (256 << 10));
    CHECK((ops.out_of_memory != 0) == (fails_one_in != 0));
    REQUIRE(ops.difference() == "");
    fs.reset();
    expect_clean(s, disk);
}

}  // namespace

TEST_CASE("a filesystem is written while its cache gives memory away and takes it back") {
    write_under_pressure("-b 1024", 1, 0);
    write_under_pressure("-b 4096", 2, 0);
    write_under_pressure("-t ext3 -b 1024", 3, 0);
    write_under_pressure("-b 2048 -O ^has_journal", 4, 0);
}

TEST_CASE("operations that find no memory say so, and the filesystem lives on") {
    write_under_pressure("-b 1024", 5, 9);
    write_under_pressure("-b 1024 -O uninit_bg,^metadata_csum", 6, 5);
    write_under_pressure("-b 4096", 7, 2);
}

TEST_CASE("threads write while others need their memory", "[threads]") {
    VirtualClock clock;
    const Scratch s;
    CrashDisk disk(image_with(s, "-b 1024", "64M"), CrashDisk::Trace::none);
    auto fs = mount_with(disk, 4 << 20);
    constexpr u32 kThreads = 3;
    std::vector<std::unique_ptr<Operations>> all;
    for (u32 i = 0; i < kThreads; ++i) {
        all.push_back(std::make_unique<Operations>(*fs, 300 + i));
        all.back()->home = "home" + std::to_string(i);
        REQUIRE((*fs->root())->create(all.back()->home, NodeType::directory, 0));
    }
    std::atomic<bool> stop{false};
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    for (auto& ops : all)
        threads.emplace_back([&] {
            try {
                for (int n = 0; n < 600; ++n) ops->step();
            } catch (const std::exception&) {
                ++failures;
            }
        });
    usize given = 0;
    std::thread hungry([&] {
        for (int i = 0; !stop; ++i) {
            if (i % 8 == 0) given += ask_for(32);
            fs->write_back();
            std::this_thread::yield();
            clock.pass(Duration::from_s(1));
        }
    });
    for (auto& t : threads) t.join();
    stop = true;
    hungry.join();
    CHECK(failures == 0);
    CHECK(given != 0);
    for (auto& ops : all) CHECK(ops->difference() == "");
    all.clear();
    fs.reset();
    expect_clean(s, disk);
}
