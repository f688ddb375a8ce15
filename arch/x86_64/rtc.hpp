// The arithmetic of the CMOS clock: BCD or binary, 12 or 24 hours, to Unix seconds. Pure: host-tested.
#pragma once

#include "lib/result.hpp"

namespace ringlet::arch::x86 {

/// As the chip holds them.
struct RtcFields {
    u8 seconds = 0, minutes = 0, hours = 0, day = 0, month = 0, year = 0, century = 0;
    friend constexpr bool operator==(const RtcFields&, const RtcFields&) = default;
};

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, 1970 or later.
constexpr u64 days_since_1970(u32 year, u32 month, u32 day) {
    // The year begins in March, so that the leap day is its last: 153 days in five months, 146097 in 400
    // years.
    const u32 y = month <= 2 ? year - 1 : year;
    const u32 m = (month + 9) % 12;
    return u64{365} * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/// `mode` is status register B. `corrupt` when the fields are no date and time.
constexpr Result<u64> unix_seconds_from_rtc(RtcFields f, u8 mode) {
    constexpr u8 kBinary = 0x04, k24Hours = 0x02, kAfternoon = 0x80;
    bool bad = false;
    auto number = [&](u8 raw) -> u32 {
        if ((mode & kBinary) != 0) return raw;
        if ((raw & 0xf) > 9 || raw >> 4 > 9) bad = true;
        return (raw >> 4) * 10u + (raw & 0xf);
    };
    const bool twelve = (mode & k24Hours) == 0;
    const bool afternoon = twelve && (f.hours & kAfternoon) != 0;
    u32 hours = number(twelve ? static_cast<u8>(f.hours & ~kAfternoon) : f.hours);
    if (twelve) {
        if (hours < 1 || hours > 12) return fail(Error::corrupt);
        hours = hours % 12 + (afternoon ? 12 : 0);
    }
    const u32 seconds = number(f.seconds), minutes = number(f.minutes);
    const u32 day = number(f.day), month = number(f.month), year = number(f.year);
    // Not every chip has a century there (its place is CMOS memory): only a plausible one is believed.
    const u32 century = f.century == 0x20 || f.century == 0x21 ? (f.century >> 4) * 10u + (f.century & 0xf)
                        : f.century == 20 || f.century == 21   ? f.century
                                                               : 20u;
    if (bad || seconds > 60 || minutes > 59 || hours > 23 || day < 1 || day > 31 || month < 1 || month > 12 ||
        year > 99)
        return fail(Error::corrupt);
    return days_since_1970(century * 100 + year, month, day) * 86400 + hours * 3600 + minutes * 60 + seconds;
}

}  // namespace ringlet::arch::x86
