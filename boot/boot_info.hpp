// What every entry point (PVH, Multiboot2, Linux arm64 Image, UEFI) hands to boot_main(): where memory is and what the
// loader was told.
#pragma once

#include <string_view>

#include "arch/platform.hpp"
#include "lib/bytes.hpp"
#include "lib/fixed_vector.hpp"
#include "lib/strong.hpp"

namespace ringlet::boot {

struct BootInfo {
    FixedVector<arch::MmioRange, 64> ram;       ///< usable RAM, page-aligned inwards, not overlapping, ascending
    FixedVector<arch::MmioRange, 16> reserved;  ///< parts of `ram` already in use: image, DTB, initrd, boot tables
    std::string_view command_line;              ///< lives in reserved memory
    Bytes initrd;                               ///< empty if none
    PhysAddr acpi_rsdp;                         ///< 0: none
    Bytes devicetree;                           ///< empty if none
    u64 unix_seconds = 0;                       ///< the time at entry; 0: the loader does not know
    u64 entry_cycles = 0;                       ///< arch::cycle_counter() at the first instruction
};

}  // namespace ringlet::boot

/// The composition root, called by the entry code of each architecture on the boot stack, with interrupts disabled,
/// an early identity map of at least the image, the boot data and the first GiB of RAM, and arch::cpu_init() done.
[[noreturn]] void boot_main(ringlet::boot::BootInfo& info);
