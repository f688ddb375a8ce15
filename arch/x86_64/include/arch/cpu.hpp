// The x86_64 CPU: interrupt flag, waiting, hardware randomness, the per-CPU pointer. Intel SDM vol. 2 and 3.
// Context: any.
#pragma once

#include <optional>
#include <string_view>

#include "lib/types.hpp"

namespace ringlet::arch {

inline constexpr std::string_view kName = "x86_64";

/// What GS points to: one per CPU, so that both words are one instruction away. Internal to arch/.
struct CpuBlock {
    void* local = nullptr;
    u32 index = 0;
};

inline bool interrupts_enabled() {
    u64 flags;
    asm volatile("pushfq\n\tpopq %0" : "=r"(flags) : : "memory");
    return (flags & (1u << 9)) != 0;
}
inline void enable_interrupts() {
    asm volatile("sti" : : : "memory");
}
inline void disable_interrupts() {
    asm volatile("cli" : : : "memory");
}

class IrqGuard {
public:
    IrqGuard() : were_enabled_(interrupts_enabled()) { disable_interrupts(); }
    ~IrqGuard() {
        if (were_enabled_) enable_interrupts();
    }
    IrqGuard(const IrqGuard&) = delete;
    IrqGuard& operator=(const IrqGuard&) = delete;

private:
    bool were_enabled_;
};

/// Call with interrupts disabled. STI takes effect after the next instruction, so nothing can slip in before HLT.
inline void wait_for_interrupt() {
    asm volatile("sti\n\thlt\n\tcli" : : : "memory");
}
inline void relax() {
    asm volatile("pause" : : : "memory");
}

/// 64 bits from RDRAND; none when the CPU lacks it or it fails ten times in a row (SDM vol. 1 §7.3.17.1).
std::optional<u64> hardware_random();

inline u64 cycle_counter() {
    u32 low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return u64{high} << 32 | low;
}

inline u32 cpu_index() {
    u32 index;
    asm volatile("movl %%gs:%c1, %0" : "=r"(index) : "i"(__builtin_offsetof(CpuBlock, index)));
    return index;
}
inline void* cpu_local() {
    void* local;
    asm volatile("movq %%gs:%c1, %0" : "=r"(local) : "i"(__builtin_offsetof(CpuBlock, local)));
    return local;
}
inline void set_cpu_local(void* p) {
    asm volatile("movq %0, %%gs:%c1" : : "r"(p), "i"(__builtin_offsetof(CpuBlock, local)) : "memory");
}

/// The brand string of CPUID 0x80000002..4, trimmed; "unknown x86_64" without one.
std::string_view cpu_model();

}  // namespace ringlet::arch
