// Bitmaps as ext4 has them: bit n is bit n % 8 of byte n / 8. Every range lies inside the bytes. Context: any.
#pragma once

#include <bit>

#include "lib/bytes.hpp"
#include "lib/endian.hpp"

namespace ringlet::fs::ext4 {

inline bool bit_is_set(Bytes bits, u32 at) {
    return (static_cast<u8>(bits[at / 8]) >> (at % 8) & 1) != 0;
}

/// The first bit in [at, end) that is `kWanted`; `end` when there is none.
template <bool kWanted> u32 next_bit(Bytes bits, u32 at, u32 end) {
    while (at < end) {
        if (at % 64 == 0 && bits.size() - at / 8 >= 8) {
            const u64 word = *read_at<le64>(bits, at / 8) ^ (kWanted ? 0 : ~u64{0});
            if (word == 0) {
                at += 64;
                continue;
            }
            at += static_cast<u32>(std::countr_zero(word));
            break;
        }
        if (bit_is_set(bits, at) == kWanted) break;
        ++at;
    }
    return at < end ? at : end;
}
inline u32 next_clear(Bytes bits, u32 at, u32 end) {
    return next_bit<false>(bits, at, end);
}
inline u32 next_set(Bytes bits, u32 at, u32 end) {
    return next_bit<true>(bits, at, end);
}

inline void set_bits(MutableBytes bits, u32 at, u32 count) {
    for (; count != 0; ++at, --count) bits[at / 8] |= std::byte(1 << (at % 8));
}
inline void clear_bits(MutableBytes bits, u32 at, u32 count) {
    for (; count != 0; ++at, --count) bits[at / 8] &= ~std::byte(1 << (at % 8));
}

}  // namespace ringlet::fs::ext4
