// CRC-32C (Castagnoli, RFC 3720 §12.1), as ext4 metadata and iSCSI use it. Context: any.
#pragma once

#include "lib/bytes.hpp"

namespace ringlet {

/// Continues `crc` over `bytes`. The raw remainder, as ext4 wants it: start with ~0u, no final inversion.
/// The usual check value is ~crc32c(~0u, "123456789") = 0xe3069283.
u32 crc32c(u32 crc, Bytes bytes);

// The remainder is one of polynomials over two elements, reflected: the highest bit is the lowest power.
inline constexpr u32 kCrc32cPolynomial = 0x82f6'3b78;

constexpr u32 crc32c_times_x(u32 a) {
    return (a >> 1) ^ ((a & 1) != 0 ? kCrc32cPolynomial : 0);
}

constexpr u32 crc32c_multiply(u32 a, u32 b) {
    u32 product = 0;
    for (; a != 0; a <<= 1, b = crc32c_times_x(b))
        if ((a >> 31) != 0) product ^= b;
    return product;
}

/// With what the four bytes that begin `kFromEnd` bytes before the end must be xored (as a le32) to change the
/// remainder by `difference`.
template <usize kFromEnd> constexpr u32 crc32c_patch(u32 difference) {
    static_assert(kFromEnd >= 4);
    constexpr u32 kBack = [] {  // x to the power of -8 * kFromEnd
        u32 power = 1u << 31;
        for (usize bit = 0; bit < 8 * kFromEnd; ++bit)
            power = (power >> 31) != 0 ? (power ^ kCrc32cPolynomial) << 1 | 1 : power << 1;
        return power;
    }();
    return crc32c_multiply(kBack, difference);
}

}  // namespace ringlet
