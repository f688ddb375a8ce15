// The machine's power button: ACPI's fixed one (ACPI 6.5 §4.8.3.1) or a key on a PL061 GPIO controller (Arm DDI 0190).
#pragma once

#include "arch/platform.hpp"
#include "lib/result.hpp"

namespace ringlet {

class PowerButton {
public:
    /// Errors: not_found (the machine has none), unsupported (the firmware does not hand it over), those of map_device.
    /// Context: thread.
    static Result<PowerButton> probe(const arch::PowerButton& described);

    /// From now on it interrupts. Context: thread, after the line is attached.
    void enable();
    /// True if it was pressed; acknowledges that. Context: interrupt.
    bool on_interrupt();

private:
    PowerButton(arch::PowerButton described, std::uintptr_t base) : described_(described), base_(base) {}
    u16 status_port() const { return static_cast<u16>(described_.address); }

    arch::PowerButton described_;
    std::uintptr_t base_;  ///< pl061
};

}  // namespace ringlet
