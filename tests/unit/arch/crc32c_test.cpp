// The CPU's CRC-32C against the published vectors and against the tables, at every alignment.
#include "arch/crc32c.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <string_view>
#include <vector>

#include "lib/crc32c.hpp"

using namespace ringlet;

TEST_CASE("crc32c by the CPU: check value and RFC 3720 B.4") {
    CHECK(~arch::crc32c(~0u, std::as_bytes(std::span(std::string_view("123456789")))) == 0xe306'9283);
    std::vector<std::byte> bytes(32);
    CHECK(~arch::crc32c(~0u, bytes) == 0x8a91'36aa);
    std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
    CHECK(~arch::crc32c(~0u, bytes) == 0x62a8'ab43);
    for (usize i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(i);
    CHECK(~arch::crc32c(~0u, bytes) == 0x46dd'794e);
}

TEST_CASE("crc32c by the CPU is that by tables: lengths 0 to 300 at 16 alignments") {
    std::mt19937 random(1);
    std::vector<std::byte> bytes(16 + 300);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    for (usize at = 0; at < 16; ++at)
        for (usize length = 0; length <= 300; ++length) {
            const Bytes part = Bytes(bytes).subspan(at, length);
            const auto start = static_cast<u32>(random());
            REQUIRE(arch::crc32c(start, part) == ringlet::crc32c(start, part));
        }
}
