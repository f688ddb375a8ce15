// Time for the kernel and everything above it. Context: any.
#pragma once

#include "lib/time.hpp"

namespace ringlet::kernel {

/// Monotonic time since boot.
Instant now();
/// Wall clock in nanoseconds since 1970-01-01 UTC: the RTC at boot plus monotonic time plus adjustments. 0: unknown.
u64 wall_clock_ns();
void set_wall_clock_ns(u64 unix_ns);
/// Adds `offset` little by little, at 500 millionths (0.1 s take 200 s): the clock never jumps or runs backwards.
void slew_wall_clock(Duration offset);

}  // namespace ringlet::kernel
