// Arm's ACPI reader on tables that UEFI firmware made of QEMU 7.2's (virt with 2 CPUs and GICv2; with GICv3), and on
// damaged copies of them.
#include <catch2/catch.hpp>

#include "acpi_tables.hpp"
#include "boot/acpi.hpp"

using namespace ringlet;
using namespace ringlet::boot;

namespace {

Result<> read(const Tables& tables, arch::Platform& out, std::string* complaints = nullptr) {
    const auto memory = [&](PhysAddr at, usize bytes) -> Bytes {
        for (const auto& [base, table] : tables.all)
            if (at.raw >= base && at.raw - base < table.size())
                return std::span(table).subspan(at.raw - base, std::min(bytes, table.size() - (at.raw - base)));
        return {};
    };
    const auto complain = [&](std::string_view s) {
        if (complaints != nullptr) *complaints += std::string(s) + "\n";
    };
    return platform_from_acpi_arm(PhysAddr(tables.rsdp()), memory, out, complain);
}

/// virt with GICv2 after `size` bytes at `offset` of a table were changed to `value`.
std::pair<arch::Platform, std::string> changed(std::string_view table, usize offset, u64 value, usize size) {
    Tables t = load("virt");
    auto& bytes = t.named(table);
    std::memcpy(&bytes.at(offset), &value, size);
    fix(bytes);
    std::pair<arch::Platform, std::string> got;
    CHECK(read(t, got.first, &got.second));
    return got;
}

}  // namespace

TEST_CASE("QEMU virt by ACPI: GICv2 with MSI frame, timer, PSCI, console, ECAM") {
    arch::Platform p;
    std::string complaints;
    REQUIRE(read(load("virt"), p, &complaints));
    CHECK(complaints == "");
    CHECK(p.cpus == 2);
    CHECK(p.gic.version == arch::GicVersion::v2);
    CHECK(p.gic.distributor.base == PhysAddr(0x0800'0000));
    CHECK(p.gic.distributor.bytes == 0x1000);
    CHECK(p.gic.cpu_interface.base == PhysAddr(0x0801'0000));
    CHECK(p.gic.cpu_interface.bytes == 0x2000);
    REQUIRE(p.gic.v2m);
    CHECK(p.gic.v2m->base == PhysAddr(0x0802'0000));
    CHECK_FALSE(p.gic.its);
    CHECK(p.gic.redistributors.empty());
    CHECK(p.timer_intid == 27);
    CHECK(p.timer_trigger == arch::Trigger::level);
    CHECK(p.psci == arch::PsciConduit::hvc);
    CHECK(p.serial.kind == arch::SerialKind::pl011);
    CHECK(p.serial.address == 0x0900'0000);
    REQUIRE(p.serial.line);
    CHECK(p.serial.line->number == 33);
    REQUIRE(p.pci);
    REQUIRE(p.pci->ecam);
    CHECK(p.pci->ecam->base == PhysAddr(0x40'1000'0000));
    CHECK(p.pci->ecam->bytes == 256_MiB);
    CHECK(p.pci->windows.empty());
}

TEST_CASE("QEMU virt by ACPI: GICv3 with ITS") {
    arch::Platform p;
    std::string complaints;
    REQUIRE(read(load("virt-gicv3"), p, &complaints));
    CHECK(complaints == "");
    CHECK(p.cpus == 1);
    CHECK(p.gic.version == arch::GicVersion::v3);
    CHECK(p.gic.distributor.bytes == 0x1'0000);
    REQUIRE(p.gic.redistributors.size() == 1);
    CHECK(p.gic.redistributors[0].base == PhysAddr(0x080a'0000));
    CHECK(p.gic.redistributors[0].bytes == 0xf6'0000);
    REQUIRE(p.gic.its);
    CHECK(p.gic.its->base == PhysAddr(0x0808'0000));
    CHECK(p.gic.its->bytes == 0x2'0000);
    CHECK_FALSE(p.gic.v2m);
}

TEST_CASE("Arm's ACPI: redistributors that only the CPUs name") {
    Tables t = load("virt-gicv3");
    auto& madt = t.named("APIC");
    for (usize at = 44; at < madt.size(); at += static_cast<u8>(madt[at + 1])) {
        if (madt[at] == std::byte{0x0b}) {
            const u64 redistributor = 0x0a0a'0000;
            std::memcpy(&madt[at + 60], &redistributor, 8);
        }
        if (madt[at] == std::byte{0x0e}) madt[at] = std::byte{0x80};
    }
    fix(madt);
    arch::Platform p;
    REQUIRE(read(t, p));
    REQUIRE(p.gic.redistributors.size() == 1);
    CHECK(p.gic.redistributors[0].base == PhysAddr(0x0a0a'0000));
    CHECK(p.gic.redistributors[0].bytes == 0x2'0000);
}

TEST_CASE("Arm's ACPI: what the tables can say besides") {
    CHECK(changed("APIC", 44 + 24 + 12, 0, 1).first.cpus ==
          1);  // the first CPU, behind the distributor, is not enabled
    CHECK(changed("FACP", 129, 1, 1).first.psci == arch::PsciConduit::smc);
    const auto none = changed("FACP", 129, 2, 1);
    CHECK(none.first.psci == arch::PsciConduit::none);
    CHECK(none.second == "acpi: FADT tells of no PSCI: power-off will not work\n");
    CHECK(changed("GTDT", 64, 30, 4).first.timer_intid == 30);
    CHECK(changed("GTDT", 68, 1, 4).first.timer_trigger == arch::Trigger::edge);
    for (const u64 intid : {0u, 15u, 32u, ~0u}) {
        const auto bad = changed("GTDT", 64, intid, 4);
        CHECK(bad.first.timer_intid == 27);
        CHECK(bad.second == "acpi: GTDT has no usable virtual timer\n");
    }
    CHECK(changed("SPCR", 36, 0, 1).first.serial.kind == arch::SerialKind::ns16550_mmio);
    CHECK(changed("SPCR", 36, 18, 1).first.serial.register_shift == 0);
    CHECK(changed("SPCR", 36, 0x0300'0000'0000'0000 | 18, 8).first.serial.register_shift == 2);
    CHECK(changed("SPCR", 36, 14, 1).first.serial.kind == arch::SerialKind::pl011);
    CHECK(changed("SPCR", 36, 7, 1).second == "acpi: SPCR has a console of an unknown kind\n");
    CHECK(changed("SPCR", 44, 0, 8).second == "acpi: SPCR has no usable console\n");
    CHECK(changed("SPCR", 40, 1, 1).first.serial.kind == arch::SerialKind::none);
    CHECK_FALSE(changed("SPCR", 52, 1, 1).first.serial.line);
    for (const u64 intid : {31u, 1020u, ~0u}) CHECK_FALSE(changed("SPCR", 54, intid, 4).first.serial.line);
}

TEST_CASE("Arm's ACPI: cut and changed tables never fault") {
    for (const char* machine : {"virt", "virt-gicv3"}) {
        const Tables original = load(machine);
        for (usize i = 0; i < original.all.size(); ++i) {
            const usize size = original.all[i].second.size(), step = size > 1000 ? 61 : 1;
            for (usize n = 0; n < size; n += step) {
                Tables t = original;
                auto& table = t.all[i].second;
                for (const u8 value : {u8(0), u8(0xff)}) {
                    table[n] = std::byte{value};
                    fix(table, i == 0 ? 8 : n == 9 ? 10 : 9);
                    arch::Platform p;
                    (void)read(t, p);
                }
                t = original;
                t.all[i].second = {original.all[i].second.begin(),
                                   original.all[i].second.begin() + static_cast<long>(n)};
                arch::Platform p;
                (void)read(t, p);
                if (i == 0 || n < 36) continue;
                const u32 length = static_cast<u32>(n);  // once more with a length and a checksum that agree
                std::memcpy(&t.all[i].second[4], &length, 4);
                fix(t.all[i].second);
                arch::Platform q;
                (void)read(t, q);
            }
        }
    }
}
