// What the rest of the architecture may ask of the translation tables. Internal to arch/ and boot/x86_64.
#pragma once

#include <span>

#include "arch/platform.hpp"
#include "lib/result.hpp"

namespace ringlet::arch::x86 {

/// Whether the page of `va` is mapped. Reads the tables only. Context: any, faults included.
bool is_mapped(std::uintptr_t va);

/// How many 4 KiB pages early_map_high() needs to reach RAM up to `end`.
usize early_tables_needed(PhysAddr end);
/// Extends the boot map (4 GiB) up to `end`, at most 512 GiB, with the given zeroed pages. Context: boot.
void early_map_high(PhysAddr end, PhysAddr pages);

}  // namespace ringlet::arch::x86
