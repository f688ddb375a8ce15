// The CMOS real-time clock (MC146818 data sheet): the date, in UTC as QEMU keeps it. Context: thread or boot.
#include "arch/x86_64/rtc.hpp"
#include "arch/clock.hpp"
#include "arch/cpu.hpp"
#include "arch/port.hpp"

namespace ringlet::arch {
namespace {

constexpr u8 kSeconds = 0x00, kMinutes = 0x02, kHours = 0x04, kDay = 0x07, kMonth = 0x08, kYear = 0x09;
constexpr u8 kStatusA = 0x0a, kStatusB = 0x0b, kCentury = 0x32;
constexpr u8 kUpdateInProgress = 0x80;

u8 cmos(u8 index) {
    constexpr u8 kNmiDisabled = 0x80;
    IrqGuard guard;
    port_out8(0x70, index | kNmiDisabled);
    return port_in8(0x71);
}

x86::RtcFields read_fields() {
    return {cmos(kSeconds), cmos(kMinutes), cmos(kHours), cmos(kDay), cmos(kMonth), cmos(kYear), cmos(kCentury)};
}

}  // namespace

Result<u64> wall_clock_unix_seconds() {
    const u8 mode = cmos(kStatusB);
    if (mode == 0xff && cmos(kStatusA) == 0xff) return fail(Error::not_found);
    // An update takes 2 ms at most and happens once a second: two equal readings outside of one are a good
    // one.
    constexpr int kAttempts = 20'000;
    x86::RtcFields before;
    bool have_before = false;
    for (int i = 0; i < kAttempts; ++i) {
        if ((cmos(kStatusA) & kUpdateInProgress) != 0) {
            have_before = false;
            relax();
            continue;
        }
        const auto now = read_fields();
        if (have_before && now == before) return x86::unix_seconds_from_rtc(now, mode);
        before = now;
        have_before = true;
    }
    return fail(Error::timed_out);
}

}  // namespace ringlet::arch
