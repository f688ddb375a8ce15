// What the files of arch/aarch64 know of each other.
#pragma once

#include "arch/irq_types.hpp"
#include "arch/registers.hpp"
#include "lib/types.hpp"

extern "C" {
extern char __image_start[], __image_end[], __text_start[], __text_end[], __rodata_start[], __rodata_end[];
extern char __data_start[], __boot_stack_guard[], __boot_stack_bottom[], __boot_stack_top[];
extern char ringlet_vectors[], ringlet_fault_stack_top[];
// Instructions that may be undefined on this machine; ringlet_fault steps over them and puts -1 into x0.
extern char ringlet_semihosting_hlt[], ringlet_psci_hvc[], ringlet_psci_smc[];
}

namespace ringlet::arch {

inline std::uintptr_t address_of(const char* symbol) {
    return reinterpret_cast<std::uintptr_t>(symbol);
}

/// Whether a load from `va` would work now, asked of the MMU itself (AT S1E1R). Context: any.
bool is_mapped(std::uintptr_t va);

/// FEAT_CRC32. Valid after cpu_init().
extern bool has_crc32;

/// The timer's interrupt, if `id` is it: silences and calls hooks::timer().
bool clock_interrupt(IrqId id);
void clock_early(u64 counter_at_entry);

/// Acknowledges and dispatches one pending interrupt, if there is one. Context: interrupts disabled.
void irq_dispatch();

}  // namespace ringlet::arch
