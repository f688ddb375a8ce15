// What UEFI firmware told efi.cpp, until image.cpp has read it. UEFI 2.10. Context: boot.
#pragma once

#include "boot/boot_info.hpp"
#include "lib/calendar.hpp"
#include "lib/format.hpp"

namespace ringlet::boot {

/// At the start of the pages that efi.cpp got for it; the rest of them holds the memory map.
struct EfiFindings {
    u64 bytes;                        ///< of these pages
    u64 map_bytes, descriptor_bytes;  ///< what GetMemoryMap() said
    u64 devicetree, rsdp;             ///< 0: none
    u64 unix_seconds;                 ///< at entry; 0: unknown
    u64 command_line_bytes;
    char command_line[2048];
};

/// EFI_TIME, §8.3.
struct EfiTime {
    u16 year;
    u8 month, day, hour, minute, second, pad1;
    u32 nanosecond;
    i16 time_zone;  ///< minutes that UTC is ahead, or 2047: not known
    u8 daylight, pad2;
};
static_assert(sizeof(EfiTime) == 16);

/// 0 for what is no time from 1970 to 9999. Without a time zone it is taken for UTC.
constexpr u64 unix_seconds_from_efi(const EfiTime& t) {
    if (t.year < 1970 || t.year > 9999 || t.month < 1 || t.month > 12 || t.day < 1 || t.day > 31 || t.hour > 23 ||
        t.minute > 59 || t.second > 59)
        return 0;
    const i64 zone = t.time_zone >= -1440 && t.time_zone <= 1440 ? t.time_zone : 0;
    const i64 minutes = (days_from_civil({t.year, t.month, t.day}) * 24 + t.hour) * 60 + t.minute + zone;
    return minutes < 0 ? 0 : static_cast<u64>(minutes) * 60 + t.second;
}

/// The memory map (§7.2.3) as RAM: what nobody needs any more once boot services have ended. The firmware's ACPI tables
/// are in RAM too, and reserved. What lies outside of [from, to), where nothing is mapped yet, is left out. A
/// descriptor that makes no sense, or one too many, is left out with a complaint.
void memory_from_efi(Bytes map, u64 descriptor_bytes, u64 from, u64 to, BootInfo& out, TextSink complain);

}  // namespace ringlet::boot
