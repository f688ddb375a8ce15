// The interrupt vocabulary shared by the three architectures. Context: any.
#pragma once

#include "lib/types.hpp"

namespace ringlet::arch {

/// One interrupt as the CPU sees it: the IDT vector on x86_64, the INTID on aarch64.
enum class IrqId : u32 {};

enum class Trigger : u8 { edge, level };
enum class Polarity : u8 { high, low };

/// A wired interrupt: the GSI on x86_64, the INTID (SPI number + 32) on aarch64.
struct IrqLine {
    u32 number = 0;
    Trigger trigger = Trigger::level;
    Polarity polarity = Polarity::high;
};

/// What a device writes to raise a message-signalled interrupt.
struct MsiMessage {
    u64 address = 0;
    u32 data = 0;
};

}  // namespace ringlet::arch
