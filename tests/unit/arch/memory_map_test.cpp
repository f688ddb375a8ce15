// The PVH memory map: what real loaders give, and what no loader should.
#include "boot/x86_64/memory_map.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

using namespace ringlet;
using boot::MemoryMapEntry;
using boot::usable_ram;

namespace {

constexpr u64 kLimit = 512_GiB;

using Ranges = std::vector<std::pair<u64, u64>>;  // start, end

Ranges ram_of(std::vector<MemoryMapEntry> entries, u64 limit = kLimit) {
    Ranges out;
    const auto list = usable_ram(entries, limit);
    for (const auto& r : list) out.push_back({r.base.raw, r.base.raw + r.bytes});
    return out;
}

}  // namespace

TEST_CASE("the map of QEMU's q35 with 3 GiB") {
    const auto ram = ram_of({{0, 0x9fc00, 1, 0},
                             {0x9fc00, 0x400, 2, 0},
                             {0xf0000, 0x10000, 2, 0},
                             {0x100000, 0x7fee0000, 1, 0},
                             {0x7ffe0000, 0x20000, 2, 0},
                             {0xb0000000, 0x10000000, 2, 0},
                             {0x1'0000'0000, 0x4000'0000, 1, 0}});
    REQUIRE(ram == Ranges{{0x1000, 0x9f000}, {0x100000, 0x7ffe0000}, {0x1'0000'0000, 0x1'4000'0000}});
}

TEST_CASE("neighbours merge and order does not matter") {
    REQUIRE(ram_of({{0x300000, 0x100000, 1, 0}, {0x100000, 0x200000, 1, 0}}) == Ranges{{0x100000, 0x400000}});
    REQUIRE(ram_of({{0x100000, 0x300000, 1, 0}, {0x200000, 0x400000, 1, 0}}) == Ranges{{0x100000, 0x600000}});
    REQUIRE(ram_of({{0x100000, 0x900000, 1, 0}, {0x200000, 0x1000, 1, 0}}) == Ranges{{0x100000, 0xa00000}});
}

TEST_CASE("whole pages only, page 0 never") {
    REQUIRE(ram_of({{0x100001, 0x1fff, 1, 0}}) == Ranges{{0x101000, 0x102000}});
    REQUIRE(ram_of({{0x100001, 0xfff, 1, 0}}).empty());
    REQUIRE(ram_of({{0, 0x1000, 1, 0}}).empty());
    REQUIRE(ram_of({{0, 0x2000, 1, 0}}) == Ranges{{0x1000, 0x2000}});
}

TEST_CASE("what another type claims is taken out") {
    REQUIRE(ram_of({{0x100000, 0x300000, 1, 0}, {0x200800, 0x10, 3, 0}}) ==
            Ranges{{0x100000, 0x200000}, {0x201000, 0x400000}});
    REQUIRE(ram_of({{0x100000, 0x300000, 1, 0}, {0, ~u64{0}, 2, 0}}).empty());
}

TEST_CASE("sizes that wrap, and the limit") {
    REQUIRE(ram_of({{0x100000, ~u64{0}, 1, 0}}, 4_GiB) == Ranges{{0x100000, 4_GiB}});
    REQUIRE(ram_of({{~u64{0} - 10, 100, 1, 0}}).empty());
    REQUIRE(ram_of({{~u64{0} - 10, 100, 2, 0}, {0x100000, 0x1000, 1, 0}}) == Ranges{{0x100000, 0x101000}});
    REQUIRE(ram_of({{8_GiB, 1_GiB, 1, 0}}, 4_GiB).empty());
    REQUIRE(ram_of({}).empty());
}

TEST_CASE("a full list keeps the largest ranges") {
    std::vector<MemoryMapEntry> entries;
    for (u64 i = 0; i < 70; ++i) entries.push_back({0x100000 + i * 0x10000, (i % 7 + 1) * 0x1000, 1, 0});
    const auto ram = ram_of(entries);
    REQUIRE(ram.size() == 64);
    REQUIRE(std::is_sorted(ram.begin(), ram.end()));
    u64 total = 0;
    for (auto [start, end] : ram) total += end - start;
    REQUIRE(total == 40 * 7 * 0x1000 - 6 * 0x1000);  // six of the ten one-page ranges are gone
}

TEST_CASE("random maps agree with a page-by-page model") {
    constexpr unsigned kSeed = 20261122;
    INFO("seed " << kSeed);
    std::mt19937 random(kSeed);
    constexpr u64 kPages = 64;
    for (int round = 0; round < 2000; ++round) {
        std::vector<MemoryMapEntry> entries;
        for (unsigned n = random() % 8; n > 0; --n)
            entries.push_back(
                {random() % (kPages * kPageSize), random() % (20 * kPageSize), static_cast<u32>(1 + random() % 2), 0});
        // A byte is RAM if a RAM entry covers it and no other does; a page is usable if all its bytes are.
        auto covers = [](const MemoryMapEntry& e, u64 byte) { return byte >= e.addr && byte - e.addr < e.size; };
        auto usable = [&](u64 page) {
            bool whole = page != 0;
            // The borders of entries are the only places where the answer can change.
            std::vector<u64> probes = {page * kPageSize, page * kPageSize + kPageSize - 1};
            for (const auto& e : entries)
                for (u64 b : {e.addr - 1, e.addr, e.addr + e.size - 1, e.addr + e.size})
                    if (b / kPageSize == page) probes.push_back(b);
            for (u64 byte : probes) {
                bool ram = false, other = false;
                for (const auto& e : entries) (e.type == 1 ? ram : other) |= covers(e, byte);
                whole = whole && ram && !other;
            }
            return whole;
        };
        const auto ram = ram_of(entries);
        for (u64 page = 0; page < kPages + 24; ++page) {
            bool got = false;
            for (auto [start, end] : ram) got |= page * kPageSize >= start && page * kPageSize < end;
            REQUIRE(got == usable(page));
        }
    }
}
