// The run that was found last: what it says of blocks in it and beside it, and that no reader sees half of one.
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "fs/ext4/run.hpp"

using namespace ringlet;
using namespace ringlet::fs::ext4;

TEST_CASE("the last run knows its blocks and no others") {
    LastRun last;
    CHECK_FALSE(last.find(0));
    last.keep(100, {.physical = 5000, .length = 10});
    CHECK_FALSE(last.find(99));
    CHECK_FALSE(last.find(110));
    const auto inside = last.find(103);
    REQUIRE(inside);
    CHECK(inside->physical == 5003);
    CHECK(inside->length == 7);
    CHECK_FALSE(inside->reads_zeros());
    // A hole has no place, wherever one is in it, and may reach beyond the last block there can be.
    last.keep(7, {.physical = 0, .length = u64{1} << 32});
    const auto hole = last.find(~u32{0} - 1);
    REQUIRE(hole);
    CHECK(hole->physical == 0);
    CHECK(hole->length != 0);
    CHECK_FALSE(last.find(6));
    last.keep(0, {.physical = 1, .length = 2, .unwritten = true});
    REQUIRE(last.find(1));
    CHECK(last.find(1)->physical == 2);
    CHECK(last.find(1)->reads_zeros());
    last.forget();
    CHECK_FALSE(last.find(0));
}

TEST_CASE("readers that keep runs at the same time never see half of one", "[threads]") {
    LastRun last;
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (u32 t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (u32 i = 0; i < 300'000; ++i) {
                const u32 first = (t * 7919 + i * 31) % 1000;
                // Wherever they begin, all of them say the same of the last block.
                last.keep(first, {.physical = 20'000 + u64{first}, .length = 1000 - first});
                const auto seen = last.find(999);
                wrong += seen && seen->physical != 20'999 ? 1 : 0;
            }
        });
    for (auto& t : threads) t.join();
    CHECK(wrong == 0);
}
