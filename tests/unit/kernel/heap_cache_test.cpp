// A thread's own free slots: same contents, same bounds, everything comes back, and twice is noticed.
#include "kernel/mm/heap_cache.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "arch/host.hpp"
#include "kernel/mm/heap.hpp"
#include "tests/unit/kernel/machine.hpp"

using namespace ringlet;
using namespace ringlet::kernel;
using ringlet::test::HeapRam;
using ringlet::test::kAllMapped;

namespace {

/// As posix/memory.cpp does it.
void* take(HeapCache& cache, usize bytes) {
    void* p = cache.allocate(bytes);
    return p != nullptr ? p : heap_allocate(bytes);
}
void give(HeapCache& cache, void* p) {
    if (!cache.free(p)) heap_free(p);
}

struct Block {
    unsigned char* at;
    usize bytes;
    unsigned char pattern;
};

}  // namespace

TEST_CASE("heap cache: random blocks of two threads keep their contents, and all comes back") {
    HeapRam ram(16_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 16_MiB)};
    REQUIRE(page_allocator_init(regions, {}, kAllMapped));
    const HeapStats before = heap_stats();
    std::mt19937 random(99);
    HeapCache caches[2];
    std::vector<Block> blocks;
    for (int step = 0; step < 60000; ++step) {
        HeapCache& mine = caches[random() % 2];
        if (random() % 100 < 51) {
            const usize bytes = random() % 20 == 0 ? random() % 6000 : random() % 2100;
            auto* p = static_cast<unsigned char*>(take(mine, bytes));
            REQUIRE(p != nullptr);
            REQUIRE(reinterpret_cast<std::uintptr_t>(p) % 16 == 0);
            const usize room = heap_usable_size(p);
            REQUIRE(room >= bytes);
            const auto pattern = static_cast<unsigned char>(random());
            std::memset(p, pattern, room);
            blocks.push_back({p, room, pattern});
        } else if (!blocks.empty()) {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            const Block b = blocks.back();
            blocks.pop_back();
            REQUIRE(std::all_of(b.at, b.at + b.bytes, [&](unsigned char c) { return c == b.pattern; }));
            give(mine, b.at);  // whichever thread allocated it
        }
    }
    for (const Block& b : blocks) give(caches[0], b.at);
    for (HeapCache& cache : caches) cache.drain();
    CHECK(heap_stats().allocations == before.allocations);
    CHECK(heap_stats().used_bytes == before.used_bytes);
}

TEST_CASE("heap cache: little is kept, and nothing after the end") {
    HeapRam ram(16_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 16_MiB)};
    REQUIRE(page_allocator_init(regions, {}, kAllMapped));
    const HeapStats before = heap_stats();
    HeapCache cache;
    void* one = take(cache, 100);
    CHECK(heap_stats().allocations == before.allocations + 1);  // the first time no more than was asked for
    give(cache, one);
    std::vector<void*> many;
    for (int i = 0; i < 2000; ++i) many.push_back(take(cache, 64));
    for (void* p : many) give(cache, p);
    CHECK(heap_stats().allocations <= before.allocations + 1 + 32);
    void* large = take(cache, HeapCache::kLargest + 1);
    CHECK(large != nullptr);
    give(cache, large);
    CHECK(cache.allocate(HeapCache::kLargest + 1) == nullptr);
    cache.close();
    CHECK(heap_stats().allocations == before.allocations);
    CHECK(cache.allocate(16) == nullptr);
    void* late = take(cache, 16);
    CHECK_FALSE(cache.free(late));
    heap_free(late);
}

TEST_CASE("heap cache: memory that is out is nullptr, and a drain brings it back") {
    HeapRam ram(1_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 1_MiB)};
    REQUIRE(page_allocator_init(regions, {}, kAllMapped));
    HeapCache cache;
    std::vector<void*> all;
    while (void* p = cache.allocate(512)) all.push_back(p);
    REQUIRE(all.size() > 100);
    for (usize i = 0; i < 7; ++i) {
        REQUIRE(cache.free(all.back()));
        all.pop_back();
    }
    for (void* p : all) heap_free(p);
    cache.drain();
    void* large = heap_allocate(100'000);
    CHECK(large != nullptr);
    heap_free(large);
}

TEST_CASE("heap cache: what is freed twice is noticed") {
    struct Panicked {};
    HeapRam ram(4_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 4_MiB)};
    REQUIRE(page_allocator_init(regions, {}, kAllMapped));
    arch::host::set_power_hook([](arch::host::PowerEvent, u8) { throw Panicked(); });
    arch::host::set_early_sink([](char) {});
    HeapCache cache;
    void* p = cache.allocate(40);
    void* q = cache.allocate(40);
    REQUIRE(cache.free(p));
    CHECK_THROWS_AS(cache.free(p), Panicked);
    CHECK_FALSE(cache.free(static_cast<char*>(q) + 16));  // no slot: heap_free() says what that is
    REQUIRE(cache.free(q));
    CHECK_THROWS_AS(cache.free(p), Panicked);
    arch::host::set_power_hook(nullptr);
    arch::host::set_early_sink(nullptr);
    cache.drain();
}
