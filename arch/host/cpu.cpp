// The host CPU: interrupt flag, idling, per-CPU pointer, random numbers. Context: any.
#include "arch/cpu.hpp"

#include <sys/random.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "arch/early.hpp"
#include "arch/hooks.hpp"
#include "arch/host.hpp"
#include "arch/host/internal.hpp"

namespace ringlet::arch {

namespace {

thread_local bool irq_enabled = true;
thread_local void* local_data = nullptr;
std::atomic<void (*)()> idle_hook{nullptr};
std::atomic<bool> has_random{true};
std::atomic<void (*)(char)> early_sink{nullptr};

bool deliver_one() {
    return host::deliver_due_timer() || host::deliver_one_pending_irq();
}

}  // namespace

bool interrupts_enabled() {
    return irq_enabled;
}

void disable_interrupts() {
    irq_enabled = false;
}

void enable_interrupts() {
    if (irq_enabled) return;
    while (deliver_one()) {
    }
    irq_enabled = true;
}

void wait_for_interrupt() {
    if (deliver_one()) return;
    if (host::clock_is_virtual() && host::advance_to_timer() && deliver_one()) return;
    if (auto hook = idle_hook.load()) return hook();
    if (host::clock_is_virtual()) host::test_error("the CPU halts and nothing will ever wake it", 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void relax() {
    std::this_thread::yield();
}

void host::set_hardware_random(bool present) {
    has_random = present;
}

std::optional<u64> hardware_random() {
    u64 value;
    if (!has_random) return std::nullopt;
    if (getrandom(&value, sizeof value, 0) != sizeof value) return std::nullopt;
    return value;
}

u64 cycle_counter() {
    return static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch().count());
}

u32 cpu_index() {
    return 0;
}
void* cpu_local() {
    return local_data != nullptr ? local_data : hooks::boot_cpu_local;
}
void set_cpu_local(void* p) {
    local_data = p;
}
std::string_view cpu_model() {
    return "host test";
}

void cpu_init() {}

void early_put(char c) {
    if (auto put = early_sink.load())
        put(c);
    else
        std::fputc(c, stderr);
}

namespace host {
void set_idle_hook(void (*hook)()) {
    idle_hook = hook;
}
void set_early_sink(void (*put)(char)) {
    early_sink = put;
}
}  // namespace host

}  // namespace ringlet::arch
