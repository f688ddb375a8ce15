// Checksums against published vectors and against the definition, bit by bit.
#include <catch2/catch.hpp>
#include <string_view>
#include <vector>

#include "lib/crc32.hpp"
#include "lib/crc32c.hpp"

using namespace ringlet;

namespace {
Bytes text(std::string_view s) {
    return std::as_bytes(std::span(s));
}
}  // namespace

TEST_CASE("crc32c: check value and RFC 3720 B.4") {
    CHECK(~crc32c(~0u, text("123456789")) == 0xe306'9283);
    std::vector<std::byte> bytes(32);
    CHECK(~crc32c(~0u, bytes) == 0x8a91'36aa);
    std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
    CHECK(~crc32c(~0u, bytes) == 0x62a8'ab43);
    for (usize i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(i);
    CHECK(~crc32c(~0u, bytes) == 0x46dd'794e);
}

TEST_CASE("crc32c: every split and alignment gives the same") {
    std::vector<std::byte> bytes(100);
    for (usize i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37 + 11);
    u32 slow = ~0u;
    for (std::byte b : bytes) {
        slow ^= static_cast<u32>(b);
        for (int k = 0; k < 8; ++k) slow = (slow >> 1) ^ ((slow & 1) != 0 ? 0x82f6'3b78u : 0u);
    }
    const Bytes all = bytes;
    for (usize cut = 0; cut <= all.size(); ++cut) CHECK(crc32c(crc32c(~0u, all.first(cut)), all.subspan(cut)) == slow);
}

TEST_CASE("crc32: check value, in one piece and in two") {
    CHECK(crc32(0, text("123456789")) == 0xcbf4'3926);
    CHECK(crc32(crc32(0, text("1234")), text("56789")) == 0xcbf4'3926);
}
