// The host's interrupt controller: numbers and messages handed out here are raised by tests through
// arch/host.hpp.
#pragma once

#include "arch/irq_types.hpp"
#include "arch/platform.hpp"
#include "lib/result.hpp"

namespace ringlet::arch {

Result<> irq_init(const Platform& platform);
/// The line's own number, masked.
Result<IrqId> attach_line(IrqLine line);
/// Numbers from 0x1000; the message is recognised by arch::host::deliver(). At most 256 at a time.
Result<IrqId> allocate_msi(u32 requester_id, MsiMessage& out);
void free_msi(IrqId id);
void mask(IrqId id);
/// Delivers at once what was raised while it was masked.
void unmask(IrqId id);

}  // namespace ringlet::arch
