// The PC's reader of acpi.hpp.
#include "boot/acpi.hpp"

#include <algorithm>
#include <string_view>

#include "boot/acpi_tables.hpp"
#include "boot/dsdt.hpp"

namespace ringlet::boot {

namespace {

// Offsets in the FADT, §5.2.9 table 5.9.
constexpr usize kDsdt = 40, kSciInterrupt = 46, kSmiCommand = 48, kAcpiEnable = 52, kPm1aEvent = 56, kPm1aControl = 64;
constexpr usize kPm1EventLength = 88, kFlags = 112, kResetRegister = 116, kResetValue = 128, kXDsdt = 140;
constexpr usize kXPm1aControl = 172, kSleepControl = 244;
constexpr u32 kFlagNoFixedButton = 1 << 4, kFlagResetSupported = 1 << 10, kFlagHardwareReduced = 1 << 20;

class AcpiReader {
public:
    AcpiReader(PhysicalReader memory, arch::Platform& out, TextSink complain)
        : tables_(memory, complain), out_(out), complain_(complain) {}

    Result<> run(PhysAddr rsdp);

private:
    void madt(Bytes t);
    void madt_entry(u8 type, Bytes e);
    void fadt(Bytes t);
    void power_button(Bytes t, u32 flags);
    void sleep_type(Bytes dsdt);

    AcpiTables tables_;
    arch::Platform& out_;
    TextSink complain_;
    u32 cpus_ = 0;
    bool hardware_reduced_ = false;
};

Result<> AcpiReader::run(PhysAddr rsdp) {
    if (rsdp.raw == 0) {
        const auto found = tables_.find_rsdp();
        if (!found) return fail(Error::not_found);
        rsdp = *found;
    }
    static constexpr u32 kMadt = acpi_name("APIC"), kMcfg = acpi_name("MCFG"), kFadt = acpi_name("FACP");
    static constexpr u32 kWanted[] = {kMadt, kMcfg, kFadt};
    TRY(tables_.for_each(rsdp, kWanted, [&](u32 name, Bytes table) {
        switch (name) {
        case kMadt:
            return madt(table);
        case kMcfg:
            return pci_from_mcfg(table, out_, tables_);
        default:
            return fadt(table);
        }
    }));
    out_.cpus = std::max(cpus_, 1u);
    // Machines without fixed ACPI hardware (microvm) have no configuration ports either.
    if (!hardware_reduced_ && !out_.pci) out_.pci = arch::PciHost{};
    return {};
}

// --- MADT
// ---------------------------------------------------------------------------------------------------------

void AcpiReader::madt(Bytes t) {
    if (const auto address = read_at<u32>(t, 36); address && *address != 0) out_.local_apic = PhysAddr(*address);
    for_each_madt_entry(t, tables_, [&](u8 type, Bytes entry) { madt_entry(type, entry); });
}

void AcpiReader::madt_entry(u8 type, Bytes e) {
    switch (type) {
    case 0:  // local APIC: flags bit 0 = enabled
        if (const auto flags = read_at<u32>(e, 4); flags && (*flags & 1) != 0) ++cpus_;
        return;
    case 9:  // local x2APIC
        if (const auto flags = read_at<u32>(e, 8); flags && (*flags & 1) != 0) ++cpus_;
        return;
    case 1: {
        const auto address = read_at<u32>(e, 4), base = read_at<u32>(e, 8);
        if (!address || !base || *address == 0) return tables_.say("MADT", "has a bad IOAPIC entry");
        if (!out_.io_apics.try_push_back({PhysAddr(*address), *base})) tables_.say("MADT", "names too many IOAPICs");
        return;
    }
    case 2: {  // ISA: "conforms to the bus" means edge, active high (§5.2.12.5)
        const auto source = read_at<u8>(e, 3);
        const auto gsi = read_at<u32>(e, 4);
        const auto flags = read_at<u16>(e, 8);
        if (!source || !gsi || !flags || *source > 15) return tables_.say("MADT", "has a bad interrupt override");
        const arch::IrqLine line{*gsi, (*flags >> 2 & 3) == 3 ? arch::Trigger::level : arch::Trigger::edge,
                                 (*flags & 3) == 3 ? arch::Polarity::low : arch::Polarity::high};
        if (!out_.isa_overrides.try_push_back({*source, line})) tables_.say("MADT", "has too many interrupt overrides");
        return;
    }
    case 5:
        if (const auto address = read_at<u64>(e, 4); address && *address != 0) out_.local_apic = PhysAddr(*address);
        return;
    default:
        return;
    }
}

// --- FADT and \_S5_
// -----------------------------------------------------------------------------------------------

void AcpiReader::fadt(Bytes t) {
    arch::AcpiPower& power = out_.acpi_power;
    const u32 flags = read_at<u32>(t, kFlags).value_or(0);
    hardware_reduced_ = (flags & kFlagHardwareReduced) != 0;

    if (!hardware_reduced_) {
        u64 port = read_at<u32>(t, kPm1aControl).value_or(0);
        if (const auto x = read_at<GenericAddress>(t, kXPm1aControl);
            x && x->space == GenericAddress::kIo && x->address != 0)
            port = x->address;
        if (port <= 0xffff)
            power.pm1a_control_port = static_cast<u16>(port);
        else
            tables_.say("FADT", "has an impossible PM1a port");
    } else if (const auto sleep = read_at<GenericAddress>(t, kSleepControl);
               sleep && sleep->space == GenericAddress::kMemory && sleep->address != 0) {
        power.sleep_control = PhysAddr(sleep->address);
    }

    power_button(t, flags);

    const auto reset = read_at<GenericAddress>(t, kResetRegister);
    const auto value = read_at<u8>(t, kResetValue);
    if ((flags & kFlagResetSupported) != 0 && reset && value && reset->address != 0) {
        power.reset_value = *value;
        if (reset->space == GenericAddress::kMemory)
            power.reset_register_memory = PhysAddr(reset->address);
        else if (reset->space == GenericAddress::kIo && reset->address <= 0xffff)
            power.reset_register_port = static_cast<u16>(reset->address);
    }

    const u64 wide = read_at<u64>(t, kXDsdt).value_or(0);
    const u64 dsdt = wide != 0 ? wide : read_at<u32>(t, kDsdt).value_or(0);
    if (dsdt == 0) return tables_.say("FADT", "names no DSDT");
    if (const auto whole = tables_.table(dsdt, acpi_name("DSDT"))) {
        sleep_type(*whole);
        platform_from_dsdt(*whole, out_, complain_);
    }
}

/// The button of fixed hardware, §4.8.2.2.1: a bit of PM1a's status, and the SCI.
void AcpiReader::power_button(Bytes t, u32 flags) {
    const u32 port = read_at<u32>(t, kPm1aEvent).value_or(0), length = read_at<u8>(t, kPm1EventLength).value_or(0);
    const u16 sci = read_at<u16>(t, kSciInterrupt).value_or(0);
    if (hardware_reduced_ || (flags & kFlagNoFixedButton) != 0 || port == 0) return;
    if (port > 0xffff - 32 || length < 4 || length > 32)
        return tables_.say("FADT", "has an impossible PM1a event block");
    const u32 smi = read_at<u32>(t, kSmiCommand).value_or(0);
    out_.power_button = {
        .kind = arch::PowerButton::Kind::pm1,
        .address = port,
        .line = {.number = sci, .trigger = arch::Trigger::level, .polarity = arch::Polarity::low},
        .enable_offset = static_cast<u8>(length / 2),
        .acpi_enable = read_at<u8>(t, kAcpiEnable).value_or(0),
        .smi_command_port = static_cast<u16>(smi <= 0xffff ? smi : 0),
        .control_port = out_.acpi_power.pm1a_control_port,
    };
}

/// Name(\_S5_, Package { SLP_TYPa, … }): NameOp "_S5_" PackageOp PkgLength NumElements, then a constant
/// (§20.2).
void AcpiReader::sleep_type(Bytes dsdt) {
    constexpr u8 kName = 0x08, kRoot = 0x5c, kPackage = 0x12, kByte = 0x0a, kWord = 0x0b;
    const std::string_view text(reinterpret_cast<const char*>(dsdt.data()), dsdt.size());
    for (usize at = text.find("_S5_", kAcpiHeaderBytes); at != std::string_view::npos; at = text.find("_S5_", at + 1)) {
        const u8 before = *read_at<u8>(dsdt, at - 1), further = *read_at<u8>(dsdt, at - 2);
        if (before != kName && !(before == kRoot && further == kName)) continue;
        if (read_at<u8>(dsdt, at + 4) != kPackage) continue;
        const usize extra = read_at<u8>(dsdt, at + 5).value_or(0) >> 6;  // more bytes of PkgLength
        const usize element = at + 5 + 1 + extra + 1;
        const auto op = read_at<u8>(dsdt, element);
        const auto one = read_at<u8>(dsdt, element + 1);
        if (!op) continue;
        u8 type;
        if (*op <= 1)
            type = *op;  // ZeroOp, OneOp
        else if ((*op == kByte || *op == kWord) && one)
            type = *one;
        else
            continue;
        if (type > 7) continue;
        out_.acpi_power.sleep_type_s5 = type;
        out_.acpi_power.sleep_control_s5 = type;
        return;
    }
    tables_.say("DSDT", "has no usable \\_S5_: power-off may not work");
    out_.acpi_power.pm1a_control_port = 0;
    out_.acpi_power.sleep_control.reset();
}

/// COM1 is where it has been since 1981; no table of QEMU's says so in a form that is not AML.
void use_com1(arch::Platform& out) {
    if (out.serial.kind != arch::SerialKind::none) return;
    const arch::IrqLine line{4, arch::Trigger::edge, arch::Polarity::high};
    out.serial = {arch::SerialKind::ns16550_port, 0x3f8, 0, line};
}

}  // namespace

Result<> platform_from_acpi(PhysAddr rsdp, PhysicalReader memory, arch::Platform& out, TextSink complain) {
    const auto done = AcpiReader(memory, out, complain).run(rsdp);
    use_com1(out);
    return done;
}

void platform_defaults_pc(arch::Platform& out) {
    use_com1(out);
    if (!out.pci) out.pci = arch::PciHost{};
}

}  // namespace ringlet::boot
