// The only calls from arch/ up into the kernel. Declared here, defined in kernel/ (or by a host test).
#pragma once

#include <cstdint>

#include "arch/irq_types.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::arch {

struct Registers;  // <arch/registers.hpp>

namespace hooks {

/// What cpu_local() is on the boot CPU from cpu_init() on.
extern void* const boot_cpu_local;
/// A device interrupt arrived. Context: interrupt, interrupts disabled, before end-of-interrupt.
void interrupt(IrqId id);
/// The timer set by arch::set_timer() expired. Context: interrupt, interrupts disabled.
void timer();
/// Where an interrupt found the CPU.
struct Interrupted {
    std::uintptr_t program_counter = 0, frame_pointer = 0;
    std::uintptr_t stack_pointer = 0;  ///< where something without a frame can be interrupted
};
/// Called after end-of-interrupt, still on the interrupted thread's stack with interrupts disabled and all its
/// registers (FP too) saved there: may switch threads and returns when this thread runs again. True: the thread is
/// diverted, that is, it calls diverted() before it goes on where it was.
bool interrupt_exit(const Interrupted& at);
/// A fault of a thread that had interrupts enabled: the top of the stack on which it is to call diverted(); 0: nobody
/// handles it. Context: fault, interrupts disabled, on the fault stack.
std::uintptr_t fault_stack(const Registers& at);
/// What a diverted thread calls: with interrupts enabled, its registers in `at`, from where they are taken again when
/// this returns (the general ones, stack pointer, program counter and condition flags; it need not return). Context:
/// thread, between two instructions of its own.
void diverted(Registers& at);
/// A fault that nobody handles. `what` is e.g. "page fault: write to 0x... (text is read-only)".
[[noreturn]] void fault(const char* what, const Registers& at);
/// One zeroed 4 KiB page for a translation table. Context: thread or boot, interrupts as they are.
Result<PhysAddr> allocate_table_page();
void free_table_page(PhysAddr page);
/// Zeroed, physically contiguous memory, aligned to its size rounded up to a power of two (at least 4 KiB). Never
/// freed: tables of the interrupt controller. Context: thread or boot.
Result<PhysAddr> allocate_contiguous(usize bytes);

}  // namespace hooks
}  // namespace ringlet::arch
