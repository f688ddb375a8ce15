// The heap: every block keeps its pattern, nothing overlaps, everything comes back.
#include <catch2/catch.hpp>

#include <cstring>
#include <map>
#include <random>

#include "kernel/mm/dma.hpp"
#include "kernel/mm/heap.hpp"
#include "tests/unit/kernel/machine.hpp"

using namespace ringlet;
using namespace ringlet::kernel;
using ringlet::test::HeapRam;
using ringlet::test::kAllMapped;

namespace {

struct Panicked {};

struct Block {
    unsigned char* at;
    usize bytes;
    unsigned char pattern;
    bool intact() const {
        for (usize i = 0; i < bytes; ++i)
            if (at[i] != pattern) return false;
        return true;
    }
};

}  // namespace

TEST_CASE("Random allocations keep their contents and their alignment") {
    HeapRam ram(16_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 16_MiB)};
    REQUIRE(page_allocator_init(regions, {}, kAllMapped));
    const u64 pages_before = page_stats().free_pages;
    const HeapStats before = heap_stats();
    const unsigned seed = 4711;
    INFO("seed " << seed);
    std::mt19937 random(seed);
    std::vector<Block> blocks;
    int refused = 0;
    for (int step = 0; step < 20000; ++step) {
        if (random() % 100 < 52) {
            usize bytes = random() % 10 == 0 ? random() % 40000 : random() % 700;
            const usize align = usize{1} << (random() % 20 == 0 ? random() % 13 : random() % 5);
            auto* p = static_cast<unsigned char*>(heap_allocate(bytes, align));
            if (p == nullptr) {
                ++refused;
                continue;
            }
            REQUIRE(reinterpret_cast<std::uintptr_t>(p) % align == 0);
            REQUIRE(heap_usable_size(p) >= bytes);
            bytes = heap_usable_size(p);
            const auto pattern = static_cast<unsigned char>(random());
            std::memset(p, pattern, bytes);
            blocks.push_back({p, bytes, pattern});
        } else if (!blocks.empty()) {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            REQUIRE(blocks.back().intact());
            heap_free(blocks.back().at);
            blocks.pop_back();
        }
    }
    CHECK(heap_stats().allocations == before.allocations + blocks.size());
    u64 used = 0;
    for (const Block& b : blocks) {
        CHECK(b.intact());
        used += b.bytes;
        heap_free(b.at);
    }
    CHECK(used > 0);
    CHECK(heap_stats().used_bytes == before.used_bytes);
    CHECK(heap_stats().allocations == before.allocations);
    CHECK(page_stats().free_pages + 22 >= pages_before);  // one empty slab per class may stay
    // Exhaustion is a nullptr, and gets the empty slabs back first.
    std::vector<void*> all;
    while (void* p = heap_allocate(4096)) all.push_back(p);
    CHECK(page_stats().free_pages == 0);
    CHECK(heap_allocate(16) == nullptr);
    for (void* p : all) heap_free(p);
    CHECK(page_stats().free_pages == pages_before);
    CHECK(heap_allocate(~usize{0}) == nullptr);
    CHECK(heap_allocate(~usize{0} - 4096) == nullptr);
    CHECK(heap_allocate(2_GiB) == nullptr);
    heap_free(nullptr);
}

TEST_CASE("alignments larger than a page are kept") {
    HeapRam ram(16_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 16_MiB)};
    REQUIRE(page_allocator_init(regions, {}, kAllMapped));
    for (const usize align : {8192u, 65536u, 1048576u}) {
        void* p = heap_allocate(100, align);
        REQUIRE(p != nullptr);
        CHECK(reinterpret_cast<std::uintptr_t>(p) % align == 0);
        heap_free(p);
    }
}

TEST_CASE("Freeing twice, or something else, is a panic") {
    HeapRam ram(4_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 4_MiB)};
    REQUIRE(page_allocator_init(regions, {}, kAllMapped));
    arch::host::set_power_hook([](arch::host::PowerEvent, u8) { throw Panicked(); });
    arch::host::set_early_sink([](char) {});
    auto* small = static_cast<char*>(heap_allocate(40));
    auto* keep = heap_allocate(40);
    auto* large = static_cast<char*>(heap_allocate(10000));
    heap_free(small);
    CHECK_THROWS_AS(heap_free(small), Panicked);
    CHECK_THROWS_AS(heap_free(static_cast<char*>(keep) + 16), Panicked);
    CHECK_THROWS_AS(heap_free(large + kPageSize), Panicked);
    heap_free(large);
    CHECK_THROWS_AS(heap_free(large), Panicked);
    CHECK(heap_usable_size(small) == 0);
    CHECK(heap_usable_size(keep) == 48);
    heap_free(keep);
    arch::host::set_power_hook(nullptr);
    arch::host::set_early_sink(nullptr);
}

TEST_CASE("DMA regions are zeroed, contiguous and come back") {
    HeapRam ram(8_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 8_MiB)};
    REQUIRE(page_allocator_init(regions, {}, kAllMapped));
    const u64 before = page_stats().free_pages;
    {
        auto dirty = allocate_pages(4);
        REQUIRE(dirty);
        std::memset(reinterpret_cast<void*>(dirty->raw), 0xee, 16 * kPageSize);
        free_pages(*dirty, 4);
        auto region = DmaRegion::allocate(5 * kPageSize + 1);
        REQUIRE(region);
        CHECK(region->bytes().size() == 5 * kPageSize + 1);
        CHECK(page_stats().free_pages == before - 6);  // not eight
        for (std::byte b : region->bytes()) REQUIRE(b == std::byte{0});
        CHECK(region->addr(3).raw == reinterpret_cast<std::uintptr_t>(region->bytes().data()) + 3);
        auto moved = std::move(*region);
        CHECK_FALSE(DmaRegion::allocate(0));
        CHECK_FALSE(DmaRegion::allocate(1_GiB * 8));
    }
    CHECK(page_stats().free_pages == before);
}
