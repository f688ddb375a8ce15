// boot/tunables: names to members, units, ranges, and the sentences about what is wrong.
#include "boot/tunables.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace ringlet;
using namespace ringlet::boot;

namespace {

enum class Mode : i8 { leave = -1, off = 0, on = 1 };
struct Settings {
    bool csum_disable = false;
    u16 pairs = 0;
    Mode mode = Mode::leave;
};
constexpr Tunable kRows[] = {tunable<&Settings::csum_disable>("csum_disable"),
                             tunable<&Settings::pairs>("mq_max_pairs", 0, 8), tunable<&Settings::mode>("mode", -1, 1)};
constexpr TunablesOf<Settings> kTable{{"vtnet", kRows}};
struct Other {
    bool no_ident = false;
};
constexpr Tunable kOtherRows[] = {tunable<&Other::no_ident>("no_ident")};
constexpr TunablesOf<Other> kOther{{"vtblk", kOtherRows}};

std::vector<std::string> complaints(std::string_view text) {
    std::vector<std::string> all;
    const TunableGroup* const groups[] = {&kTable, &kOther};
    check_tunables(CommandLine(text), groups, [&](std::string_view s) { all.emplace_back(s); });
    return all;
}

}  // namespace

TEST_CASE("tunables have their defaults when nothing is said") {
    const Settings s = read_tunables(CommandLine("panic=exit"), kTable, 0);
    CHECK((!s.csum_disable && s.pairs == 0 && s.mode == Mode::leave));
}

TEST_CASE("a tunable without a unit is for all units") {
    const CommandLine line("hw.vtnet.csum_disable=1 hw.vtnet.mq_max_pairs=4 hw.vtnet.mode=0 hw.vtblk.no_ident=1");
    for (u32 unit : {0u, 7u}) {
        const Settings s = read_tunables(line, kTable, unit);
        CHECK((s.csum_disable && s.pairs == 4 && s.mode == Mode::off));
    }
    CHECK(read_tunables(line, kOther, 0).no_ident);
    CHECK(complaints("hw.vtnet.csum_disable=1 hw.vtnet.mq_max_pairs=4 hw.vtnet.mode=-1 hw.vtblk.no_ident=1").empty());
}

TEST_CASE("a tunable with a unit is for that one and wins wherever it stands") {
    for (const char* text :
         {"hw.vtnet.1.mq_max_pairs=2 hw.vtnet.mq_max_pairs=8", "hw.vtnet.mq_max_pairs=8 hw.vtnet.1.mq_max_pairs=2"}) {
        CHECK(read_tunables(CommandLine(text), kTable, 0).pairs == 8);
        CHECK(read_tunables(CommandLine(text), kTable, 1).pairs == 2);
        CHECK(complaints(text).empty());
    }
}

TEST_CASE("of the same word the last counts, and bad values change nothing") {
    CHECK(read_tunables(CommandLine("hw.vtnet.mq_max_pairs=2 hw.vtnet.mq_max_pairs=3"), kTable, 0).pairs == 3);
    CHECK(read_tunables(CommandLine("hw.vtnet.mq_max_pairs=2 hw.vtnet.mq_max_pairs=9"), kTable, 0).pairs == 2);
    CHECK(read_tunables(CommandLine("hw.vtnet.mode=-2"), kTable, 0).mode == Mode::leave);
    CHECK_FALSE(read_tunables(CommandLine("hw.vtnet.csum_disable"), kTable, 0).csum_disable);
    CHECK_FALSE(read_tunables(CommandLine("x -- hw.vtnet.csum_disable=1"), kTable, 0).csum_disable);
}

TEST_CASE("what is wrong is said in one sentence") {
    const auto only = [](std::string_view text) {
        const auto all = complaints(text);
        CHECK(all.size() == 1);
        return all.empty() ? "" : all[0];
    };
    CHECK(only("hw.vtnet.csum=1") == "command line: hw.vtnet.csum: vtnet has no such tunable");
    CHECK(only("hw.vtnet.x.csum_disable=1") == "command line: hw.vtnet.x.csum_disable: vtnet has no such tunable");
    CHECK(only("hw.vtnet.0.=1") == "command line: hw.vtnet.0.: vtnet has no such tunable");
    CHECK(only("hw.vtnet.mq_max_pairs=9") ==
          "command line: hw.vtnet.mq_max_pairs=9 is not understood: a number from 0 to 8");
    CHECK(only("hw.vtnet.mode=-2") == "command line: hw.vtnet.mode=-2 is not understood: a number from -1 to 1");
    CHECK(only("hw.vtnet.csum_disable") ==
          "command line: hw.vtnet.csum_disable= is not understood: a number from 0 to 1");
    CHECK(only("hw.vtfoo.bar=1") == "command line: hw.vtfoo.bar: this image has no driver with such a tunable");
    CHECK(only("hw.vtnet=1") == "command line: hw.vtnet: this image has no driver with such a tunable");
    CHECK(only("hw.=1 panic=exit") == "command line: hw.: this image has no driver with such a tunable");
}

TEST_CASE("long words are cut, not copied beyond the line") {
    const std::string word = "hw.vtnet." + std::string(500, 'x') + "=" + std::string(500, 'y');
    const auto all = complaints(word);
    REQUIRE(all.size() == 1);
    CHECK(all[0].size() < 160);
}
