#include "drivers/power/power_button.hpp"

#include "arch/cpu.hpp"
#include "arch/mmio.hpp"
#include "arch/paging.hpp"
#include "arch/port.hpp"

namespace ringlet {

namespace {

using Kind = arch::PowerButton::Kind;

// PM1 status and enable, tables 4.11 and 4.12; PM1 control, table 4.13.
constexpr u16 kButton = 1u << 8, kSciEnable = 1u << 0;
constexpr u32 kPatience = 100'000;  // polls, while the firmware gives ACPI to us

// DDI 0190B §3.2. Data is addressed by a mask of pins.
enum Register : u32 {
    kDirection = 0x400,
    kSense = 0x404,
    kBothEdges = 0x408,
    kEvent = 0x40c,
    kInterruptMask = 0x410,
    kMaskedStatus = 0x418,
    kClear = 0x41c,
    kPeripheralId0 = 0xfe0,
};

/// The firmware's own handler (SMI) has the fixed hardware until it is told otherwise, §4.8.2.3.
bool take_over(const arch::PowerButton& button) {
    if (button.control_port == 0) return false;
    const auto is_ours = [&] { return (arch::port_in16(button.control_port) & kSciEnable) != 0; };
    if (is_ours()) return true;
    if (button.smi_command_port == 0 || button.acpi_enable == 0) return false;
    arch::port_out8(button.smi_command_port, button.acpi_enable);
    for (u32 i = 0; i < kPatience; ++i) {
        if (is_ours()) return true;
        arch::relax();
    }
    return false;
}

}  // namespace

Result<PowerButton> PowerButton::probe(const arch::PowerButton& described) {
    switch (described.kind) {
    case Kind::none:
        return fail(Error::not_found);
    case Kind::pm1: {
        if (!arch::kHasPortIo || !take_over(described)) return fail(Error::unsupported);
        const PowerButton button(described, 0);
        arch::port_out16(static_cast<u16>(button.status_port() + described.enable_offset),
                         0);  // nothing else of PM1a interrupts
        return button;
    }
    case Kind::pl061: {
        const std::uintptr_t base = TRY(arch::map_device(PhysAddr(described.address), kPageSize));
        if ((arch::mmio_read<u32>(base + kPeripheralId0) & 0xff) != 0x61) return fail(Error::unsupported);
        arch::mmio_write<u32>(base + kInterruptMask, 0);
        return PowerButton(described, base);
    }
    }
    return fail(Error::unsupported);
}

void PowerButton::enable() {
    if (described_.kind == Kind::pm1) {
        arch::port_out16(status_port(), kButton);  // a press from before
        arch::port_out16(static_cast<u16>(status_port() + described_.enable_offset), kButton);
        return;
    }
    const u32 pin = 1u << described_.pin;
    const auto change = [this](Register r, u32 clear, u32 set) {
        arch::mmio_write<u32>(base_ + r, (arch::mmio_read<u32>(base_ + r) & ~clear) | set);
    };
    change(kDirection, pin, 0);  // in
    change(kSense, pin, 0);      // edges
    change(kBothEdges, pin, 0);  // one of them
    change(kEvent, 0, pin);      // rising
    arch::mmio_write<u32>(base_ + kClear, pin);
    change(kInterruptMask, 0, pin);
}

bool PowerButton::on_interrupt() {
    if (described_.kind == Kind::pm1) {
        if ((arch::port_in16(status_port()) & kButton) == 0) return false;
        arch::port_out16(status_port(), kButton);
        return true;
    }
    const u32 pin = 1u << described_.pin;
    if ((arch::mmio_read<u32>(base_ + kMaskedStatus) & pin) == 0) return false;
    arch::mmio_write<u32>(base_ + kClear, pin);
    return true;
}

}  // namespace ringlet
