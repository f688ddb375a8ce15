// aarch64: the generic timer (Arm ARM D11): virtual counter and virtual timer; wall clock from a PL031 (DDI
// 0224).
#pragma once

#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/time.hpp"

namespace ringlet::arch {

/// After irq_init. Errors: invalid (timer interrupt number), device_broken (CNTFRQ_EL0 is absurd: 62.5 MHz is
/// assumed then and the clock runs all the same).
Result<> clock_init(const Platform& platform);
/// Nanoseconds since the image was entered. No exit, no lock. Context: any.
Instant monotonic_now();
/// One shot: hooks::timer() when due, at once if past. Context: interrupts disabled.
void set_timer(Instant when);
void cancel_timer();
/// Errors: unsupported (no PL031). Context: thread or boot.
Result<u64> wall_clock_unix_seconds();

}  // namespace ringlet::arch
