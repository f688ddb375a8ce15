// The ACPI reader on tables that QEMU 7.2 made, and on damaged copies of them.
#include <catch2/catch.hpp>

#include <memory>

#include "acpi_tables.hpp"
#include "boot/acpi.hpp"

using namespace ringlet;
using namespace ringlet::boot;

namespace {

Result<> read(const Tables& tables, u64 rsdp, arch::Platform& out, std::string* complaints = nullptr) {
    const auto memory = [&](PhysAddr at, usize bytes) -> Bytes {
        for (const auto& [base, table] : tables.all)
            if (at.raw >= base && at.raw - base < table.size())
                return std::span(table).subspan(at.raw - base, std::min(bytes, table.size() - (at.raw - base)));
        return {};
    };
    const auto complain = [&](std::string_view s) {
        if (complaints != nullptr) *complaints += std::string(s) + "\n";
    };
    return platform_from_acpi(PhysAddr(rsdp), memory, out, complain);
}

}  // namespace

TEST_CASE("QEMU q35: ECAM, overrides, power") {
    const Tables t = load("q35");
    for (const u64 rsdp : {t.rsdp(), u64{0}}) {
        arch::Platform p;
        std::string complaints;
        REQUIRE(read(t, rsdp, p, &complaints));
        CHECK(complaints == "");
        CHECK(p.cpus == 2);
        CHECK(p.local_apic == PhysAddr(0xfee0'0000));
        REQUIRE(p.io_apics.size() == 1);
        CHECK(p.io_apics[0].address == PhysAddr(0xfec0'0000));
        CHECK(p.io_apics[0].gsi_base == 0);
        REQUIRE(p.isa_overrides.size() == 5);
        CHECK(p.isa_overrides[0].irq == 0);
        CHECK(p.isa_overrides[0].line.number == 2);
        CHECK(p.isa_overrides[0].line.trigger == arch::Trigger::edge);
        CHECK(p.isa_overrides[3].irq == 10);
        CHECK(p.isa_overrides[3].line.trigger == arch::Trigger::level);
        CHECK(p.isa_overrides[3].line.polarity == arch::Polarity::high);
        REQUIRE(p.pci);
        REQUIRE(p.pci->ecam);
        CHECK(p.pci->ecam->base == PhysAddr(0xb000'0000));
        CHECK(p.pci->ecam->bytes == 256_MiB);
        CHECK(p.pci->windows.empty());
        CHECK(p.acpi_power.pm1a_control_port == 0x604);
        CHECK(p.acpi_power.sleep_type_s5 == 0);
        CHECK(p.acpi_power.reset_register_port == 0xcf9);
        CHECK(p.acpi_power.reset_value == 0x0f);
        CHECK_FALSE(p.acpi_power.sleep_control);
        CHECK(p.power_button.kind == arch::PowerButton::Kind::pm1);
        CHECK(p.power_button.address == 0x600);
        CHECK(p.power_button.enable_offset == 2);
        CHECK(p.power_button.line.number == 9);
        CHECK(p.power_button.control_port == 0x604);
        CHECK(p.power_button.smi_command_port == 0xb2);
        CHECK(p.power_button.acpi_enable == 2);
        CHECK(p.serial.kind == arch::SerialKind::ns16550_port);
        CHECK(p.serial.address == 0x3f8);
        CHECK(p.serial.line->number == 4);
    }
}

TEST_CASE("QEMU pc: ports for PCI, no reset register") {
    arch::Platform p;
    const Tables t = load("pc");
    REQUIRE(read(t, t.rsdp(), p));
    REQUIRE(p.pci);
    CHECK_FALSE(p.pci->ecam);
    CHECK(p.cpus == 1);
    CHECK(p.acpi_power.pm1a_control_port == 0x604);
    CHECK(p.acpi_power.reset_register_port == 0);
}

TEST_CASE("QEMU microvm: XSDT, hardware-reduced power, no PCI, two IOAPICs") {
    arch::Platform p;
    const Tables t = load("microvm");
    REQUIRE(read(t, t.rsdp(), p));
    CHECK_FALSE(p.pci);
    CHECK(p.acpi_power.pm1a_control_port == 0);
    REQUIRE(p.acpi_power.sleep_control);
    CHECK(*p.acpi_power.sleep_control == PhysAddr(0xfea0'0200));
    CHECK(p.acpi_power.sleep_control_s5 == 5);
    CHECK(p.acpi_power.reset_register_memory == PhysAddr(0xfea0'0202));
    CHECK(p.acpi_power.reset_value == 0x42);
    REQUIRE(p.io_apics.size() == 2);
    CHECK(p.io_apics[1].gsi_base == 24);
}

TEST_CASE("no tables, a wrong address, a wrong checksum") {
    arch::Platform p;
    CHECK(read({{{0x1000, {}}}}, 0, p).error() == Error::not_found);
    Tables t = load("q35");
    CHECK(read(t, 0x1234'5678, p).error() == Error::corrupt);
    t.all[0].second[9] ^= std::byte{1};
    CHECK(read(t, t.rsdp(), p).error() == Error::corrupt);
    t = load("q35");
    t.named("MCFG")[50] ^= std::byte{1};
    std::string complaints;
    arch::Platform without;
    CHECK(read(t, t.rsdp(), without, &complaints));
    CHECK(complaints == "acpi: MCFG has a wrong checksum\n");
    CHECK_FALSE(without.pci->ecam);
    platform_defaults_pc(p);
    CHECK(p.pci);
    CHECK(p.serial.address == 0x3f8);
}

TEST_CASE("a MADT whose entries lie is read up to the lie") {
    for (const u8 length : {u8(0), u8(1), u8(200)}) {
        Tables t = load("q35");
        auto& madt = t.named("APIC");
        madt[44 + 8 + 1] = std::byte{length};  // the second CPU's entry
        fix(madt);
        arch::Platform p;
        std::string complaints;
        CHECK(read(t, t.rsdp(), p, &complaints));
        CHECK(p.cpus == 1);
        CHECK(complaints == "acpi: MADT has an entry of impossible length\n");
    }
}

TEST_CASE("a DSDT without _S5_ leaves no power-off register behind") {
    Tables t = load("q35");
    auto& dsdt = t.named("DSDT");
    const std::string_view text(reinterpret_cast<const char*>(dsdt.data()), dsdt.size());
    dsdt[text.find("_S5_")] = std::byte{'x'};
    fix(dsdt);
    arch::Platform p;
    CHECK(read(t, t.rsdp(), p));
    CHECK(p.acpi_power.pm1a_control_port == 0);
}

TEST_CASE("tables cut at any length never fault") {
    for (const char* machine : {"q35", "microvm", "microvm-virtio"}) {
        const Tables original = load(machine);
        for (usize i = 0; i < original.all.size(); ++i) {
            const usize size = original.all[i].second.size();
            for (usize n = 0; n<size; n += size> 1000 ? 61 : 1) {
                Tables t = original;
                t.all[i].second = {original.all[i].second.begin(),
                                   original.all[i].second.begin() + static_cast<long>(n)};
                arch::Platform p;
                (void)read(t, t.rsdp(), p);
                // Once more with a length and a checksum that agree.
                if (i == 0 || n < 36) continue;
                const u32 length = static_cast<u32>(n);
                std::memcpy(&t.all[i].second[4], &length, 4);
                fix(t.all[i].second);
                arch::Platform q;
                (void)read(t, t.rsdp(), q);
            }
        }
    }
}

TEST_CASE("tables with any one byte changed and the checksum made right never fault") {
    for (const char* machine : {"q35", "microvm", "microvm-virtio"}) {
        const Tables original = load(machine);
        for (usize i = 0; i < original.all.size(); ++i) {
            const usize size = original.all[i].second.size();
            for (usize at = 0; at<size; at += size> 1000 ? 37 : 1) {
                for (const u8 value : {u8(0), u8(0xff), u8(u8(original.all[i].second[at]) ^ 0x01)}) {
                    Tables t = original;
                    t.all[i].second[at] = std::byte{value};
                    fix(t.all[i].second, i == 0 ? 8 : at == 9 ? 10 : 9);
                    arch::Platform p;
                    (void)read(t, t.rsdp(), p);
                }
            }
        }
    }
}
