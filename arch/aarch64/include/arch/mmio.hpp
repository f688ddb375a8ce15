// aarch64: device registers. One plain load or store each (no write-back addressing: a hypervisor must be
// able to decode the access from ESR_EL2.ISV), with the barrier that orders it against normal memory.
// Context: any.
#pragma once

#include <concepts>

#include "lib/types.hpp"

namespace ringlet::arch {

/// Reads a register; later loads are not done before it.
template <class T>
requires std::unsigned_integral<T> T mmio_read(std::uintptr_t address) {
    u64 v = 0;
    if constexpr (sizeof(T) == 1)
        asm volatile("ldrb %w0, [%1]" : "=r"(v) : "r"(address) : "memory");
    else if constexpr (sizeof(T) == 2)
        asm volatile("ldrh %w0, [%1]" : "=r"(v) : "r"(address) : "memory");
    else if constexpr (sizeof(T) == 4)
        asm volatile("ldr %w0, [%1]" : "=r"(v) : "r"(address) : "memory");
    else
        asm volatile("ldr %0, [%1]" : "=r"(v) : "r"(address) : "memory");
    asm volatile("dmb oshld" ::: "memory");
    return static_cast<T>(v);
}

/// Writes a register, after all earlier stores to normal memory are visible to the device.
template <class T>
requires std::unsigned_integral<T>
void mmio_write(std::uintptr_t address, T value) {
    const u64 v = value;
    asm volatile("dmb oshst" ::: "memory");
    if constexpr (sizeof(T) == 1)
        asm volatile("strb %w0, [%1]" ::"r"(v), "r"(address) : "memory");
    else if constexpr (sizeof(T) == 2)
        asm volatile("strh %w0, [%1]" ::"r"(v), "r"(address) : "memory");
    else if constexpr (sizeof(T) == 4)
        asm volatile("str %w0, [%1]" ::"r"(v), "r"(address) : "memory");
    else
        asm volatile("str %0, [%1]" ::"r"(v), "r"(address) : "memory");
}

}  // namespace ringlet::arch
