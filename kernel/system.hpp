// Ending the machine's run, and what it runs on, for everything above the kernel.
#pragma once

#include <string_view>

#include "lib/types.hpp"

namespace ringlet::kernel {

/// Logs the fact and ends the run, after the steps of set_first_step() and set_last_step(). Whoever comes while another
/// thread is at the last one does not return either. Context: thread, holding no lock below Rank::application.
[[noreturn]] void poweroff();
[[noreturn]] void reboot();
/// Ends the VM with `status` visible to whoever started it, where the machine has a way; else powers off.
[[noreturn]] void end_vm(u8 status);

/// What is done first, while all still runs, when somebody wants the machine to go off: the application is asked to end
/// its work. Its own end comes here too, perhaps meanwhile. Not before end_vm(). Set once at boot.
void set_first_step(void (*step)());
/// What is done before the run ends in one of these ways: disks are written. Not before a panic. Set once at boot.
void set_last_step(void (*step)());

std::string_view architecture();
std::string_view cpu_model();

}  // namespace ringlet::kernel
