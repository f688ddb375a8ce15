// Port I/O. Every access is an exit to the hypervisor: count them. Context: any.
#pragma once

#include "lib/types.hpp"

namespace ringlet::arch {

inline constexpr bool kHasPortIo = true;

inline u8 port_in8(u16 port) {
    u8 value;
    asm volatile("inb %w1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
inline u16 port_in16(u16 port) {
    u16 value;
    asm volatile("inw %w1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
inline u32 port_in32(u16 port) {
    u32 value;
    asm volatile("inl %w1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
inline void port_out8(u16 port, u8 value) {
    asm volatile("outb %0, %w1" : : "a"(value), "Nd"(port) : "memory");
}
inline void port_out16(u16 port, u16 value) {
    asm volatile("outw %0, %w1" : : "a"(value), "Nd"(port) : "memory");
}
inline void port_out32(u16 port, u32 value) {
    asm volatile("outl %0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

}  // namespace ringlet::arch
