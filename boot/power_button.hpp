// The power button ends the run in order. Used by boot_main() alone.
#pragma once

#include "arch/platform.hpp"

namespace ringlet::boot {

/// From now on a press is a poweroff; a machine without a button is left alone. Context: thread.
void start_power_button(const arch::Platform& platform);

}  // namespace ringlet::boot
