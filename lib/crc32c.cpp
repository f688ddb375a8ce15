// CRC-32C eight bytes at a time ("slicing"): table k is the remainder of a byte followed by k zero bytes.
// 8 KiB of read-only data; constant-evaluated, nothing is built at boot.
#include "lib/crc32c.hpp"

#include <array>

namespace ringlet {
namespace {

constexpr u32 kPolynomial = 0x82f6'3b78;  // reflected

using Tables = std::array<std::array<u32, 256>, 8>;

consteval Tables make_tables() {
    Tables t{};
    for (u32 i = 0; i < 256; ++i) {
        u32 crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
        t[0][i] = crc;
    }
    for (u32 i = 0; i < 256; ++i)
        for (usize k = 1; k < 8; ++k) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 0xff];
    return t;
}

constexpr Tables kTables = make_tables();

}  // namespace

u32 crc32c(u32 crc, Bytes bytes) {
    const std::byte* p = bytes.data();
    usize left = bytes.size();
    for (; left >= 8; p += 8, left -= 8) {
        u64 word;
        std::memcpy(&word, p, 8);
        word ^= crc;
        crc = kTables[7][word & 0xff] ^ kTables[6][(word >> 8) & 0xff] ^ kTables[5][(word >> 16) & 0xff] ^
              kTables[4][(word >> 24) & 0xff] ^ kTables[3][(word >> 32) & 0xff] ^ kTables[2][(word >> 40) & 0xff] ^
              kTables[1][(word >> 48) & 0xff] ^ kTables[0][word >> 56];
    }
    for (; left > 0; ++p, --left) crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<u32>(*p)) & 0xff];
    return crc;
}

}  // namespace ringlet
