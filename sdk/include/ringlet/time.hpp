// The wall clock and who keeps it right. Context: thread.
//   TRY(time_sync().wait_until_set(Duration::from_s(10)));  u64 t = wall_clock_ns();
#pragma once

#include "kernel/time/clock.hpp"
#include "net/api/time_sync.hpp"

namespace ringlet {

using kernel::now;
using kernel::set_wall_clock_ns;
using kernel::slew_wall_clock;
using kernel::wall_clock_ns;

/// SNTP. It runs from boot when the appliance's configuration says so (`sntp`), or after time_sync().start(); otherwise
/// nothing of it is in the image.
net::TimeSync& time_sync();

}  // namespace ringlet
