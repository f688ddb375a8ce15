// Time: the TSC for reading, the local APIC (TSC deadline when the CPU has it) for interrupts, the CMOS RTC for the
// date. Context: any, unless said.
#pragma once

#include <atomic>

#include "arch/cpu.hpp"
#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/time.hpp"

namespace ringlet::arch {

namespace x86 {

/// ns = base_ns + (tsc - base_tsc) * multiplier / 2^48. Internal to arch/.
struct TimeScale {
    static constexpr unsigned kShift = 48;
    u64 base_tsc = 0, base_ns = 0;
    u64 multiplier = 0;  ///< ns per tick, times 2^48
    u64 tsc_hz = 0;

    u64 ns_at(u64 tsc) const {
        return base_ns + static_cast<u64>(static_cast<unsigned __int128>(tsc - base_tsc) * multiplier >> kShift);
    }
};
/// Changed only in interrupts and at boot; a reader that was interrupted by a change tries again.
extern constinit TimeScale time_scale;
extern constinit std::atomic<u32> time_scale_version;

}  // namespace x86

/// Finds the TSC's frequency. Call after irq_init(). Context: boot.
Result<> clock_init(const Platform& platform);
/// Since clock_init(); 0 before. Never steps back; no MMIO, no exit.
inline Instant monotonic_now() {
    for (;;) {
        const u32 version = x86::time_scale_version.load(std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_acquire);
        const u64 ns = x86::time_scale.ns_at(cycle_counter());
        std::atomic_signal_fence(std::memory_order_acquire);
        if (x86::time_scale_version.load(std::memory_order_relaxed) == version) [[likely]]
            return {ns};
    }
}
/// One shot: hooks::timer() not before `when`; at once if that is past. Replaces an earlier one.
void set_timer(Instant when);
void cancel_timer();
/// The date in the battery-backed clock, which QEMU keeps in UTC. `not_found` without one, `corrupt` when its
/// contents are no date, `timed_out` when it never settles. Context: thread or boot (some milliseconds at worst).
Result<u64> wall_clock_unix_seconds();

}  // namespace ringlet::arch
