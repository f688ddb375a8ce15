// The block cache: one read for many readers, errors that do not stay, bounds, and large requests for
// prefetches.
#include "fs/block_cache.hpp"

#include <catch2/catch.hpp>

#include "fake_disk.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

/// A disk whose every block says its own number.
void number_blocks(FakeDisk& disk, u32 block_size) {
    for (u64 b = 0; b < disk.bytes().size() / block_size; ++b)
        for (usize i = 0; i + 8 <= block_size; i += 512) std::memcpy(disk.bytes().data() + b * block_size + i, &b, 8);
}
bool is_block(const BlockRef& r, u64 n) {
    u64 a, b;
    std::memcpy(&a, r.bytes().data(), 8);
    std::memcpy(&b, r.bytes().data() + r.bytes().size() - 512, 8);
    return a == n && b == n;
}

}  // namespace

TEST_CASE("concurrent readers of one block share one request", "[threads]") {
    FakeDisk disk(usize{1} << 20);
    number_blocks(disk, 4096);
    auto cache = *BlockCache::create(disk, 4096, 256 << 10);
    disk.hold(true);
    std::atomic<int> good{0};
    std::vector<std::thread> readers;
    for (int i = 0; i < 8; ++i)
        readers.emplace_back([&] {
            const auto r = cache->get(BlockNo(7));
            good += r && is_block(*r, 7) ? 1 : 0;
        });
    while (cache->stats().hits + cache->stats().misses < 8) std::this_thread::yield();
    disk.hold(false);
    for (auto& t : readers) t.join();
    CHECK(good == 8);
    CHECK(disk.requests == 1);
    CHECK(cache->stats().pinned_blocks == 0);
    CHECK(cache->get(BlockNo(256)).error() == Error::invalid);
    CHECK(cache->get(BlockNo(~u64{0})).error() == Error::invalid);
}

TEST_CASE("an error reaches every waiter and is not cached", "[threads]") {
    FakeDisk disk(usize{1} << 20);
    auto cache = *BlockCache::create(disk, 1024, 64 << 10);
    disk.break_sector(20);
    disk.hold(true);
    std::atomic<int> failures{0};
    std::vector<std::thread> readers;
    for (int i = 0; i < 4; ++i)
        readers.emplace_back([&] {
            const auto r = cache->get(BlockNo(10));
            failures += !r && r.error() == Error::io ? 1 : 0;
        });
    while (cache->stats().hits + cache->stats().misses < 4) std::this_thread::yield();
    disk.hold(false);
    for (auto& t : readers) t.join();
    CHECK(failures == 4);
    disk.repair();
    CHECK(cache->get(BlockNo(10)));
    CHECK(cache->stats().pinned_blocks == 0);
}

TEST_CASE("a prefetch is one request and one kick") {
    FakeDisk disk(usize{4} << 20);
    number_blocks(disk, 4096);
    auto cache = *BlockCache::create(disk, 4096, 1 << 20);
    cache->prefetch(BlockNo(100), 32);
    for (u64 b = 100; b < 132; ++b) {
        const auto r = cache->get(BlockNo(b));
        REQUIRE(r);
        CHECK(is_block(*r, b));
    }
    CHECK(disk.requests == 1);
    CHECK(disk.kicks == 1);
    CHECK(disk.largest == 32 * 4096);
    // Around blocks that are there already: two requests, still one kick.
    (void)cache->get(BlockNo(210));
    cache->prefetch(BlockNo(200), 20);
    for (u64 b = 200; b < 220; ++b) CHECK(is_block(*cache->get(BlockNo(b)), b));
    CHECK(disk.requests == 4);
    CHECK(disk.kicks == 3);
}

TEST_CASE("a copy of what is here waits for nothing") {
    FakeDisk disk(usize{1} << 20);
    number_blocks(disk, 4096);
    auto cache = *BlockCache::create(disk, 4096, 1 << 20);
    std::byte to[100] = {};
    CHECK_FALSE(cache->copy_one_present(BlockNo(7), 50, to));
    disk.hold(true);
    cache->prefetch(BlockNo(7), 1);
    CHECK_FALSE(cache->copy_one_present(BlockNo(7), 50, to));
    CHECK(cache->copy_present(BlockNo(7), 50, to) == 0);
    disk.hold(false);
    const auto r = cache->get(BlockNo(7));
    REQUIRE(r);
    CHECK(cache->copy_one_present(BlockNo(7), 50, to));
    CHECK(std::memcmp(to, r->bytes().data() + 50, sizeof(to)) == 0);
    CHECK(cache->stats().pinned_blocks == 1);  // by `r`
}

TEST_CASE("a bad sector spoils only its own block of a prefetch") {
    FakeDisk disk(usize{1} << 20);
    number_blocks(disk, 1024);
    auto cache = *BlockCache::create(disk, 1024, 256 << 10);
    disk.break_sector(2 * 105);
    cache->prefetch(BlockNo(100), 16);
    for (u64 b = 100; b < 116; ++b) {
        const auto r = cache->get(BlockNo(b));
        if (b == 105)
            CHECK(r.error() == Error::io);
        else
            CHECK((r && is_block(*r, b)));
    }
}

TEST_CASE("limits of the device are kept") {
    FakeDisk disk(usize{2} << 20);
    number_blocks(disk, 1024);
    disk.limits_ = {.block_size = 512, .max_segments = 2, .max_segment_bytes = 4096, .max_request_bytes = 8192};
    auto cache = *BlockCache::create(disk, 1024, 512 << 10);
    cache->prefetch(BlockNo(50), 64);
    for (u64 b = 50; b < 114; ++b) CHECK(is_block(*cache->get(BlockNo(b)), b));
    disk.limits_.block_size = 4096;
    CHECK(BlockCache::create(disk, 1024, 1 << 20).error() == Error::unsupported);
}

TEST_CASE("many threads, a small cache: right contents, bounded memory, nothing left pinned", "[threads]") {
    FakeDisk disk(usize{4} << 20, 5);
    number_blocks(disk, 2048);
    const usize regions = arch::host::live_dma_regions();
    {
        auto cache = *BlockCache::create(disk, 2048, 64 << 10);
        std::atomic<u64> wrong{0};
        std::vector<std::thread> threads;
        for (u32 t = 0; t < 6; ++t)
            threads.emplace_back([&, t] {
                std::mt19937 random(t);
                for (int i = 0; i < 1500; ++i) {
                    const u64 b = random() % 2048;
                    if (i % 5 == 0) cache->prefetch(BlockNo(b), 1 + random() % 8);
                    const auto r = cache->get(BlockNo(b));
                    wrong += r && is_block(*r, b) ? 0 : 1;
                }
            });
        for (auto& t : threads) t.join();
        CHECK(wrong == 0);
        CHECK(cache->stats().memory_bytes <= 64 << 10);
    }
    CHECK(arch::host::live_dma_regions() == regions);
}

TEST_CASE("with everything pinned a reader waits for room", "[threads]") {
    FakeDisk disk(usize{1} << 20);
    number_blocks(disk, 4096);
    auto cache = *BlockCache::create(disk, 4096, 32 << 10);
    std::vector<BlockRef> pins;
    for (u64 b = 0; b < 8; ++b) pins.push_back(*cache->get(BlockNo(b)));
    std::atomic<bool> done{false};
    std::thread reader([&] { done = is_block(*cache->get(BlockNo(20)), 20); });
    while (cache->stats().misses < 8) std::this_thread::yield();
    CHECK(!done);
    for (u64 b = 0; b < 8; ++b) CHECK(is_block(pins[b], b));
    pins.pop_back();
    reader.join();
    CHECK(done);
}

TEST_CASE("blocks that a lost device may still write into are never used again") {
    FakeDisk disk(usize{1} << 20);
    number_blocks(disk, 4096);
    auto cache = *BlockCache::create(disk, 4096, 64 << 10);
    {
        const auto kept = cache->get(BlockNo(3));
        REQUIRE(kept);
        disk.lost = true;
        CHECK(cache->get(BlockNo(4)).error() == Error::device_broken);
        cache->prefetch(BlockNo(10), 4);
        disk.lost = false;
        const u64 asked = disk.requests;
        for (u64 b = 4; b < 100; ++b) CHECK(cache->get(BlockNo(b)).error() == Error::device_broken);
        cache->prefetch(BlockNo(10), 4);
        CHECK(disk.requests == asked);
        CHECK(is_block(*kept, 3));
        CHECK(is_block(*cache->get(BlockNo(3)), 3));
    }
    const u64 address = disk.last_dma.raw;
    cache.reset();
    CHECK(arch::host::dma_to_pointer(DmaAddr(address), 4096) != nullptr);  // still there
}
