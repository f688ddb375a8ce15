// What UEFI firmware told efi.cpp, until image.cpp has read it. UEFI 2.10. Context: boot.
#pragma once

#include "boot/boot_info.hpp"
#include "lib/format.hpp"

namespace ringlet::boot {

/// At the start of the pages that efi.cpp got for it; the rest of them holds the memory map.
struct EfiFindings {
    u64 bytes;                        ///< of these pages
    u64 map_bytes, descriptor_bytes;  ///< what GetMemoryMap() said
    u64 devicetree, rsdp;             ///< 0: none
    u64 command_line_bytes;
    char command_line[2048];
};

/// The memory map (§7.2.3) as RAM: what nobody needs any more once boot services have ended. The firmware's ACPI tables
/// are in RAM too, and reserved. What lies outside of [from, to), where nothing is mapped yet, is left out. A
/// descriptor that makes no sense, or one too many, is left out with a complaint.
void memory_from_efi(Bytes map, u64 descriptor_bytes, u64 from, u64 to, BootInfo& out, TextSink complain);

}  // namespace ringlet::boot
