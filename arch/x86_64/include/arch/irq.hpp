// Interrupt controllers: local APIC (x2APIC when the CPU has it), I/O APICs, message-signalled interrupts.
// An IrqId is an IDT vector. Context: thread or boot, except mask() and unmask(): any.
#pragma once

#include "arch/irq_types.hpp"
#include "arch/platform.hpp"
#include "lib/result.hpp"

namespace ringlet::arch {

/// Call after paging_init(). Masks the 8259s and every I/O APIC pin. Without I/O APICs in `platform` the usual one at
/// 0xfec00000 is assumed.
Result<> irq_init(const Platform& platform);
/// Routes a line (a GSI; below 16 the ISA overrides apply) to a vector of its own and leaves it masked. The same line
/// again gives the same id. `not_found`: no I/O APIC has it; `no_space`: out of vectors.
Result<IrqId> attach_line(IrqLine line);
/// A vector and the message that raises it. `requester_id` is unused on x86_64.
Result<IrqId> allocate_msi(u32 requester_id, MsiMessage& out);
void free_msi(IrqId id);
/// Lines only; a message is masked at its device.
void mask(IrqId id);
void unmask(IrqId id);

}  // namespace ringlet::arch
