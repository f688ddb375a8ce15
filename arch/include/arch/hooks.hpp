// The only calls from arch/ up into the kernel. Declared here, defined in kernel/ (or by a host test).
#pragma once

#include "arch/irq_types.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::arch {

struct Registers;  // <arch/registers.hpp>

namespace hooks {

/// A device interrupt arrived. Context: interrupt, interrupts disabled, before end-of-interrupt.
void interrupt(IrqId id);
/// The timer set by arch::set_timer() expired. Context: interrupt, interrupts disabled.
void timer();
/// Called after end-of-interrupt, still on the interrupted thread's stack with interrupts disabled and all its
/// registers (FP too) saved there: may switch threads and returns when this thread runs again.
void interrupt_exit();
/// A fault that nobody can repair. `what` is e.g. "page fault: write to 0x... (text is read-only)".
[[noreturn]] void fault(const char* what, const Registers& at);
/// One zeroed 4 KiB page for a translation table. Context: thread or boot, interrupts as they are.
Result<PhysAddr> allocate_table_page();
void free_table_page(PhysAddr page);
/// Zeroed, physically contiguous memory, aligned to its size rounded up to a power of two (at least 4 KiB). Never
/// freed: tables of the interrupt controller. Context: thread or boot.
Result<PhysAddr> allocate_contiguous(usize bytes);

}  // namespace hooks
}  // namespace ringlet::arch
