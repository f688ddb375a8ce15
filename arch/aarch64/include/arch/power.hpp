// aarch64: PSCI (DEN 0022) by HVC or SMC, and Arm semihosting for tests. Context: any.
#pragma once

#include "arch/platform.hpp"

namespace ringlet::arch {

void power_init(const Platform& platform);
[[noreturn]] void poweroff();
[[noreturn]] void reboot();
[[noreturn]] void halt();
/// Ends QEMU with exit status `status` when it runs with `-semihosting-config enable=on,target=native`;
/// without that the HLT is an undefined instruction, which is caught, and the machine is powered off (status
/// 0).
[[noreturn]] void end_vm(u8 status);

}  // namespace ringlet::arch
