// Poweroff and reboot: ACPI §4.8.3.2 (PM1 control), §4.8.3.7 (sleep control), §4.8.3.6 (reset register), then
// what QEMU's machines are known to have. Every step may do nothing; the next one follows. Context: any.
#include "arch/power.hpp"

#include "arch/cpu.hpp"
#include "arch/early.hpp"
#include "arch/mmio.hpp"
#include "arch/paging.hpp"
#include "arch/port.hpp"

namespace ringlet::arch {
namespace {

constinit AcpiPower acpi;
/// Mapped registers; 0: absent.
constinit std::uintptr_t sleep_control, reset_register;

constexpr u16 kSleepEnable = 1u << 13;

/// Long enough for an emulated machine to act, short enough not to be noticed.
void wait_a_little() {
    for (int i = 0; i < 100'000; ++i) relax();
}

std::uintptr_t map_register(std::optional<PhysAddr> address) {
    if (!address) return 0;
    return map_device(*address, 1).value_or(0);
}

}  // namespace

void power_init(const Platform& platform) {
    acpi = platform.acpi_power;
    sleep_control = map_register(acpi.sleep_control);
    reset_register = map_register(acpi.reset_register_memory);
}

void halt() {
    for (;;) asm volatile("cli\n\thlt");
}

void poweroff() {
    disable_interrupts();
    if (acpi.pm1a_control_port != 0) {
        port_out16(acpi.pm1a_control_port, static_cast<u16>((acpi.sleep_type_s5 & 7) << 10 | kSleepEnable));
        wait_a_little();
    }
    if (sleep_control != 0) {
        constexpr u8 kReducedSleepEnable = 1u << 5;
        mmio_write<u8>(sleep_control, static_cast<u8>((acpi.sleep_control_s5 & 7) << 2 | kReducedSleepEnable));
        wait_a_little();
    }
    // PIIX4 and ICH9 under SeaBIOS, then PIIX4 as older QEMU placed it. S5 is type 0 on all of them.
    for (u16 port : {u16{0x604}, u16{0xb004}}) {
        port_out16(port, kSleepEnable);
        wait_a_little();
    }
    for (const char* c = "\r\nThis machine cannot be switched off by software: halted.\r\n"; *c != 0; ++c)
        early_put(*c);
    halt();
}

void reboot() {
    disable_interrupts();
    if (acpi.reset_register_port != 0) {
        port_out8(acpi.reset_register_port, acpi.reset_value);
        wait_a_little();
    }
    if (reset_register != 0) {
        mmio_write<u8>(reset_register, acpi.reset_value);
        wait_a_little();
    }
    constexpr u16 kResetControl = 0xcf9;
    port_out8(kResetControl, 0x02);
    port_out8(kResetControl, 0x06);
    wait_a_little();
    port_out8(0x64, 0xfe);  // the keyboard controller pulls the reset line
    wait_a_little();
    // A fault without a table to handle it: the CPU gives up and is reset.
    const struct [[gnu::packed]] {
        u16 limit = 0;
        u64 base = 0;
    } nothing;
    asm volatile("lidt %0\n\tint3" : : "m"(nothing));
    halt();
}

void end_vm(u8 status) {
    disable_interrupts();
    port_out8(0xf4, status);
    wait_a_little();
    poweroff();
}

}  // namespace ringlet::arch
