// The host's clock: the real monotonic one, or a virtual one that only moves when told to (arch/host.hpp).
#pragma once

#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/time.hpp"

namespace ringlet::arch {

Result<> clock_init(const Platform& platform);
Instant monotonic_now();
/// Fires hooks::timer() from host::advance_to() or wait_for_interrupt(). With the real clock it never fires.
void set_timer(Instant when);
void cancel_timer();
Result<u64> wall_clock_unix_seconds();

}  // namespace ringlet::arch
