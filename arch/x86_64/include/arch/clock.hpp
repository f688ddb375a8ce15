// Time: the TSC for reading, the local APIC (TSC deadline when the CPU has it) for interrupts, the CMOS RTC for the
// date. Context: any, unless said.
#pragma once

#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/time.hpp"

namespace ringlet::arch {

/// Finds the TSC's frequency. Call after irq_init(). Context: boot.
Result<> clock_init(const Platform& platform);
/// Since clock_init(); 0 before. Never steps back; no MMIO, no exit.
Instant monotonic_now();
/// One shot: hooks::timer() not before `when`; at once if that is past. Replaces an earlier one.
void set_timer(Instant when);
void cancel_timer();
/// The date in the battery-backed clock, which QEMU keeps in UTC. `not_found` without one, `corrupt` when its
/// contents are no date, `timed_out` when it never settles. Context: thread or boot (some milliseconds at worst).
Result<u64> wall_clock_unix_seconds();

}  // namespace ringlet::arch
