// The CMOS clock's fields: BCD or binary, 12 or 24 hours, impossible dates.
#include "arch/x86_64/rtc.hpp"

#include <catch2/catch.hpp>
#include <ctime>

using namespace ringlet;
using arch::x86::RtcFields;
using arch::x86::unix_seconds_from_rtc;

namespace {
constexpr u8 kBcd24 = 0x02, kBinary24 = 0x06, kBcd12 = 0x00, kBinary12 = 0x04;
}

TEST_CASE("the same moment in all four modes") {
    constexpr u64 kMoment = 1795370682;  // 2026-11-22 18:04:42 UTC
    REQUIRE(unix_seconds_from_rtc({0x42, 0x04, 0x18, 0x22, 0x11, 0x26, 0x20}, kBcd24).value() == kMoment);
    REQUIRE(unix_seconds_from_rtc({42, 4, 18, 22, 11, 26, 20}, kBinary24).value() == kMoment);
    REQUIRE(unix_seconds_from_rtc({0x42, 0x04, 0x86, 0x22, 0x11, 0x26, 0x20}, kBcd12).value() == kMoment);
    REQUIRE(unix_seconds_from_rtc({42, 4, 0x86, 22, 11, 26, 20}, kBinary12).value() == kMoment);
}

TEST_CASE("noon and midnight of the 12-hour clock") {
    const u64 midnight = unix_seconds_from_rtc({0, 0, 0, 1, 1, 30, 20}, kBinary24).value();
    REQUIRE(unix_seconds_from_rtc({0, 0, 12, 1, 1, 30, 20}, kBinary12).value() == midnight);
    REQUIRE(unix_seconds_from_rtc({0, 0, 0x8c, 1, 1, 30, 20}, kBinary12).value() == midnight + 43200);
    REQUIRE_FALSE(unix_seconds_from_rtc({0, 0, 0, 1, 1, 30, 20}, kBinary12));
}

TEST_CASE("every day for two hundred years agrees with the C library") {
    for (std::time_t t = 946684800; t < 7258118400; t += 86400) {  // 2000 .. 2199
        std::tm d{};
        gmtime_r(&t, &d);
        const auto year = static_cast<u32>(d.tm_year + 1900);
        REQUIRE(arch::x86::days_since_1970(year, static_cast<u32>(d.tm_mon + 1), static_cast<u32>(d.tm_mday)) * 86400 ==
                static_cast<u64>(t));
    }
}

TEST_CASE("nonsense is corrupt, never a date") {
    for (RtcFields f : {RtcFields{0x7a, 0, 0, 1, 1, 0x26, 0x20}, RtcFields{0x61, 0, 0, 1, 1, 0x26, 0x20},
                        RtcFields{0, 0x60, 0, 1, 1, 0x26, 0x20}, RtcFields{0, 0, 0x24, 1, 1, 0x26, 0x20},
                        RtcFields{0, 0, 0, 0, 1, 0x26, 0x20}, RtcFields{0, 0, 0, 0x32, 1, 0x26, 0x20},
                        RtcFields{0, 0, 0, 1, 0, 0x26, 0x20}, RtcFields{0, 0, 0, 1, 0x13, 0x26, 0x20},
                        RtcFields{0, 0, 0, 1, 1, 0xa0, 0x20}, RtcFields{255, 255, 255, 255, 255, 255, 255}})
        REQUIRE(unix_seconds_from_rtc(f, kBcd24).error() == Error::corrupt);
}

TEST_CASE("a century nobody keeps means this one") {
    const u64 good = unix_seconds_from_rtc({0, 0, 0, 1, 1, 0x26, 0x20}, kBcd24).value();
    REQUIRE(unix_seconds_from_rtc({0, 0, 0, 1, 1, 0x26, 0x00}, kBcd24).value() == good);
    REQUIRE(unix_seconds_from_rtc({0, 0, 0, 1, 1, 0x26, 0xff}, kBcd24).value() == good);
}
