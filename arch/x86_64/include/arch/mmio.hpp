// Access to device registers in memory. The pages are mapped uncacheable, so the CPU keeps these accesses in program
// order with each other and with normal stores before and loads after (SDM vol. 3 §9.2.2); only the compiler must be
// held back. Context: any.
#pragma once

#include <concepts>
#include <cstdint>

#include "lib/types.hpp"

namespace ringlet::arch {

template <std::unsigned_integral T> T mmio_read(std::uintptr_t address) {
    const T value = *reinterpret_cast<const volatile T*>(address);
    asm volatile("" : : : "memory");
    return value;
}

template <std::unsigned_integral T> void mmio_write(std::uintptr_t address, T value) {
    asm volatile("" : : : "memory");
    *reinterpret_cast<volatile T*>(address) = value;
}

}  // namespace ringlet::arch
