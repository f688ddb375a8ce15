#include "kernel/system.hpp"

#include <arch/cpu.hpp>
#include <arch/power.hpp>

#include "kernel/log.hpp"

namespace ringlet::kernel {

void poweroff() {
    log(LogLevel::info, "powering off");
    arch::poweroff();
}

void reboot() {
    log(LogLevel::info, "rebooting");
    arch::reboot();
}

void end_vm(u8 status) {
    arch::end_vm(status);
}

std::string_view architecture() {
    return arch::kName;
}

std::string_view cpu_model() {
    return arch::cpu_model();
}

}  // namespace ringlet::kernel
