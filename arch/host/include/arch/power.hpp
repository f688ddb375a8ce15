// The end of the "machine": ends the test process, unless the test has set a hook (arch/host.hpp).
#pragma once

#include "arch/platform.hpp"

namespace ringlet::arch {

void power_init(const Platform& platform);
[[noreturn]] void poweroff();
[[noreturn]] void reboot();
[[noreturn]] void halt();
[[noreturn]] void end_vm(u8 status);

}  // namespace ringlet::arch
