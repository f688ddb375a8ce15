#include "kernel/system.hpp"

#include <atomic>

#include <arch/cpu.hpp>
#include <arch/power.hpp>

#include "kernel/log.hpp"
#include "kernel/sched/thread.hpp"

namespace ringlet::kernel {

namespace {
using Step = void (*)();
constinit Step first_step = [] {};
constinit Step last_step = [] {};
constinit std::atomic<bool> is_leaving{false};

/// The first who comes is the one who ends the run.
void take_last_step() {
    while (is_leaving.exchange(true)) sleep_for(Duration::from_s(3600));
    last_step();
}
}  // namespace

void set_first_step(Step step) {
    first_step = step;
}

void set_last_step(Step step) {
    last_step = step;
}

void poweroff() {
    first_step();
    log(LogLevel::info, "powering off");
    take_last_step();
    arch::poweroff();
}

void reboot() {
    first_step();
    log(LogLevel::info, "rebooting");
    take_last_step();
    arch::reboot();
}

void end_vm(u8 status) {
    take_last_step();
    arch::end_vm(status);
}

std::string_view architecture() {
    return arch::kName;
}

std::string_view cpu_model() {
    return arch::cpu_model();
}

}  // namespace ringlet::kernel
