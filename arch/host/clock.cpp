// Real or virtual time. Context: any thread.
#include "arch/clock.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>

#include "arch/cpu.hpp"
#include "arch/hooks.hpp"
#include "arch/host.hpp"
#include "arch/host/internal.hpp"

namespace ringlet::arch {

namespace {

std::atomic<bool> is_virtual{false};
std::atomic<u64> virtual_now{0}, virtual_step{0}, deadline{Instant::never().ns}, wall_clock{0};
std::atomic<host::SleepHook> sleep{nullptr};
const auto start = std::chrono::steady_clock::now();

}  // namespace

Result<> clock_init(const Platform&) {
    return {};
}

Instant monotonic_now() {
    if (is_virtual) return {virtual_now += virtual_step};
    const auto since = std::chrono::steady_clock::now() - start;
    return {static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count())};
}

void set_timer(Instant when) {
    deadline = when.ns;
    if (interrupts_enabled() && when <= monotonic_now()) {
        disable_interrupts();
        enable_interrupts();  // delivers
    }
}

void cancel_timer() {
    deadline = Instant::never().ns;
}

Result<u64> wall_clock_unix_seconds() {
    return wall_clock != 0 ? u64{wall_clock} : static_cast<u64>(std::time(nullptr));
}

namespace host {

bool deliver_due_timer() {
    if (!is_virtual || deadline > virtual_now) return false;
    deadline = Instant::never().ns;
    hooks::timer();
    finish_interrupt();
    return true;
}

bool advance_to_timer() {
    if (deadline == Instant::never().ns) return false;
    virtual_now = std::max<u64>(virtual_now, deadline);
    return true;
}

void use_virtual_clock(Instant at) {
    virtual_now = at.ns;
    virtual_step = 0;
    deadline = Instant::never().ns;
    is_virtual = true;
}
void step_virtual_clock(Duration step) {
    virtual_step = static_cast<u64>(step.ns);
}
void set_sleep_hook(SleepHook hook) {
    sleep = hook;
}
SleepHook sleep_hook() {
    return sleep;
}
void use_real_clock() {
    is_virtual = false;
}
bool clock_is_virtual() {
    return is_virtual;
}

void advance_to(Instant when) {
    if (!is_virtual) test_error("advance_to() with the real clock", when.ns);
    while (deadline <= when.ns && interrupts_enabled()) {
        advance_to_timer();
        disable_interrupts();
        enable_interrupts();  // delivers; the handler may set the next deadline, or switch threads for a
                              // while
    }
    virtual_now = std::max<u64>(virtual_now, when.ns);
}

Instant timer_deadline() {
    return {deadline};
}
void set_wall_clock(u64 unix_seconds) {
    wall_clock = unix_seconds;
}

}  // namespace host

}  // namespace ringlet::arch
