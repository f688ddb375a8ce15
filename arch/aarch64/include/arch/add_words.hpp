// A checksum's sum over 64 bytes: each carry goes into the next addition, which compilers do not make of C++.
// Context: any.
#pragma once

#include "lib/types.hpp"

namespace ringlet::arch {

inline constexpr usize kSumBytes = 64;

/// The one's-complement sum of `sum` and the 64-bit words, in memory order, of the kSumBytes at `p` (any alignment).
inline u64 add_words(u64 sum, const std::byte* p) {
    struct [[gnu::packed, gnu::may_alias]] Words {
        std::byte bytes[kSumBytes];
    };
    u64 a, b;
    asm("ldp %1, %2, [%3]\n\tadds %0, %0, %1\n\tadcs %0, %0, %2\n\t"
        "ldp %1, %2, [%3, #16]\n\tadcs %0, %0, %1\n\tadcs %0, %0, %2\n\t"
        "ldp %1, %2, [%3, #32]\n\tadcs %0, %0, %1\n\tadcs %0, %0, %2\n\t"
        "ldp %1, %2, [%3, #48]\n\tadcs %0, %0, %1\n\tadcs %0, %0, %2\n\tadc %0, %0, xzr"
        : "+&r"(sum), "=&r"(a), "=&r"(b)
        : "r"(p), "m"(*reinterpret_cast<const Words*>(p))
        : "cc");
    return sum;
}

}  // namespace ringlet::arch
