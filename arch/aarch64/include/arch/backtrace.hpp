// aarch64: frame records (AAPCS64 §6.4.6). Context: any, faults included.
#pragma once

#include <span>

#include "lib/types.hpp"

namespace ringlet::arch {

/// Fills `return_addresses` innermost first, returns how many. Stops at anything implausible: unaligned, not
/// growing, outside a stack, or not mapped. Never faults.
usize backtrace(std::uintptr_t frame_pointer, std::span<std::uintptr_t> return_addresses);
inline std::uintptr_t frame_pointer() {
    std::uintptr_t fp;
    asm volatile("mov %0, x29" : "=r"(fp));
    return fp;
}

}  // namespace ringlet::arch
