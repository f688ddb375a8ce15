#include "kernel/system.hpp"

#include <arch/cpu.hpp>
#include <arch/power.hpp>

#include "kernel/log.hpp"

namespace ringlet::kernel {

namespace {
using Step = void (*)();
constinit Step last_step = [] {};
}  // namespace

void set_last_step(Step step) {
    last_step = step;
}

void poweroff() {
    log(LogLevel::info, "powering off");
    last_step();
    arch::poweroff();
}

void reboot() {
    log(LogLevel::info, "rebooting");
    last_step();
    arch::reboot();
}

void end_vm(u8 status) {
    last_step();
    arch::end_vm(status);
}

std::string_view architecture() {
    return arch::kName;
}

std::string_view cpu_model() {
    return arch::cpu_model();
}

}  // namespace ringlet::kernel
