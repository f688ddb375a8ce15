// How fast the TSC and the local APIC's timer run. Internal to arch/x86_64. Context: boot, interrupts
// disabled, after local_apic_init(); pit_sample(): any.
#pragma once

#include "lib/types.hpp"

namespace ringlet::arch::x86 {

struct Frequencies {
    u64 tsc_hz = 0;
    u64 apic_hz = 0;     ///< with a divisor of 1; 0 when not needed (TSC deadline)
    bool exact = false;  ///< told by the CPU or the hypervisor; else measured within 2 %
};

/// Asks the CPU, then the hypervisor, then measures: 50 us against the APIC timer where its rate is known
/// (QEMU), else 500 us against the PIT. tsc_hz is 0 when nothing could be found.
Frequencies measure_frequencies(bool apic_needed);

inline constexpr u64 kPitHz = 1'193'182;

/// The PIT's channel 2, counting freely through 65536 once pit_start() was called, with the TSC at the same
/// moment.
struct PitSample {
    u64 tsc = 0;
    u64 uncertainty = 0;  ///< TSC ticks
    u16 count = 0;        ///< counts down
};
void pit_start();
PitSample pit_sample();

/// (high:low) / divisor, which must be above `high`. GCC would call libgcc for this.
inline u64 divide_wide(u64 high, u64 low, u64 divisor) {
    u64 quotient, remainder;
    asm("divq %4" : "=a"(quotient), "=d"(remainder) : "a"(low), "d"(high), "rm"(divisor) : "cc");
    return quotient;
}
/// a * b / divisor without overflow in between; the result must fit.
inline u64 multiply_divide(u64 a, u64 b, u64 divisor) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return divide_wide(static_cast<u64>(product >> 64), static_cast<u64>(product), divisor);
}

}  // namespace ringlet::arch::x86
