// The power button of ACPI's fixed hardware, as its ports behave, and of a GPIO controller.
#include "drivers/power/power_button.hpp"

#include <catch2/catch.hpp>

#include "arch/host.hpp"

using namespace ringlet;

namespace {

constexpr u16 kEvents = 0x600, kControl = 0x604, kSmi = 0xb2;

/// PM1a and the SMI command port. Status bits are cleared by writing ones.
class FixedHardware : public arch::host::MmioHandler {
public:
    FixedHardware() { arch::host::register_ports(kEvents, 8, *this); }
    ~FixedHardware() override { arch::host::unregister_ports(kEvents); }
    u64 read(u64 offset, unsigned width) override {
        REQUIRE(width == 2);
        return offset == 0 ? status : offset == 2 ? enable : offset == 4 ? control : 0;
    }
    void write(u64 offset, unsigned width, u64 value) override {
        REQUIRE(width == 2);
        REQUIRE(offset <= 2);
        if (offset == 0)
            status &= static_cast<u16>(~value);
        else
            enable = static_cast<u16>(value);
    }
    u16 status = 0, enable = 0xffff, control = 1;
};

class Smi : public arch::host::MmioHandler {
public:
    explicit Smi(FixedHardware& hardware) : hardware_(hardware) { arch::host::register_ports(kSmi, 1, *this); }
    ~Smi() override { arch::host::unregister_ports(kSmi); }
    u64 read(u64, unsigned) override { return 0; }
    void write(u64, unsigned width, u64 value) override {
        REQUIRE(width == 1);
        if (value == 2 && obeys) hardware_.control |= 1;
    }
    bool obeys = true;

private:
    FixedHardware& hardware_;
};

arch::PowerButton fixed() {
    return {.kind = arch::PowerButton::Kind::pm1,
            .address = kEvents,
            .line = {},
            .enable_offset = 2,
            .acpi_enable = 2,
            .smi_command_port = kSmi,
            .control_port = kControl};
}

class Pl061 : public arch::host::MmioHandler {
public:
    static constexpr u64 kBase = 0x0903'0000;
    Pl061() { arch::host::register_mmio(kBase, 0x1000, *this); }
    ~Pl061() override { arch::host::unregister_mmio(kBase); }
    u64 read(u64 offset, unsigned width) override {
        REQUIRE(width == 4);
        if (offset == 0xfe0) return id;
        if (offset == 0x418) return raw & registers[4];
        REQUIRE(offset >= 0x400);
        REQUIRE(offset < 0x414);
        return registers[(offset - 0x400) / 4];
    }
    void write(u64 offset, unsigned width, u64 value) override {
        REQUIRE(width == 4);
        if (offset == 0x41c)
            raw &= static_cast<u32>(~value);
        else
            registers[(offset - 0x400) / 4] = static_cast<u32>(value);
    }
    u32 id = 0x61, raw = 0;
    u32 registers[5] = {0xff, 0xff, 0xff, 0, 0xff};  ///< direction, sense, both edges, event, mask
};

}  // namespace

TEST_CASE("power button: pressed once, told once, nothing else interrupts") {
    FixedHardware hardware;
    auto button = PowerButton::probe(fixed());
    REQUIRE(button);
    CHECK(hardware.enable == 0);
    hardware.status = 0x101;  // pressed before, and a timer's bit that is not ours
    button->enable();
    CHECK(hardware.enable == 0x100);
    CHECK(hardware.status == 0x001);
    CHECK_FALSE(button->on_interrupt());
    hardware.status |= 0x100;
    CHECK(button->on_interrupt());
    CHECK(hardware.status == 0x001);
    CHECK_FALSE(button->on_interrupt());
}

TEST_CASE("power button: the firmware is asked for it, and may refuse") {
    FixedHardware hardware;
    Smi smi(hardware);
    hardware.control = 0;
    CHECK(PowerButton::probe(fixed()));
    hardware.control = 0;
    smi.obeys = false;
    CHECK(PowerButton::probe(fixed()).error() == Error::unsupported);
    auto button = fixed();
    button.smi_command_port = 0;
    CHECK(PowerButton::probe(button).error() == Error::unsupported);
    CHECK(PowerButton::probe({}).error() == Error::not_found);
}

TEST_CASE("power button: on a pin of a PL061, the other pins stay as they were") {
    Pl061 chip;
    const arch::PowerButton described{
        .kind = arch::PowerButton::Kind::pl061, .address = Pl061::kBase, .line = {}, .pin = 3};
    auto button = PowerButton::probe(described);
    REQUIRE(button);
    CHECK(chip.registers[4] == 0);
    chip.raw = 0x08;
    button->enable();
    CHECK(chip.raw == 0);
    CHECK(chip.registers[0] == 0xf7);
    CHECK(chip.registers[1] == 0xf7);
    CHECK(chip.registers[2] == 0xf7);
    CHECK(chip.registers[3] == 0x08);
    CHECK(chip.registers[4] == 0x08);
    chip.raw = 0x19;
    CHECK(button->on_interrupt());
    CHECK(chip.raw == 0x11);
    CHECK_FALSE(button->on_interrupt());
    chip.id = 0x11;
    CHECK(PowerButton::probe(described).error() == Error::unsupported);
}
