// Arm's reader of acpi.hpp.
#include <algorithm>

#include "boot/acpi.hpp"
#include "boot/acpi_tables.hpp"

namespace ringlet::boot {

namespace {

/// Of interrupts private to a CPU (INTIDs 16 to 31) and of shared ones (32 to 1019); IHI 0069H §2.2.1.
constexpr bool is_private(u32 intid) {
    return intid >= 16 && intid < 32;
}
constexpr bool is_shared(u32 intid) {
    return intid >= 32 && intid < 1020;
}

class ArmReader {
public:
    ArmReader(PhysicalReader memory, arch::Platform& out, TextSink complain) : tables_(memory, complain), out_(out) {}

    Result<> run(PhysAddr rsdp) {
        static constexpr u32 kMadt = acpi_name("APIC"), kMcfg = acpi_name("MCFG"), kFadt = acpi_name("FACP"),
                             kGtdt = acpi_name("GTDT"), kSpcr = acpi_name("SPCR");
        static constexpr u32 kWanted[] = {kMadt, kMcfg, kFadt, kGtdt, kSpcr};
        TRY(tables_.for_each(rsdp, kWanted, [&](u32 name, Bytes table) {
            switch (name) {
            case kMadt:
                return madt(table);
            case kMcfg:
                return pci_from_mcfg(table, out_, tables_);
            case kFadt:
                return fadt(table);
            case kGtdt:
                return gtdt(table);
            default:
                return spcr(table);
            }
        }));
        out_.cpus = std::max(cpus_, 1u);
        return {};
    }

private:
    void madt(Bytes t) {
        for_each_madt_entry(t, tables_, [&](u8 type, Bytes entry) { madt_entry(type, entry); });
        arch::Gic& gic = out_.gic;
        if (gic.version != arch::GicVersion::v3 || !gic.redistributors.empty()) return;
        gic.redistributors = cpu_redistributors_;
    }

    // Registers whose table does not tell their size have that of the architecture (IHI 0048B, IHI 0069H §12).
    void madt_entry(u8 type, Bytes e) {
        arch::Gic& gic = out_.gic;
        constexpr u64 kFrame = 0x1'0000;
        switch (type) {
        case 0x0b: {  // GICC, §5.2.12.14
            const auto flags = read_at<u32>(e, 12);
            if (!flags || (*flags & 1) == 0) return;
            ++cpus_;
            const u64 interface = read_at<u64>(e, 32).value_or(0), redistributor = read_at<u64>(e, 60).value_or(0);
            if (interface != 0) gic.cpu_interface = {PhysAddr(interface), 0x2000};
            if (redistributor != 0) (void)cpu_redistributors_.try_push_back({PhysAddr(redistributor), 2 * kFrame});
            return;
        }
        case 0x0c: {  // GICD, §5.2.12.15
            const auto base = read_at<u64>(e, 8);
            const u8 version = read_at<u8>(e, 20).value_or(0);
            if (!base || *base == 0 || version > 4) return tables_.say("MADT", "has a bad GIC distributor");
            gic.version = version >= 3 ? arch::GicVersion::v3 : arch::GicVersion::v2;
            gic.distributor = {PhysAddr(*base), version >= 3 ? kFrame : 0x1000};
            return;
        }
        case 0x0d:  // GIC MSI frame, §5.2.12.16
            if (const auto base = read_at<u64>(e, 8); base && *base != 0 && !gic.v2m)
                gic.v2m = arch::MmioRange{PhysAddr(*base), 0x1000};
            return;
        case 0x0e: {  // GICR, §5.2.12.17
            const auto base = read_at<u64>(e, 4);
            const auto bytes = read_at<u32>(e, 12);
            if (!base || !bytes || *base == 0) return tables_.say("MADT", "has a bad GIC redistributor");
            if (!gic.redistributors.try_push_back({PhysAddr(*base), *bytes}))
                tables_.say("MADT", "has too many GIC redistributors");
            return;
        }
        case 0x0f:  // GIC ITS, §5.2.12.18
            if (const auto base = read_at<u64>(e, 8); base && *base != 0 && !gic.its)
                gic.its = arch::MmioRange{PhysAddr(*base), 2 * kFrame};
            return;
        default:
            return;
        }
    }

    void fadt(Bytes t) {
        constexpr usize kArmBootArchitecture = 129;  // §5.2.9.4
        const u16 flags = read_at<u16>(t, kArmBootArchitecture).value_or(0);
        if ((flags & 1) == 0)
            tables_.say("FADT", "tells of no PSCI: power-off will not work");
        else
            out_.psci = (flags & 2) != 0 ? arch::PsciConduit::hvc : arch::PsciConduit::smc;
    }

    void gtdt(Bytes t) {
        const auto intid = read_at<u32>(t, 64), flags = read_at<u32>(t, 68);  // the virtual timer's
        if (!flags || !is_private(*intid)) return tables_.say("GTDT", "has no usable virtual timer");
        out_.timer_intid = *intid;
        out_.timer_trigger = (*flags & 1) != 0 ? arch::Trigger::edge : arch::Trigger::level;
    }

    void spcr(Bytes t) {
        constexpr u8 kFull16550 = 0, kPl011 = 3, kSbsaUart32 = 13, kSbsaUart = 14, k16550 = 18, kArmInterrupt = 8;
        const auto type = read_at<u8>(t, 36), interrupt = read_at<u8>(t, 52);
        const auto base = read_at<GenericAddress>(t, 40);
        const auto intid = read_at<u32>(t, 54);
        if (!intid || base->address == 0 || base->space != GenericAddress::kMemory)
            return tables_.say("SPCR", "has no usable console");
        arch::Serial serial;
        if (*type == kPl011 || *type == kSbsaUart32 || *type == kSbsaUart)
            serial.kind = arch::SerialKind::pl011;
        else if (*type == kFull16550 || *type == k16550)
            serial.kind = arch::SerialKind::ns16550_mmio;
        else
            return tables_.say("SPCR", "has a console of an unknown kind");
        serial.address = base->address;
        // Registers that are accessed by 32 bits stand 4 bytes apart.
        if (serial.kind == arch::SerialKind::ns16550_mmio && base->access_size == 3) serial.register_shift = 2;
        if ((*interrupt & kArmInterrupt) != 0 && is_shared(*intid)) serial.line = arch::IrqLine{*intid};
        out_.serial = serial;
    }

    AcpiTables tables_;
    arch::Platform& out_;
    u32 cpus_ = 0;
    FixedVector<arch::MmioRange, 4> cpu_redistributors_;
};

}  // namespace

Result<> platform_from_acpi_arm(PhysAddr rsdp, PhysicalReader memory, arch::Platform& out, TextSink complain) {
    return ArmReader(memory, out, complain).run(rsdp);
}

}  // namespace ringlet::boot
