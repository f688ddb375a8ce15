// What machine this is: from the devicetree, from ACPI, or by well-known defaults. Used by boot_main() alone.
#pragma once

#include "arch/platform.hpp"
#include "boot/boot_info.hpp"
#include "boot/cmdline.hpp"

namespace ringlet::boot {

/// The entry code of every architecture maps RAM up to here before paging_init().
inline constexpr PhysAddr kEarlyMapLimit{4_GiB};

/// Fills in `out`; what is missing or damaged is named in the log and left at its default.
void discover(const BootInfo& info, const CommandLine& command_line, arch::Platform& out);

}  // namespace ringlet::boot
