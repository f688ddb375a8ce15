// What a CPU fault was, in words that all architectures share.
#pragma once

#include <cstdint>

#include "lib/types.hpp"

namespace ringlet::arch {

enum class FaultKind : u8 {
    unmapped,             ///< nothing is at `address`
    forbidden,            ///< the page at `address` does not allow it
    unaligned,            ///< `address` is not aligned as the access demands
    no_device,            ///< nobody answered at `address`
    illegal_instruction,  ///< at `address`, as for the rest
    breakpoint,
    integer_divide,
    float_divide,
    float_overflow,
    float_underflow,
    float_inexact,
    float_invalid,
};

struct Fault {
    FaultKind kind;
    std::uintptr_t address;
};

}  // namespace ringlet::arch
