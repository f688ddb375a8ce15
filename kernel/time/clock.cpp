// kernel/time/clock.hpp on the arch clocks. The wall clock is read from the RTC at its first use.
#include "kernel/time/clock.hpp"

#include <arch/clock.hpp>

#include "kernel/sync/spinlock.hpp"
#include "kernel/time/wall_clock.hpp"

namespace ringlet::kernel {

namespace {
struct Wall {
    WallClock clock;
    bool asked = false;  // the RTC, or whoever has set the clock
};
constinit Guarded<Wall, Rank::leaf, Spinlock> wall;

/// From the RTC. It is slow: read with nothing held; who sets the clock meanwhile wins.
void read_rtc() {
    const u64 seconds = arch::wall_clock_unix_seconds().value_or(0);
    u64 unix_ns = 0;
    if (__builtin_mul_overflow(seconds, u64{1'000'000'000}, &unix_ns)) unix_ns = 0;
    auto held = wall.lock();
    if (!held->asked) held->clock.step(unix_ns, now());
    held->asked = true;
}
}  // namespace

Instant now() {
    return arch::monotonic_now();
}

u64 wall_clock_ns() {
    if (auto held = wall.lock(); held->asked) return held->clock.at(now());
    read_rtc();
    return wall.lock()->clock.at(now());
}

void set_wall_clock_ns(u64 unix_ns) {
    auto held = wall.lock();
    held->asked = true;
    held->clock.step(unix_ns, now());
}

void slew_wall_clock(Duration offset) {
    wall.lock()->clock.slew(offset.ns, now());
}

}  // namespace ringlet::kernel
