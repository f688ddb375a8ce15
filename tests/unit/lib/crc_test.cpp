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
u32 bit_by_bit(u32 crc, Bytes bytes) {
    for (const std::byte b : bytes) {
        crc ^= static_cast<u32>(b);
        for (int k = 0; k < 8; ++k) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f6'3b78u : 0u);
    }
    return crc;
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
    const u32 slow = bit_by_bit(~0u, bytes);
    const Bytes all = bytes;
    for (usize cut = 0; cut <= all.size(); ++cut) CHECK(crc32c(crc32c(~0u, all.first(cut)), all.subspan(cut)) == slow);
}

TEST_CASE("crc32c: runs of zeros, of any length and anywhere") {
    for (const usize run : {1, 8, 255, 256, 257, 263, 300, 511, 512, 1000, 4095, 5000})
        for (const usize before : {0, 1, 7, 8, 40}) {
            std::vector<std::byte> bytes(before + run + 300, std::byte{0x5a});
            std::fill_n(bytes.begin() + static_cast<long>(before), run, std::byte{0});
            for (const usize behind : {0, 1, 8, 300}) {
                const Bytes part = Bytes(bytes).first(before + run + behind);
                CHECK(crc32c(~0u, part) == bit_by_bit(~0u, part));
                CHECK(crc32c(0x1234'5678, part) == bit_by_bit(0x1234'5678, part));
            }
        }
    // Several in one, with little between them.
    std::vector<std::byte> bytes(8192);
    for (const usize at : {700, 1100, 1700, 4100, 8000}) bytes[at] = std::byte{1};
    CHECK(crc32c(~0u, bytes) == bit_by_bit(~0u, bytes));
}

TEST_CASE("crc32c: four bytes that make the remainder any other") {
    std::vector<std::byte> bytes(300);
    for (usize i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37 + 11);
    const u32 old = crc32c(~0u, bytes);
    for (const u32 wanted : {0u, 1u, ~0u, 0x8000'0000u, 0x1234'5678u, old}) {
        const auto patched = [&]<usize kFromEnd>() {
            auto copy = bytes;
            const u32 patch = crc32c_patch<kFromEnd>(old ^ wanted);
            for (usize i = 0; i < 4; ++i) copy[300 - kFromEnd + i] ^= static_cast<std::byte>(patch >> (8 * i));
            return crc32c(~0u, copy);
        };
        CHECK(patched.operator()<4>() == wanted);
        CHECK(patched.operator()<5>() == wanted);
        CHECK(patched.operator()<64>() == wanted);
        CHECK(patched.operator()<300>() == wanted);
    }
}

TEST_CASE("crc32: check value, in one piece and in two") {
    CHECK(crc32(0, text("123456789")) == 0xcbf4'3926);
    CHECK(crc32(crc32(0, text("1234")), text("56789")) == 0xcbf4'3926);
}
