// The generic timer. Arm ARM D11: CNTVCT_EL0 counts, CNTV_CVAL_EL0 compares. PL031: DDI 0224. See clock.hpp.
#include "arch/clock.hpp"

#include "arch/cpu.hpp"
#include "arch/hooks.hpp"
#include "arch/irq.hpp"
#include "arch/mmio.hpp"
#include "arch/paging.hpp"
#include "internal.hpp"
#include "sysreg.hpp"

namespace ringlet::arch {

constinit TimeScale time_scale;

namespace {

constexpr u64 kNanosecondsPerSecond = 1'000'000'000, kAssumedFrequency = 62'500'000;
constexpr u64 kEnable = 1;

struct Clock {
    u64 frequency = 0;
    u64 ticks_per_ns_32 = 0;  // 32.32 fixed point, as TimeScale
    u32 intid = 0;
    std::uintptr_t rtc = 0;
    u64 unix_seconds = 0;  // at entry, where there is no rtc; 0: unknown
};
constinit Clock clock;

bool plausible(u64 frequency) {
    return frequency >= 1'000 && frequency <= 4'000'000'000;
}

}  // namespace

void clock_early(u64 counter_at_entry) {
    time_scale.base = counter_at_entry;
    const u64 frequency = RINGLET_READ_SYSREG("cntfrq_el0") & 0xffff'ffff;
    clock.frequency = plausible(frequency) ? frequency : kAssumedFrequency;
    time_scale.ns_per_tick_32 = (kNanosecondsPerSecond << 32) / clock.frequency;
    clock.ticks_per_ns_32 = (clock.frequency << 32) / kNanosecondsPerSecond + 1;  // rounded up: never early
    cancel_timer();
}

Result<> clock_init(const Platform& platform) {
    if (platform.pl031) {
        const auto rtc = map_device(*platform.pl031, kPageSize);
        if (rtc) clock.rtc = *rtc;
    }
    clock.unix_seconds = platform.unix_seconds;
    if (platform.timer_intid < 16 || platform.timer_intid > 31) return fail(Error::invalid);
    const IrqId id = TRY(attach_line({.number = platform.timer_intid, .trigger = platform.timer_trigger}));
    clock.intid = platform.timer_intid;
    unmask(id);
    if (!plausible(RINGLET_READ_SYSREG("cntfrq_el0") & 0xffff'ffff)) return fail(Error::device_broken);
    return {};
}

void set_timer(Instant when) {
    if (when.is_never()) return cancel_timer();
    const auto ticks = static_cast<unsigned __int128>(when.ns) * clock.ticks_per_ns_32 >> 32;
    // Far enough away to overflow is centuries: then any far-off value will do, and the kernel sets it again.
    const u64 limit = ~u64{0} >> 2;
    const u64 compare = ticks > limit ? time_scale.base + limit : time_scale.base + static_cast<u64>(ticks) + 1;
    RINGLET_WRITE_SYSREG("cntv_cval_el0", compare);
    RINGLET_WRITE_SYSREG("cntv_ctl_el0", kEnable);
    isb();
}

void cancel_timer() {
    RINGLET_WRITE_SYSREG("cntv_ctl_el0", 0);
    isb();
}

bool clock_interrupt(IrqId id) {
    if (clock.intid == 0 || static_cast<u32>(id) != clock.intid) return false;
    cancel_timer();  // level-triggered: silent before end-of-interrupt
    hooks::timer();
    return true;
}

Result<u64> wall_clock_unix_seconds() {
    if (clock.rtc != 0) return u64{mmio_read<u32>(clock.rtc)};  // RTCDR
    if (clock.unix_seconds == 0) return fail(Error::unsupported);
    return clock.unix_seconds + monotonic_now().ns / kNanosecondsPerSecond;
}

}  // namespace ringlet::arch
