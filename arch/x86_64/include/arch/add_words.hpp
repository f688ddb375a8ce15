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
    asm("addq (%1), %0\n\tadcq 8(%1), %0\n\tadcq 16(%1), %0\n\tadcq 24(%1), %0\n\t"
        "adcq 32(%1), %0\n\tadcq 40(%1), %0\n\tadcq 48(%1), %0\n\tadcq 56(%1), %0\n\tadcq $0, %0"
        : "+&r"(sum)
        : "r"(p), "m"(*reinterpret_cast<const Words*>(p))
        : "cc");
    return sum;
}

}  // namespace ringlet::arch
