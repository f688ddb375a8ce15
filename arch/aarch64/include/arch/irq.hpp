// aarch64: GICv2 (IHI 0048) and GICv3 with ITS (IHI 0069). An IrqId is the INTID.
#pragma once

#include "arch/irq_types.hpp"
#include "arch/platform.hpp"
#include "lib/result.hpp"

namespace ringlet::arch {

/// Takes over the interrupt controller of `platform`. Errors: unsupported (no GIC), device_broken (the
/// registers or sizes contradict themselves), no_memory. Context: boot, after paging_init and the page
/// allocator.
Result<> irq_init(const Platform& platform);

/// Prepares a wired interrupt, masked. Errors: invalid. Context: thread or boot.
Result<IrqId> attach_line(IrqLine line);
/// An interrupt of one's own for a device's message, unmasked. `requester_id` is bus:device.function, 16
/// bits. Errors: unsupported (no v2m, no ITS), no_space, no_memory, device_broken. Context: thread or boot.
Result<IrqId> allocate_msi(u32 requester_id, MsiMessage& out);
void free_msi(IrqId id);
/// Context: any. Foreign numbers are ignored.
void mask(IrqId id);
void unmask(IrqId id);

}  // namespace ringlet::arch
