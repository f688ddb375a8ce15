// The local APIC: SDM vol. 3 §11 (xAPIC in memory, x2APIC in MSRs; the same registers by the same numbers).
// Internal to arch/x86_64. Context: any after local_apic_init().
#pragma once

#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::arch::x86 {

/// Registers by their xAPIC offset; the x2APIC MSR is 0x800 + offset / 16.
enum class LocalApicRegister : u16 {
    id = 0x20,
    task_priority = 0x80,
    end_of_interrupt = 0xb0,
    spurious_vector = 0xf0,
    lvt_timer = 0x320,
    lvt_thermal = 0x330,
    lvt_performance = 0x340,
    lvt_lint0 = 0x350,
    lvt_lint1 = 0x360,
    lvt_error = 0x370,
    timer_initial_count = 0x380,
    timer_current_count = 0x390,
    timer_divide = 0x3e0,
};

/// Enables it (x2APIC when the CPU has it: no exits through memory), everything masked. Context: boot.
Result<> local_apic_init(PhysAddr base);
u32 local_apic_read(LocalApicRegister r);
void local_apic_write(LocalApicRegister r, u32 value);
u32 local_apic_id();

}  // namespace ringlet::arch::x86
