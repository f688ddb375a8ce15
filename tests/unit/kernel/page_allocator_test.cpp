// The page allocator against a model that knows for each page whether it is free, reserved, or whose it is.
#include <catch2/catch.hpp>

#include <map>
#include <random>

#include "kernel/mm/bit_tree.hpp"
#include "kernel/mm/page_allocator.hpp"
#include "kernel/mm/page_poison.hpp"
#include "kernel/mm/pressure.hpp"
#include "tests/unit/kernel/machine.hpp"

using namespace ringlet;
using namespace ringlet::kernel;
using ringlet::test::kAllMapped;
using ringlet::test::Ram;

namespace {

u64 free_pages_by_order(const PageStats& stats) {
    u64 sum = 0;
    for (unsigned k = 0; k <= kMaxOrder; ++k) sum += stats.free_blocks[k] << k;
    return sum;
}

void check_consistent() {
    const PageStats stats = page_stats();
    CHECK(free_pages_by_order(stats) == stats.free_pages);
    CHECK(stats.free_pages <= stats.total_pages);
}

struct Model {
    std::map<u64, u64> taken;  // first byte -> bytes
    std::vector<arch::MmioRange> ram, reserved;

    void add(u64 base, u64 bytes) {
        bool inside = false;
        for (const auto& r : ram) inside |= base >= r.base.raw && base + bytes <= r.base.raw + r.bytes;
        CHECK(inside);
        for (const auto& r : reserved) CHECK((base + bytes <= r.base.raw || base >= r.base.raw + r.bytes));
        auto next = taken.lower_bound(base);
        CHECK((next == taken.end() || base + bytes <= next->first));
        if (next != taken.begin()) {
            const auto& before = *std::prev(next);
            CHECK(before.first + before.second <= base);
        }
        taken[base] = bytes;
    }
};

void random_run(std::vector<arch::MmioRange> ram, std::vector<arch::MmioRange> reserved, unsigned seed,
                PhysAddr limit) {
    REQUIRE(page_allocator_init(ram, reserved, limit));
    const PageStats at_start = page_stats();
    check_consistent();
    Model model{.taken = {}, .ram = ram, .reserved = reserved};
    std::mt19937 random(seed);
    std::vector<std::pair<PhysAddr, usize>> blocks, runs;
    for (int step = 0; step < 4000; ++step) {
        const auto what = static_cast<unsigned>(random() % 100);
        if (what < 40) {
            const auto order = static_cast<unsigned>(random() % (random() % 12 + 1));
            if (auto page = allocate_pages(order)) {
                CHECK(page->raw % (kPageSize << order) == 0);
                CHECK(allocation_order(*page) == order);
                model.add(page->raw, kPageSize << order);
                blocks.emplace_back(*page, order);
            }
        } else if (what < 50) {
            const usize pages = random() % 70 + 1;
            if (auto page = allocate_page_run(pages)) {
                model.add(page->raw, pages * kPageSize);
                runs.emplace_back(*page, pages);
            }
        } else if (what < 90 && !blocks.empty()) {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            const auto [page, order] = blocks.back();
            blocks.pop_back();
            free_pages(page, static_cast<unsigned>(order));
            model.taken.erase(page.raw);
            if (what % 8 == 0) {  // again: refused
                const PageStats before = page_stats();
                free_pages(page, static_cast<unsigned>(order));
                CHECK(page_stats().bad_frees == before.bad_frees + 1);
                CHECK(page_stats().free_pages == before.free_pages);
            }
        } else if (!runs.empty()) {
            std::swap(runs[random() % runs.size()], runs.back());
            free_page_run(runs.back().first, runs.back().second);
            model.taken.erase(runs.back().first.raw);
            runs.pop_back();
        }
        u64 taken = 0;
        if (step % 64 == 0) {
            for (const auto& [base, bytes] : model.taken) taken += bytes / kPageSize;
            CHECK(page_stats().free_pages + taken == at_start.free_pages);
            check_consistent();
        }
    }
    for (const auto& [page, order] : blocks) free_pages(page, static_cast<unsigned>(order));
    for (const auto& [page, pages] : runs) free_page_run(page, pages);
    const PageStats at_end = page_stats();
    for (unsigned k = 0; k <= kMaxOrder; ++k) CHECK(at_end.free_blocks[k] == at_start.free_blocks[k]);  // all merged
}

}  // namespace

TEST_CASE("BitTree finds the lowest member of any set") {
    std::mt19937 random(7);
    for (const usize bits : {1u, 63u, 64u, 65u, 4096u, 4097u, 300000u}) {
        std::vector<u64> words(BitTree::words(bits));
        BitTree tree(words.data(), bits);
        std::map<usize, bool> model;
        for (int i = 0; i < 500; ++i) {
            const usize n = random() % bits;
            if (model.contains(n)) {
                tree.erase(n);
                model.erase(n);
            } else {
                tree.insert(n);
                model[n] = true;
            }
            CHECK(tree.contains(n) == model.contains(n));
            if (!model.empty()) CHECK(tree.lowest() == model.begin()->first);
        }
    }
}

TEST_CASE("Random use of several memory layouts agrees with the model") {
    const unsigned seed = 20260;
    INFO("seed " << seed);
    Ram ram(64_MiB);
    SECTION("4 MiB, the smallest machine") {
        random_run({ram.range(0, 4_MiB)}, {ram.range(0, 300_KiB)}, seed, kAllMapped);
    }
    SECTION("a PC's memory with a hole and odd edges") {
        random_run({ram.range(0, 636_KiB), ram.range(1_MiB, 30_MiB + 12_KiB), ram.range(48_MiB + 4_KiB, 5_MiB)},
                   {ram.range(2_MiB + 17, 700'001), ram.range(0, 4_KiB), ram.range(20_MiB, 8_KiB)}, seed, kAllMapped);
    }
    SECTION("many small regions") {
        std::vector<arch::MmioRange> regions;
        for (u64 i = 0; i < 60; ++i) regions.push_back(ram.range(i * 1_MiB, 4_KiB * (i % 7 + 3 * i)));
        random_run(regions, {}, seed, kAllMapped);
    }
    SECTION("only the first 8 MiB mapped at first") {
        random_run({ram.range(0, 40_MiB)}, {ram.range(0, 1_MiB)}, seed, PhysAddr(ram.base + 8_MiB));
    }
}

TEST_CASE("Bookkeeping and first pages lie below the mapped limit") {
    Ram ram(64_MiB);
    const PhysAddr limit(ram.base + 6_MiB);
    const arch::MmioRange regions[] = {ram.range(2_MiB, 2_MiB + 4_KiB), ram.range(5_MiB, 40_MiB + 4_KiB)};
    // Nobody may touch what is above: make it fault.
    REQUIRE(mprotect(reinterpret_cast<void*>(limit.raw), 50_MiB, PROT_NONE) == 0);
    REQUIRE(page_allocator_init(regions, {}, limit));
    u64 below = 0;
    while (auto page = allocate_pages(0)) {
        if (page->raw >= limit.raw) break;
        ++below;
    }
    CHECK(below > 700);  // 3 MiB and a page, less the bookkeeping
    CHECK(allocate_pages(5));
}

TEST_CASE("8 GiB and more cost little bookkeeping and give 1 GiB blocks") {
    Ram ram(12_GiB, 1_GiB);
    const arch::MmioRange regions[] = {ram.range(0, 3_GiB), ram.range(4_GiB, 8_GiB)};
    REQUIRE(page_allocator_init(regions, {}, kAllMapped));
    const PageStats stats = page_stats();
    CHECK(stats.total_pages > (11_GiB / kPageSize) * 9998 / 10000);
    CHECK(stats.free_blocks[kMaxOrder] == 10);
    auto huge = allocate_pages(kMaxOrder);
    REQUIRE(huge);
    CHECK(huge->raw % 1_GiB == 0);
    free_pages(*huge, kMaxOrder);
}

TEST_CASE("Bad frees are refused and counted") {
    Ram ram(8_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 8_MiB)};
    REQUIRE(page_allocator_init(regions, {}, kAllMapped));
    const auto page = allocate_pages(2);
    REQUIRE(page);
    const u64 free_before = page_stats().free_pages;
    free_pages(*page, 1);              // wrong order
    free_pages(*page + kPageSize, 0);  // inside
    free_pages(*page + 1, 2);          // unaligned
    free_pages(PhysAddr(0), 0);        // elsewhere
    free_pages(PhysAddr(~u64{0} << 12), 3);
    free_pages(*page, 63);
    CHECK(page_stats().bad_frees == 6);
    CHECK(page_stats().free_pages == free_before);
    CHECK(allocation_order(*page) == 2u);
    CHECK_FALSE(allocation_order(*page + kPageSize));
    free_pages(*page, 2);
    CHECK(page_stats().free_pages == free_before + 4);
    CHECK_FALSE(allocate_pages(kMaxOrder));
    CHECK_FALSE(allocate_pages(64));
    CHECK_FALSE(allocate_page_run(0));
}

TEST_CASE("Reserved memory can be donated once") {
    Ram ram(8_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 8_MiB)};
    const arch::MmioRange reserved[] = {ram.range(1_MiB, 64_KiB + 5)};
    REQUIRE(page_allocator_init(regions, reserved, kAllMapped));
    const PageStats before = page_stats();
    donate_pages(ram.range(1_MiB + 1, 64_KiB));  // inwards: 15 pages
    CHECK(page_stats().total_pages == before.total_pages + 15);
    donate_pages(ram.range(1_MiB, 64_KiB));
    CHECK(page_stats().total_pages == before.total_pages + 16);
    CHECK(page_stats().bad_frees == 15);
    donate_pages({PhysAddr(ram.base + 100_MiB), 1_GiB});
    CHECK(page_stats().bad_frees == 16);
    check_consistent();
}

TEST_CASE("A map without usable memory is an error") {
    Ram ram(8_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 4_MiB)};
    const arch::MmioRange all[] = {ram.range(0, 8_MiB)};
    CHECK_FALSE(page_allocator_init({}, {}, kAllMapped));
    CHECK_FALSE(page_allocator_init(regions, all, kAllMapped));
    CHECK_FALSE(page_allocator_init(regions, {}, PhysAddr(ram.base)));
    const arch::MmioRange absurd[] = {{PhysAddr(~u64{0} - 5), ~u64{0}}, {PhysAddr(0), 0}};
    CHECK_FALSE(page_allocator_init(absurd, absurd, kAllMapped));
}

TEST_CASE("The largest free blocks can be taken, split and given back one by one") {
    const Ram ram(64_MiB, 64_MiB);
    const std::vector<arch::MmioRange> ranges{ram.range(0, 40_MiB), ram.range(48_MiB, 16_MiB)};
    REQUIRE(page_allocator_init(ranges, {}, kAllMapped));
    const PageStats start = page_stats();
    std::vector<PageBlock> taken;
    unsigned order = kMaxOrder;
    while (auto block = take_largest_block(10)) {
        CHECK(block->order <= 10);
        CHECK(block->order <= order);  // never a small one while there is a larger one
        CHECK(block->base.raw % (kPageSize << block->order) == 0);
        order = block->order;
        taken.push_back(*block);
    }
    CHECK(page_stats().free_pages == 0);
    CHECK(taken.front().base.raw >= ram.base + 48_MiB);  // from the highest region first
    std::mt19937 random(5);
    while (!taken.empty()) {
        std::swap(taken[random() % taken.size()], taken.back());
        PageBlock block = taken.back();
        taken.pop_back();
        if (block.order != 0 && random() % 2 == 0) {
            const PageBlock upper = split_block(block);
            CHECK(upper.base.raw == block.base.raw + block.pages() * kPageSize);
            CHECK(upper.order == block.order);
            taken.push_back(upper);
        }
        free_pages(block.base, block.order);
    }
    const PageStats end = page_stats();
    CHECK(end.bad_frees == 0);
    for (unsigned k = 0; k <= kMaxOrder; ++k) CHECK(end.free_blocks[k] == start.free_blocks[k]);
}

TEST_CASE("Free memory is reported once, and again after it was used") {
    const Ram ram(64_MiB, 64_MiB);
    REQUIRE(page_allocator_init(std::vector{ram.range(0, 64_MiB)}, {}, kAllMapped));
    const auto report_all = [](unsigned max_order) {
        u64 pages = 0;
        std::vector<PageBlock> isolated;
        while (auto block = take_unreported_block(max_order)) {
            CHECK(block->order >= kReportOrder);
            CHECK(block->order <= max_order);
            pages += block->pages();
            isolated.push_back(*block);
            if (isolated.size() == 3) {
                for (const PageBlock& b : isolated) return_reported(b);
                isolated.clear();
            }
            REQUIRE(pages <= 64_MiB / kPageSize);
        }
        for (const PageBlock& b : isolated) return_reported(b);
        return pages;
    };
    const u64 free = page_stats().free_pages;
    const u64 first = report_all(10);
    CHECK(first > 60_MiB / kPageSize);
    CHECK(first % 512 == 0);
    CHECK(report_all(10) == 0);
    CHECK(page_stats().free_pages == free);
    // One page used and given back: its 2 MiB are news again, and nothing else.
    const PhysAddr page = allocate_pages(0).value();
    CHECK(report_all(10) == 0);  // what is left of its block is no whole 2 MiB
    free_pages(page, 0);
    const u64 again = report_all(9);
    CHECK((again == 512 || again == 0));  // 0: it came from the part below the first 2 MiB
    std::mt19937 random(9);
    std::map<u64, unsigned> taken;
    for (int i = 0; i < 2000; ++i) {
        const auto order = static_cast<unsigned>(random() % 12);
        if (random() % 2 == 0) {
            if (auto block = allocate_pages(order)) taken[block->raw] = order;
        } else if (!taken.empty()) {
            free_pages(PhysAddr(taken.begin()->first), taken.begin()->second);
            taken.erase(taken.begin());
        } else {
            report_all(9 + static_cast<unsigned>(random() % 5));
        }
    }
    for (const auto& [base, order] : taken) free_pages(PhysAddr(base), order);
    CHECK(report_all(12) <= first);
    CHECK(report_all(12) == 0);
    CHECK(page_stats().free_pages == free);
    CHECK(page_stats().bad_frees == 0);
}

TEST_CASE("An allocation that finds nothing asks those who can give memory back") {
    const Ram ram(8_MiB, 8_MiB);
    REQUIRE(page_allocator_init(std::vector{ram.range(0, 8_MiB)}, {}, kAllMapped));
    struct Hoard {
        std::vector<PageBlock> blocks;
        std::vector<usize> asked;
        usize per_call = 1;
    } hoard;
    while (auto block = take_largest_block(4)) hoard.blocks.push_back(*block);
    MemorySource source{.give =
                            [](void* p, usize pages, Pressure pressure) {
                                auto& h = *static_cast<Hoard*>(p);
                                CHECK(pressure == Pressure::exhausted);
                                h.asked.push_back(pages);
                                usize given = 0;
                                for (usize i = 0; i < h.per_call && !h.blocks.empty(); ++i) {
                                    given += h.blocks.back().pages();
                                    free_pages(h.blocks.back().base, h.blocks.back().order);
                                    h.blocks.pop_back();
                                }
                                return given;
                            },
                        .reclaimable = [](void* p) { return static_cast<Hoard*>(p)->blocks.size(); },
                        .context = &hoard};
    CHECK_FALSE(allocate_pages(0));
    pressure_register(source);
    CHECK(reclaimable_pages() == hoard.blocks.size());
    const auto page = allocate_pages(0);
    CHECK(page);
    CHECK(hoard.asked == std::vector<usize>{1});
    const usize before = hoard.blocks.size();
    CHECK_FALSE(allocate_pages(11));  // out of reach: it does not squeeze out everything for nothing
    CHECK(before - hoard.blocks.size() <= 8 * 8);
    hoard.per_call = 1000;
    CHECK(allocate_page_run(100));
    CHECK(hoard.blocks.empty());
    pressure_unregister(source);
    CHECK(reclaimable_pages() == 0);
    CHECK(relieve_pressure(1, Pressure::exhausted) == 0);
}

TEST_CASE("A write to a freed page is found when the page is wanted again, and the page is not used") {
    const Ram memory(4_MiB);
    const arch::MmioRange ram[] = {memory.range(0, 4_MiB)};
    REQUIRE(page_allocator_init(ram, {}, kAllMapped));
    const auto word = [](PhysAddr at) -> u32& { return *reinterpret_cast<u32*>(at.raw); };
    const PhysAddr before = allocate_pages(0).value();
    word(before) = 1;
    poison::start();
    CHECK(poison::pattern() == poison::kPattern);
    CHECK(word(before) == 1);  // only what is free is filled
    const u64 damaged = poison::damaged(), free = page_stats().free_pages;
    const PhysAddr page = allocate_pages(3).value(), run = allocate_page_run(5).value();
    CHECK(word(page) == poison::kPattern);
    word(page + 7 * kPageSize) = 42;
    word(run + 4 * kPageSize) = 42;
    free_pages(page, 2);  // the wrong order: refused, and nothing is filled
    CHECK(word(page + 7 * kPageSize) == 42);
    free_pages(page, 3);
    free_page_run(run, 5);
    CHECK(word(page + 7 * kPageSize) == poison::kPattern);
    CHECK(page_stats().free_pages == free);
    const PhysAddr again = allocate_pages(0).value();
    free_pages(again, 0);
    word(again + 1000) = 7;  // after the end of its life
    std::vector<PhysAddr> all;
    while (auto p = allocate_pages(0)) all.push_back(*p);
    CHECK(poison::damaged() == damaged + 1);
    CHECK(all.size() == free - 1);
    CHECK(std::ranges::find(all, again) == all.end());
    poison::stop();
}
