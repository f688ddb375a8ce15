// Port I/O on the host goes to fake devices (arch/host.hpp). Where nobody answers, reads give all ones and
// writes vanish, as on a PC. Context: any.
#pragma once

#include "lib/types.hpp"

namespace ringlet::arch {

inline constexpr bool kHasPortIo = true;

u8 port_in8(u16 port);
u16 port_in16(u16 port);
u32 port_in32(u16 port);
void port_out8(u16 port, u8 value);
void port_out16(u16 port, u16 value);
void port_out32(u16 port, u32 value);

}  // namespace ringlet::arch
