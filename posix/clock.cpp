// Clocks and sleeping. Two clocks: the wall clock, which SNTP may correct, and the monotonic one.
#include <errno.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#include "kernel/sched/thread.hpp"
#include "kernel/time/clock.hpp"
#include "posix/signals.hpp"
#include "posix/thread.hpp"
#include "posix/time_conversion.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

Outcome<u64> shown_by(clockid_t clock) {
    switch (clock) {
    case CLOCK_REALTIME:
        return kernel::wall_clock_ns();
    case CLOCK_MONOTONIC:
        return kernel::now().ns;
    case CLOCK_PROCESS_CPUTIME_ID:
        return kernel::now().ns - kernel::idle_time_ns();
    case CLOCK_THREAD_CPUTIME_ID:
        return kernel::own_cpu_time_ns();
    default:
        return refuse(EINVAL);
    }
}

/// EINTR: a signal came, and its handler has run.
Outcome<> sleep_till(Instant when) {
    test_cancel();
    static constexpr u32 kNever = 0;
    const u64 signals = signals_handled();
    while (cancellable_wait(kNever, 0, when) != Slept::timed_out) {
        test_cancel();
        if (signals_handled() != signals) return refuse(EINTR);
    }
    return {};
}

Outcome<> sleep_as(clockid_t clock, int flags, const timespec& t) {
    if ((flags & TIMER_ABSTIME) != 0) return sleep_till(TRY_POSIX(deadline_of(clock, t)));
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) return refuse(EINVAL);
    return sleep_till(after(TRY_POSIX(duration_of(t))));
}

void tell_rest(timespec* rest, Instant end) {
    if (rest == nullptr) return;
    const Instant now = kernel::now();
    *rest = timespec_of(end > now ? end.ns - now.ns : 0);
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* t) {
    const auto ns = shown_by(clock);
    if (ns) *t = timespec_of(*ns);
    return ns ? 0 : answer(ns);
}
int clock_getres(clockid_t clock, timespec* t) {
    const auto ns = shown_by(clock);
    if (ns && t != nullptr) *t = timespec_of(1);
    return ns ? 0 : answer(ns);
}
int clock_settime(clockid_t clock, const timespec* t) {
    const auto since_1970 = duration_of(*t);
    if (clock != CLOCK_REALTIME || !since_1970) return answer(Outcome<>(refuse(EINVAL)));
    kernel::set_wall_clock_ns(static_cast<u64>(since_1970->ns));
    return 0;
}
int clock_nanosleep(clockid_t clock, int flags, const timespec* t, timespec* rest) {
    const Instant began = kernel::now();
    const auto slept = sleep_as(clock, flags, *t);
    if (!slept && slept.error().code == EINTR && (flags & TIMER_ABSTIME) == 0)
        tell_rest(rest, began + *duration_of(*t));
    return code_of(slept);
}
int nanosleep(const timespec* t, timespec* rest) {
    const int code = clock_nanosleep(CLOCK_MONOTONIC, 0, t, rest);
    if (code == 0) return 0;
    errno = code;
    return -1;
}
unsigned sleep(unsigned seconds) {
    const timespec t{.tv_sec = static_cast<time_t>(seconds), .tv_nsec = 0};
    timespec rest{};
    return nanosleep(&t, &rest) == 0 ? 0 : static_cast<unsigned>(rest.tv_sec);
}
int usleep(useconds_t us) {
    const timespec t{.tv_sec = static_cast<time_t>(us / 1'000'000),
                     .tv_nsec = static_cast<long>(us % 1'000'000) * 1000};
    return nanosleep(&t, nullptr);
}

int _gettimeofday(timeval* t, void*) {
    const u64 ns = kernel::wall_clock_ns();
    *t = {.tv_sec = static_cast<time_t>(ns / kSecond), .tv_usec = static_cast<suseconds_t>(ns % kSecond / 1000)};
    return 0;
}
int settimeofday(const timeval* t, const struct timezone*) {
    const timespec fine{.tv_sec = t->tv_sec, .tv_nsec = static_cast<long>(t->tv_usec) * 1000};
    return clock_settime(CLOCK_REALTIME, &fine);
}

clock_t _times(tms* t) {
    const auto ticks = [](u64 ns) { return static_cast<clock_t>(ns / (kSecond / CLOCKS_PER_SEC)); };
    *t = {.tms_utime = ticks(*shown_by(CLOCK_PROCESS_CPUTIME_ID)), .tms_stime = 0, .tms_cutime = 0, .tms_cstime = 0};
    return ticks(kernel::now().ns);
}

}  // extern "C"
