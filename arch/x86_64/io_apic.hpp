// The I/O APICs (82093AA data sheet §3): which pin raises which vector. Internal to arch/x86_64.
#pragma once

#include <optional>

#include "arch/platform.hpp"
#include "lib/result.hpp"

namespace ringlet::arch::x86 {

struct Pin {
    u8 chip = 0;
    u8 index = 0;
};

/// Maps one chip and masks its pins. Context: boot.
Result<> io_apic_add(const IoApic& chip);
std::optional<Pin> io_apic_find(u32 gsi);
/// Routes to `vector` on the CPU with the given APIC id; masked.
void io_apic_route(Pin pin, u8 vector, u32 apic_id, Trigger trigger, Polarity polarity);
void io_apic_set_masked(Pin pin);
void io_apic_set_unmasked(Pin pin);

}  // namespace ringlet::arch::x86
