// Collecting memory ranges into a BootInfo: rounding to pages, keeping order, refusing what overlaps or
// wraps. Shared by every entry point. Context: boot.
#pragma once

#include "boot/boot_info.hpp"

namespace ringlet::boot {

/// Adds usable RAM, rounded inwards to pages, in ascending order; what an earlier range already covers is
/// left out and ranges that touch are joined. A wrapping or empty range is ignored. False when the table is
/// full.
bool add_ram(BootInfo& info, arch::MmioRange range);
/// Adds a part that is in use, rounded outwards to pages. Empty or wrapping ranges are ignored. False when
/// full.
bool reserve(BootInfo& info, arch::MmioRange range);
/// Does `range` lie wholly in one range of `info.ram`? A wrapping one does not.
bool in_ram(const BootInfo& info, arch::MmioRange range);

}  // namespace ringlet::boot
