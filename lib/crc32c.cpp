// CRC-32C eight bytes at a time ("slicing"): table k is the remainder of a byte followed by k zero bytes. The 8 KiB are
// not in the image: whoever comes first computes them. Two who come first at the same time store the same values.
#include "lib/crc32c.hpp"

#include <atomic>

namespace ringlet {
namespace {

constexpr u32 kPolynomial = 0x82f6'3b78;  // reflected

constinit u32 tables[8][256] = {};
constinit std::atomic<bool> tables_ready{false};

u32 entry(usize k, usize i) {
    return __atomic_load_n(&tables[k][i & 0xff], __ATOMIC_RELAXED);
}

[[gnu::cold, gnu::noinline]] void make_tables() {
    for (u32 i = 0; i < 256; ++i) {
        u32 crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
        __atomic_store_n(&tables[0][i], crc, __ATOMIC_RELAXED);
    }
    for (usize k = 1; k < 8; ++k)
        for (u32 i = 0; i < 256; ++i) {
            const u32 shorter = entry(k - 1, i);
            __atomic_store_n(&tables[k][i], (shorter >> 8) ^ entry(0, shorter), __ATOMIC_RELAXED);
        }
    tables_ready.store(true, std::memory_order_release);
}

}  // namespace

u32 crc32c(u32 crc, Bytes bytes) {
    if (!tables_ready.load(std::memory_order_acquire)) make_tables();
    const std::byte* p = bytes.data();
    usize left = bytes.size();
    for (; left >= 8; p += 8, left -= 8) {
        u64 word;
        std::memcpy(&word, p, 8);
        word ^= crc;
        crc = entry(7, word) ^ entry(6, word >> 8) ^ entry(5, word >> 16) ^ entry(4, word >> 24) ^
              entry(3, word >> 32) ^ entry(2, word >> 40) ^ entry(1, word >> 48) ^ entry(0, word >> 56);
    }
    for (; left > 0; ++p, --left) crc = (crc >> 8) ^ entry(0, crc ^ static_cast<u32>(*p));
    return crc;
}

}  // namespace ringlet
