// aarch64 has no port space; callers guard with `if constexpr (kHasPortIo)`. Context: never called.
#pragma once

#include "lib/types.hpp"

namespace ringlet::arch {

inline constexpr bool kHasPortIo = false;

inline u8 port_in8(u16) {
    return 0xff;
}
inline u16 port_in16(u16) {
    return 0xffff;
}
inline u32 port_in32(u16) {
    return 0xffff'ffff;
}
inline void port_out8(u16, u8) {}
inline void port_out16(u16, u16) {}
inline void port_out32(u16, u32) {}

}  // namespace ringlet::arch
