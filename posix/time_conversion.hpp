// timespec and timeval, and Ringlet's Instant and Duration. All deadlines are kept by the monotonic clock.
#pragma once

#include <time.h>

#include <sys/time.h>

#include "kernel/time/clock.hpp"
#include "posix/alarms.hpp"
#include "posix/error.hpp"

namespace ringlet::posix {

constexpr i64 kSecond = 1'000'000'000;

/// EINVAL: nanoseconds outside a second, or a negative time. What is longer than 292 years is cut to that.
inline Outcome<Duration> duration_of(const timespec& t) {
    if (t.tv_nsec < 0 || t.tv_nsec >= kSecond || t.tv_sec < 0) return refuse(EINVAL);
    if (t.tv_sec >= INT64_MAX / kSecond) return Duration{INT64_MAX};
    return Duration{t.tv_sec * kSecond + t.tv_nsec};
}

/// From now; as far away as it goes when that is beyond counting.
inline Instant after(Duration d) {
    const Instant now = kernel::now();
    return d.ns > static_cast<i64>(INT64_MAX - now.ns) ? Instant::never() : now + d;
}

constexpr timespec timespec_of(u64 ns) {
    return {.tv_sec = static_cast<time_t>(ns / kSecond), .tv_nsec = static_cast<long>(ns % kSecond)};
}

/// When `clock` will show `t`; at once when it is past. EINVAL: as duration_of(), or no such clock. The wall clock is
/// taken as it goes now: setting it does not move who waits already.
inline Outcome<Instant> deadline_of(clockid_t clock, const timespec& t) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) return refuse(EINVAL);
    if (t.tv_nsec >= 0 && t.tv_nsec < kSecond && t.tv_sec < 0) return kernel::now();
    const Duration shown = TRY_POSIX(duration_of(t));
    const u64 at = clock == CLOCK_REALTIME ? kernel::wall_clock_ns() : kernel::now().ns;
    return static_cast<u64>(shown.ns) <= at ? kernel::now() : after(Duration{shown.ns - static_cast<i64>(at)});
}

/// EINVAL: as above, or an interval that is none. A time of 0 is never.
inline Outcome<Schedule> schedule_of(clockid_t clock, bool absolute, const itimerspec& t) {
    Schedule s;
    const Duration first = TRY_POSIX(duration_of(t.it_value));
    s.interval = TRY_POSIX(duration_of(t.it_interval));
    if (first.ns == 0) return Schedule{};
    s.next = absolute ? TRY_POSIX(deadline_of(clock, t.it_value)) : after(first);
    return s;
}

/// What is left until its next time.
inline itimerspec timerspec_of(const Schedule& s) {
    itimerspec t{};
    t.it_interval = timespec_of(static_cast<u64>(s.interval.ns));
    if (s.next == Instant::never()) return t;
    const Instant now = kernel::now();
    t.it_value = timespec_of(s.next > now ? s.next.ns - now.ns : 1);
    return t;
}

}  // namespace ringlet::posix
