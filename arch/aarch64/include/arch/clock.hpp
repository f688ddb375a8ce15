// aarch64: the generic timer (Arm ARM D11): virtual counter and virtual timer; wall clock from a PL031 (DDI
// 0224).
#pragma once

#include "arch/cpu.hpp"
#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/time.hpp"

namespace ringlet::arch {

/// The counter's zero and speed. Internal to arch/.
struct TimeScale {
    u64 base = 0;            ///< the counter at entry
    u64 ns_per_tick_32 = 0;  ///< 32.32 fixed point: products need 128 bits
    u64 ns_at(u64 counter) const {
        return static_cast<u64>((static_cast<unsigned __int128>(counter - base) * ns_per_tick_32) >> 32);
    }
};
extern constinit TimeScale time_scale;

/// After irq_init. Errors: invalid (timer interrupt number), device_broken (CNTFRQ_EL0 is absurd: 62.5 MHz is
/// assumed then and the clock runs all the same).
Result<> clock_init(const Platform& platform);
/// Nanoseconds since the image was entered. No exit, no lock. Context: any.
inline Instant monotonic_now() {
    return {time_scale.ns_at(cycle_counter())};
}
/// One shot: hooks::timer() when due, at once if past. Context: interrupts disabled.
void set_timer(Instant when);
void cancel_timer();
/// Errors: unsupported (no PL031). Context: thread or boot.
Result<u64> wall_clock_unix_seconds();

}  // namespace ringlet::arch
