// kernel/time/clock.hpp on the arch clocks. The wall clock is one offset, read from the RTC at its first use.
#include "kernel/time/clock.hpp"

#include <arch/clock.hpp>
#include <atomic>

namespace ringlet::kernel {

namespace {
constexpr u64 kNotRead = ~u64{0};
constinit std::atomic<u64> offset_ns{kNotRead};  // 0: unknown
}  // namespace

Instant now() {
    return arch::monotonic_now();
}

u64 wall_clock_ns() {
    u64 offset = offset_ns.load(std::memory_order_relaxed);
    if (offset == kNotRead) {
        const u64 uptime = now().ns;
        const u64 seconds = arch::wall_clock_unix_seconds().value_or(0);
        u64 unix_ns = 0;
        const bool usable = !__builtin_mul_overflow(seconds, u64{1'000'000'000}, &unix_ns) && unix_ns > uptime;
        const u64 found = usable ? unix_ns - uptime : 0;
        // Somebody may have set the clock meanwhile: theirs wins.
        if (offset_ns.compare_exchange_strong(offset, found)) offset = found;
    }
    return offset == 0 ? 0 : offset + now().ns;
}

void set_wall_clock_ns(u64 unix_ns) {
    const u64 uptime = now().ns;
    offset_ns.store(unix_ns > uptime ? unix_ns - uptime : 0, std::memory_order_relaxed);
}

}  // namespace ringlet::kernel
