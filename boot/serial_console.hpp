// The serial device as the system console. Used by boot_main() alone.
#pragma once

#include "arch/platform.hpp"
#include "lib/result.hpp"

namespace ringlet::boot {

/// Sends log and console output to the machine's serial device. Before that they went to arch::early_put().
/// Errors: not_found (no such device), those of the driver.
Result<> start_console_output(const arch::Serial& serial);
/// Delivers what is typed to kernel::console_input(): by interrupt, or by a polling thread when there is no line.
/// Needs interrupts and threads.
Result<> start_console_input(const arch::Serial& serial);
/// Until start_console_output(): everything through the architecture's early console.
void start_early_console();

}  // namespace ringlet::boot
