// CRC-32C eight bytes at a time ("slicing"): table k is the remainder of a byte followed by k zero bytes. The 8 KiB are
// not in the image: whoever comes first computes them. Long runs of zeros, of which blocks of metadata mostly consist,
// are one multiplication each: n zero bytes behind what was read multiply its remainder by x^8n.
#include "lib/crc32c.hpp"

#include <array>
#include <atomic>
#include <bit>

namespace ringlet {
namespace {

constexpr usize kShortestRun = 256;  ///< bytes of zeros that are worth a multiplication

constinit u32 tables[8][256] = {};
enum class Tables : u8 { missing, being_made, ready };
constinit std::atomic<Tables> tables_are{Tables::missing};

/// Element k: x^(8 * 2^k).
constexpr auto kZeros = [] {
    std::array<u32, 32> powers{};
    powers[0] = 1u << (31 - 8);
    for (usize k = 1; k < powers.size(); ++k) powers[k] = crc32c_multiply(powers[k - 1], powers[k - 1]);
    return powers;
}();

u32 entry(usize k, u64 i) {
    return tables[k][i & 0xff];
}

/// False: another thread is at it.
[[gnu::cold, gnu::noinline]] bool make_tables() {
    Tables seen = Tables::missing;
    if (!tables_are.compare_exchange_strong(seen, Tables::being_made, std::memory_order_acquire))
        return seen == Tables::ready;
    for (u32 i = 0; i < 256; ++i) {
        u32 crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = crc32c_times_x(crc);
        tables[0][i] = crc;
    }
    for (usize k = 1; k < 8; ++k)
        for (u32 i = 0; i < 256; ++i) {
            const u32 shorter = tables[k - 1][i];
            tables[k][i] = (shorter >> 8) ^ entry(0, shorter);
        }
    tables_are.store(Tables::ready, std::memory_order_release);
    return true;
}

[[gnu::cold, gnu::noinline]] u32 without_tables(u32 crc, Bytes bytes) {
    for (const std::byte b : bytes) {
        crc ^= static_cast<u32>(b);
        for (int bit = 0; bit < 8; ++bit) crc = crc32c_times_x(crc);
    }
    return crc;
}

/// How many bytes of zeros there are at `p`, in steps of 32.
usize zeros_at(const std::byte* p, usize left) {
    usize n = 0;
    for (; left - n >= 32; n += 32) {
        u64 words[4];
        std::memcpy(words, p + n, sizeof(words));
        if ((words[0] | words[1] | words[2] | words[3]) != 0) break;
    }
    return n;
}

}  // namespace

u32 crc32c(u32 crc, Bytes bytes) {
    if (tables_are.load(std::memory_order_acquire) != Tables::ready && !make_tables())
        return without_tables(crc, bytes);
    const std::byte* p = bytes.data();
    const std::byte* looked = p;  // no long run begins before this
    usize left = bytes.size();
    while (left >= 8) {
        u64 word;
        std::memcpy(&word, p, 8);
        if (word == 0 && left >= kShortestRun && p >= looked) {
            const usize zeros = zeros_at(p, left);
            looked = p + zeros;
            if (zeros >= kShortestRun) {
                const usize run = std::bit_floor(zeros);
                crc = crc32c_multiply(kZeros[std::countr_zero(run)], crc);
                looked = p += run;
                left -= run;
                continue;
            }
        }
        word ^= crc;
        crc = entry(7, word) ^ entry(6, word >> 8) ^ entry(5, word >> 16) ^ entry(4, word >> 24) ^
              entry(3, word >> 32) ^ entry(2, word >> 40) ^ entry(1, word >> 48) ^ entry(0, word >> 56);
        p += 8;
        left -= 8;
    }
    for (; left > 0; ++p, --left) crc = (crc >> 8) ^ entry(0, crc ^ static_cast<u32>(*p));
    return crc;
}

}  // namespace ringlet
