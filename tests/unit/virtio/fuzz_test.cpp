// Drivers against a hostile device, by random bytes: the short version of tests/fuzz.
#include <catch2/catch.hpp>

#include <random>

#include "tests/fuzz/drive.hpp"

using namespace ringlet;

TEST_CASE("A device that does what random bytes say breaks no driver") {
    const unsigned seed = 20261126;
    std::mt19937 engine(seed);
    for (u32 round = 0; round < 1500; ++round) {
        std::vector<u8> bytes(60 + engine() % 700);
        const bool small = engine() % 2 == 0;
        for (u8& b : bytes) b = u8(small && engine() % 2 == 0 ? engine() % 8 : engine());
        CAPTURE(seed, round);
        fuzz::run(bytes);
    }
}
