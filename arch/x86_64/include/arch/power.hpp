// The end of the machine. Context: any; interrupts need not be off.
#pragma once

#include "arch/platform.hpp"

namespace ringlet::arch {

/// Remembers what ACPI said. Call after paging_init(). Without it the functions below use well-known ports.
void power_init(const Platform& platform);
[[noreturn]] void poweroff();
[[noreturn]] void reboot();
[[noreturn]] void halt();
/// QEMU with `-device isa-debug-exit,iobase=0xf4,iosize=0x04` exits with status * 2 + 1; else this powers off.
[[noreturn]] void end_vm(u8 status);

}  // namespace ringlet::arch
