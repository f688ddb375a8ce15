#include "boot/power_button.hpp"

#include <optional>

#include "arch/irq.hpp"
#include "drivers/power/power_button.hpp"
#include "kernel/irq/irq.hpp"
#include "kernel/log.hpp"
#include "kernel/sched/event.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/system.hpp"

namespace ringlet::boot {

namespace {

constinit std::optional<PowerButton> button;
constinit kernel::Event pressed;

kernel::IrqResult on_interrupt(void*) {
    if (!button->on_interrupt()) return kernel::IrqResult::not_mine;
    pressed.set();
    return kernel::IrqResult::handled;
}

/// On a thread of its own: to leave the disks in order takes sleeping, and a stack.
void wait_for_press() {
    pressed.wait();
    kernel::log(kernel::LogLevel::info, "the power button was pressed");
    kernel::poweroff();
}

Result<> start(const arch::PowerButton& described) {
    button = TRY(PowerButton::probe(described));
    const arch::IrqId id = TRY(arch::attach_line(described.line));
    auto thread = TRY(kernel::ThreadHandle::spawn({.name = "power", .stack_bytes = 24576}, wait_for_press));
    thread.detach();
    TRY(kernel::irq_request(id, on_interrupt, nullptr, "power button"));
    button->enable();
    return {};
}

}  // namespace

void start_power_button(const arch::Platform& platform) {
    const auto started = start(platform.power_button);
    if (!started && started.error() != Error::not_found)
        kernel::log(kernel::LogLevel::warning, "the power button does not work: {}", started.error());
}

}  // namespace ringlet::boot
