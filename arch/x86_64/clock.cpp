// Monotonic time from the TSC, and the one-shot timer. See arch/clock.hpp.
//
// A frequency that was only measured is refined against the PIT from the timer interrupt, over windows that grow from
// 10 ms to a minute; each refinement changes the slope from that moment on and never the value, so time cannot step.
#include "arch/clock.hpp"

#include <atomic>

#include "arch/cpu.hpp"
#include "arch/hooks.hpp"
#include "arch/x86_64/calibration.hpp"
#include "arch/x86_64/cpuid.hpp"
#include "arch/x86_64/local_apic.hpp"
#include "arch/x86_64/traps.hpp"

namespace ringlet::arch {

using x86::time_scale, x86::time_scale_version;
constinit x86::TimeScale x86::time_scale;
constinit std::atomic<u32> x86::time_scale_version{0};

namespace {

constexpr u64 kGiga = 1'000'000'000;

constinit Instant deadline = Instant::never();
constinit bool tsc_deadline_mode;
constinit u64 apic_hz;

void set_scale(u64 tsc, u64 ns, u64 hz) {
    time_scale = {tsc, ns,
                  x86::divide_wide(kGiga >> (64 - x86::TimeScale::kShift), kGiga << x86::TimeScale::kShift, hz), hz};
    std::atomic_signal_fence(std::memory_order_release);
    time_scale_version.store(time_scale_version.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

/// The background refinement of a measured frequency.
struct Refinement {
    bool wanted = false;
    x86::PitSample anchor;
    u64 window_ns = 10'000'000;
    u64 error_ppm = 20'000;  ///< how wrong the slope may be
};
constinit Refinement refinement;

constexpr u64 kPitWrapNs = 65536 * kGiga / x86::kPitHz;

/// Compares TSC and PIT since the anchor. Context: timer interrupt.
void refine() {
    const x86::PitSample now = x86::pit_sample();
    const u64 uncertainty_ns = time_scale.ns_at(time_scale.base_tsc + now.uncertainty) - time_scale.base_ns;
    if (uncertainty_ns > 20'000) return;  // disturbed: the next interrupt tries again
    const u64 guess_ns = time_scale.ns_at(time_scale.base_tsc + (now.tsc - refinement.anchor.tsc)) - time_scale.base_ns;
    // The PIT tells time modulo 55 ms; the guess must be good enough to say which round.
    if (guess_ns / 1'000'000 * refinement.error_ppm > kPitWrapNs / 4) {
        refinement.anchor = now;
        return;
    }
    const u64 guess_ticks = x86::multiply_divide(guess_ns, x86::kPitHz, kGiga);
    const u16 fraction = static_cast<u16>(refinement.anchor.count - now.count);
    const i16 correction = static_cast<i16>(fraction - static_cast<u16>(guess_ticks));
    const u64 ticks = guess_ticks + static_cast<u64>(static_cast<i64>(correction));
    const u64 hz = x86::multiply_divide(now.tsc - refinement.anchor.tsc, x86::kPitHz, ticks);
    // Further off than the measurement at boot can have been: something stood still; look again from here.
    const u64 off = hz > time_scale.tsc_hz ? hz - time_scale.tsc_hz : time_scale.tsc_hz - hz;
    if (off > time_scale.tsc_hz / 20) {
        refinement.anchor = now;
        return;
    }
    set_scale(now.tsc, time_scale.ns_at(now.tsc), hz);
    refinement.error_ppm = 2 + 20'000 * u64{1'000'000} / guess_ns;
    refinement.window_ns = guess_ns * 8;
    refinement.wanted = guess_ns < 60 * kGiga;
}

void refine_when_due() {
    if (!refinement.wanted) return;
    const u64 since =
        time_scale.ns_at(time_scale.base_tsc + (cycle_counter() - refinement.anchor.tsc)) - time_scale.base_ns;
    if (since >= refinement.window_ns) refine();
}

/// Programs the hardware for `deadline`, or as far ahead as it can count.
void arm() {
    const u64 now = monotonic_now().ns;
    const u64 wait = deadline.ns > now ? deadline.ns - now : 0;
    if (tsc_deadline_mode) {
        // A deadline beyond a day is reached in steps, which also keeps the product below 64 bits.
        const u64 bounded = wait < 86'400 * kGiga ? wait : 86'400 * kGiga;
        x86::write_msr(x86::kMsrTscDeadline,
                       cycle_counter() + x86::multiply_divide(bounded, time_scale.tsc_hz, kGiga) + 1);
        return;
    }
    const u64 longest = x86::multiply_divide(~u32{0} - 1, kGiga, apic_hz);
    const u64 ticks = x86::multiply_divide(wait < longest ? wait : longest, apic_hz, kGiga) + 1;
    x86::local_apic_write(x86::LocalApicRegister::timer_initial_count, static_cast<u32>(ticks));
}

}  // namespace

Result<> clock_init(const Platform&) {
    IrqGuard guard;
    tsc_deadline_mode = x86::features().tsc_deadline;
    const x86::Frequencies f = x86::measure_frequencies(!tsc_deadline_mode);
    if (f.tsc_hz == 0 || (!tsc_deadline_mode && f.apic_hz < 1'000)) return fail(Error::unsupported);
    apic_hz = f.apic_hz;
    set_scale(cycle_counter(), 0, f.tsc_hz);
    if (!f.exact) {
        x86::pit_start();
        refinement.anchor = x86::pit_sample();
        const x86::PitSample second = x86::pit_sample();
        // A machine without a PIT reads all ones for ever: then the measured value has to do.
        refinement.wanted = second.count != refinement.anchor.count;
    }
    constexpr u32 kTscDeadline = 2u << 17, kDivideByOne = 0xb;
    using enum x86::LocalApicRegister;
    x86::local_apic_write(timer_divide, kDivideByOne);
    x86::local_apic_write(lvt_timer, x86::kTimerVector | (tsc_deadline_mode ? kTscDeadline : 0));
    // SDM vol. 3 §11.5.4.1: the mode must be set before the first deadline is.
    asm volatile("mfence" : : : "memory");
    return {};
}

void set_timer(Instant when) {
    if (when.is_never()) return cancel_timer();
    IrqGuard guard;
    deadline = when;
    arm();
}

void cancel_timer() {
    IrqGuard guard;
    deadline = Instant::never();
    if (tsc_deadline_mode)
        x86::write_msr(x86::kMsrTscDeadline, 0);
    else
        x86::local_apic_write(x86::LocalApicRegister::timer_initial_count, 0);
}

namespace x86 {

void timer_interrupt() {
    refine_when_due();
    if (deadline.is_never()) return;  // cancelled while it was on its way
    if (monotonic_now() < deadline) return arm();
    deadline = Instant::never();
    hooks::timer();
}

}  // namespace x86
}  // namespace ringlet::arch
