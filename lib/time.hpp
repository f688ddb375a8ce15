// Monotonic time as values. Code below kernel/ is told the time; it never asks. Context: any.
#pragma once

#include <compare>

#include "lib/types.hpp"

namespace ringlet {

struct Duration {
    i64 ns = 0;
    static constexpr Duration from_us(i64 v) { return {v * 1'000}; }
    static constexpr Duration from_ms(i64 v) { return {v * 1'000'000}; }
    static constexpr Duration from_s(i64 v) { return {v * 1'000'000'000}; }
    constexpr i64 us() const { return ns / 1'000; }
    constexpr i64 ms() const { return ns / 1'000'000; }
    friend constexpr auto operator<=>(Duration, Duration) = default;
    friend constexpr Duration operator+(Duration a, Duration b) { return {a.ns + b.ns}; }
    friend constexpr Duration operator-(Duration a, Duration b) { return {a.ns - b.ns}; }
    friend constexpr Duration operator*(Duration a, i64 k) { return {a.ns * k}; }
    friend constexpr Duration operator/(Duration a, i64 k) { return {a.ns / k}; }
};

/// Nanoseconds since boot. `never()` is later than every other Instant and absorbs additions.
struct Instant {
    u64 ns = 0;
    static constexpr Instant never() { return {~u64{0}}; }
    constexpr bool is_never() const { return ns == ~u64{0}; }
    friend constexpr auto operator<=>(Instant, Instant) = default;
    friend constexpr Instant operator+(Instant t, Duration d) {
        return t.is_never() ? t : Instant{t.ns + static_cast<u64>(d.ns)};
    }
    friend constexpr Duration operator-(Instant a, Instant b) { return {static_cast<i64>(a.ns - b.ns)}; }
};

}  // namespace ringlet
