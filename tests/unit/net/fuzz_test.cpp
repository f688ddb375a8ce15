// The network stack against random bytes: the short version of tests/fuzz.
#include <catch2/catch.hpp>

#include <random>
#include <vector>

#include "tests/fuzz/net.hpp"

using namespace ringlet;

namespace {

void some(u32 rounds, u32 longest, void (*run)(std::span<const u8>)) {
    const unsigned seed = 20261126;
    std::mt19937 engine(seed);
    for (u32 round = 0; round < rounds; ++round) {
        std::vector<u8> bytes(1 + engine() % longest);
        const bool small = engine() % 2 == 0;
        for (u8& b : bytes) b = u8(small && engine() % 2 == 0 ? engine() % 16 : engine());
        CAPTURE(seed, round);
        run(bytes);
    }
}

}  // namespace

TEST_CASE("Random frames, sound in part, break nothing between Ethernet and the sockets") {
    some(400, 4000, fuzz::run_stack);
}

TEST_CASE("Random extension headers stay within their packet") {
    some(20'000, 300, fuzz::run_extensions);
}

TEST_CASE("Random fragments become the right datagram or none") {
    some(2000, 800, fuzz::run_reassembly);
}
