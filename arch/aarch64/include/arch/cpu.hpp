// aarch64: the processor itself. Arm ARM (DDI 0487) D13 for the registers. Context: any unless noted.
#pragma once

#include <optional>
#include <string_view>

#include "lib/types.hpp"

namespace ringlet::arch {

inline constexpr std::string_view kName = "aarch64";

inline bool interrupts_enabled() {
    u64 daif;
    asm volatile("mrs %0, daif" : "=r"(daif)::"memory");
    return (daif & 0x80) == 0;
}
inline void enable_interrupts() {
    asm volatile("msr daifclr, #2" ::: "memory");
}
inline void disable_interrupts() {
    asm volatile("msr daifset, #2" ::: "memory");
}

/// Interrupts are off while one lives; the one that found them on turns them on again.
class [[nodiscard]] IrqGuard {
    u64 daif_;

public:
    IrqGuard() {
        asm volatile("mrs %0, daif" : "=r"(daif_)::"memory");
        disable_interrupts();
    }
    ~IrqGuard() { asm volatile("msr daif, %0" ::"r"(daif_) : "memory"); }
    IrqGuard(const IrqGuard&) = delete;
    IrqGuard& operator=(const IrqGuard&) = delete;
};

/// Call with interrupts disabled. WFI also wakes for a masked interrupt, so nothing that arrives between the
/// caller's last check and the halt is slept through. What woke us is asked of the interrupt controller and handled by a
/// plain call: no exception is taken, so none of its 700 bytes of registers are saved.
void wait_for_interrupt();
inline void relax() {
    asm volatile("yield" ::: "memory");
}

/// RNDR (FEAT_RNG); none when the CPU lacks it or it has no entropy at the moment.
std::optional<u64> hardware_random();

/// The virtual counter: about 62.5 MHz under QEMU, 1 GHz on recent CPUs. Never traps.
inline u64 cycle_counter() {
    u64 v;
    asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(v)::"memory");
    return v;
}

/// Secondary CPUs are parked at entry, so this is the boot CPU.
inline u32 cpu_index() {
    return 0;
}

inline void* cpu_local() {
    void* p;
    asm volatile("mrs %0, tpidr_el1" : "=r"(p));
    return p;
}
inline void set_cpu_local(void* p) {
    asm volatile("msr tpidr_el1, %0" ::"r"(p));
}

/// From MIDR_EL1, e.g. "Cortex-A57"; "unknown aarch64" for what the table does not have.
std::string_view cpu_model();

}  // namespace ringlet::arch
