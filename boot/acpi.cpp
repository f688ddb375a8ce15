// See acpi.hpp.
#include "boot/acpi.hpp"

#include <algorithm>
#include <string_view>

#include "boot/dsdt.hpp"

namespace ringlet::boot {

namespace {

constexpr usize kRsdpV1Bytes = 20, kRsdpV2Bytes = 36, kHeaderBytes = 36;
constexpr usize kMaxTableBytes = 1_MiB, kMaxTables = 64;

// Offsets in the FADT, §5.2.9 table 5.9.
constexpr usize kDsdt = 40, kSciInterrupt = 46, kSmiCommand = 48, kAcpiEnable = 52, kPm1aEvent = 56, kPm1aControl = 64;
constexpr usize kPm1EventLength = 88, kFlags = 112, kResetRegister = 116, kResetValue = 128, kXDsdt = 140;
constexpr usize kXPm1aControl = 172, kSleepControl = 244;
constexpr u32 kFlagNoFixedButton = 1 << 4, kFlagResetSupported = 1 << 10, kFlagHardwareReduced = 1 << 20;

constexpr u8 kSpaceMemory = 0, kSpaceIo = 1;

/// Generic Address Structure, §5.2.3.2.
struct [[gnu::packed]] GenericAddress {
    u8 space, bit_width, bit_offset, access_size;
    u64 address;
};
static_assert(sizeof(GenericAddress) == 12);

u8 sum_of(Bytes bytes) {
    u8 sum = 0;
    for (const std::byte b : bytes) sum = static_cast<u8>(sum + static_cast<u8>(b));
    return sum;
}

std::string_view text_of(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class AcpiReader {
public:
    AcpiReader(PhysicalReader memory, arch::Platform& out, TextSink complain)
        : memory_(memory), out_(out), complain_(complain) {}

    Result<> run(PhysAddr rsdp);

private:
    std::optional<Bytes> read(u64 at, usize bytes) const {
        if (at == 0 || at > ~u64{0} - bytes) return std::nullopt;
        const Bytes got = memory_(PhysAddr(at), bytes);
        if (got.size() < bytes) return std::nullopt;
        return got.first(bytes);
    }
    bool is_rsdp(u64 at) const;
    std::optional<u64> scan(u64 from, u64 bytes) const;
    std::optional<u64> find_rsdp() const;
    std::optional<Bytes> table(u64 at, std::string_view signature);
    bool walk(Bytes list, usize width);
    void visit(u64 at);
    void madt(Bytes t);
    void madt_entry(u8 type, Bytes e);
    void mcfg(Bytes t);
    void fadt(Bytes t);
    void power_button(Bytes t, u32 flags);
    void sleep_type(Bytes dsdt);

    void say(std::string_view what, std::string_view why) {
        char line[120];
        complain_(format_to(line, "acpi: {} {}", what, why));
    }

    PhysicalReader memory_;
    arch::Platform& out_;
    TextSink complain_;
    u32 cpus_ = 0;
    bool ecam_ = false, hardware_reduced_ = false;
};

// --- Finding the tables
// -------------------------------------------------------------------------------------------

bool AcpiReader::is_rsdp(u64 at) const {
    const auto v1 = read(at, kRsdpV1Bytes);
    if (!v1 || text_of(v1->first(8)) != "RSD PTR " || sum_of(*v1) != 0) return false;
    if (static_cast<u8>((*v1)[15]) < 2) return true;
    const auto v2 = read(at, kRsdpV2Bytes);
    return v2 && sum_of(*v2) == 0;
}

std::optional<u64> AcpiReader::scan(u64 from, u64 bytes) const {
    // Reading can mean mapping: once for the whole area, not for each of its 8192 places.
    if (const auto area = read(from, bytes)) {
        for (u64 at = align_up(from, u64{16}) - from; at + kRsdpV1Bytes <= bytes; at += 16)
            if ((*area)[at] == std::byte{'R'} && is_rsdp(from + at)) return from + at;
        return std::nullopt;
    }
    for (u64 at = align_up(from, u64{16}); at + kRsdpV1Bytes <= from + bytes; at += 16)
        if (is_rsdp(at)) return at;
    return std::nullopt;
}

// §5.2.5.1: the first KiB of the EBDA, then the BIOS area.
std::optional<u64> AcpiReader::find_rsdp() const {
    if (const auto segment = read(0x40e, 2)) {
        const u64 ebda = u64{*read_at<u16>(*segment, 0)} << 4;
        if (ebda >= 0x8'0000 && ebda < 0xa'0000)
            if (const auto found = scan(ebda, 1_KiB)) return found;
    }
    return scan(0xe'0000, 0x2'0000);
}

/// The whole table at `at` after checking its length and checksum. An empty signature accepts any.
std::optional<Bytes> AcpiReader::table(u64 at, std::string_view signature) {
    const auto header = read(at, kHeaderBytes);
    if (!header) {
        say(signature, "lies where nothing is mapped");
        return std::nullopt;
    }
    const std::string_view name = text_of(header->first(4));
    if (!signature.empty() && name != signature) {
        say(signature, "is not where it should be");
        return std::nullopt;
    }
    const u32 length = *read_at<u32>(*header, 4);
    const auto whole = length < kHeaderBytes || length > kMaxTableBytes ? std::nullopt : read(at, length);
    if (!whole) {
        say(signature, "has an impossible length");
        return std::nullopt;
    }
    if (sum_of(*whole) != 0) {
        say(signature, "has a wrong checksum");
        return std::nullopt;
    }
    return whole;
}

bool AcpiReader::walk(Bytes list, usize width) {
    const usize count = (list.size() - kHeaderBytes) / width;
    if (count > kMaxTables) say("RSDT", "names more tables than are looked at");
    for (usize i = 0; i < std::min(count, kMaxTables); ++i) {
        const usize at = kHeaderBytes + i * width;
        visit(width == 8 ? *read_at<u64>(list, at) : u64{*read_at<u32>(list, at)});
    }
    return true;
}

void AcpiReader::visit(u64 at) {
    const auto header = read(at, kHeaderBytes);
    if (!header) return say("a table", "lies where nothing is mapped");
    const std::string_view name = text_of(header->first(4));
    // Others are not even summed: a table that nobody needs costs nothing.
    if (name != "APIC" && name != "MCFG" && name != "FACP") return;
    const auto whole = table(at, name);
    if (!whole) return;
    if (name == "APIC")
        madt(*whole);
    else if (name == "MCFG")
        mcfg(*whole);
    else
        fadt(*whole);
}

Result<> AcpiReader::run(PhysAddr rsdp) {
    u64 at = rsdp.raw;
    if (at == 0) {
        const auto found = find_rsdp();
        if (!found) return fail(Error::not_found);
        at = *found;
    } else if (!is_rsdp(at)) {
        say("RSDP", "is damaged");
        return fail(Error::corrupt);
    }
    const Bytes v1 = *read(at, kRsdpV1Bytes);
    bool done = false;
    if (static_cast<u8>(v1[15]) >= 2) {
        const Bytes v2 = *read(at, kRsdpV2Bytes);
        const u64 xsdt = *read_at<u64>(v2, 24);
        if (xsdt != 0)
            if (const auto list = table(xsdt, "XSDT")) done = walk(*list, 8);
    }
    if (const u32 rsdt = *read_at<u32>(v1, 16); !done && rsdt != 0)
        if (const auto list = table(rsdt, "RSDT")) done = walk(*list, 4);
    if (!done) return fail(Error::corrupt);

    out_.cpus = std::max(cpus_, 1u);
    // Machines without fixed ACPI hardware (microvm) have no configuration ports either.
    if (!ecam_ && !hardware_reduced_ && !out_.pci) out_.pci = arch::PciHost{};
    return {};
}

// --- MADT
// ---------------------------------------------------------------------------------------------------------

void AcpiReader::madt(Bytes t) {
    if (const auto address = read_at<u32>(t, 36); address && *address != 0) out_.local_apic = PhysAddr(*address);
    for (usize at = 44; at < t.size();) {
        const auto type = read_at<u8>(t, at), length = read_at<u8>(t, at + 1);
        const auto entry = length ? slice(t, at, *length) : std::nullopt;
        if (!type || !entry || *length < 2) return say("MADT", "has an entry of impossible length");
        madt_entry(*type, *entry);
        at += *length;
    }
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
        if (!address || !base || *address == 0) return say("MADT", "has a bad IOAPIC entry");
        if (!out_.io_apics.try_push_back({PhysAddr(*address), *base})) say("MADT", "names too many IOAPICs");
        return;
    }
    case 2: {  // ISA: "conforms to the bus" means edge, active high (§5.2.12.5)
        const auto source = read_at<u8>(e, 3);
        const auto gsi = read_at<u32>(e, 4);
        const auto flags = read_at<u16>(e, 8);
        if (!source || !gsi || !flags || *source > 15) return say("MADT", "has a bad interrupt override");
        const arch::IrqLine line{*gsi, (*flags >> 2 & 3) == 3 ? arch::Trigger::level : arch::Trigger::edge,
                                 (*flags & 3) == 3 ? arch::Polarity::low : arch::Polarity::high};
        if (!out_.isa_overrides.try_push_back({*source, line})) say("MADT", "has too many interrupt overrides");
        return;
    }
    case 5:
        if (const auto address = read_at<u64>(e, 4); address && *address != 0) out_.local_apic = PhysAddr(*address);
        return;
    default:
        return;
    }
}

// --- MCFG
// ---------------------------------------------------------------------------------------------------------

void AcpiReader::mcfg(Bytes t) {
    for (usize at = 44; at < t.size(); at += 16) {
        const auto base = read_at<u64>(t, at);
        const auto segment = read_at<u16>(t, at + 8);
        const auto first = read_at<u8>(t, at + 10), last = read_at<u8>(t, at + 11);
        if (!base || !segment || !first || !last) return say("MCFG", "is cut off");
        if (*segment != 0 || ecam_) continue;
        // The address is that of bus 0, whatever the first bus is.
        if (*first > *last || *base == 0 || *base % 1_MiB != 0 || *base > ~u64{0} - 256_MiB) {
            say("MCFG", "makes no sense");
            continue;
        }
        arch::PciHost host;
        if (out_.pci) host = *out_.pci;  // the DSDT's windows
        host.first_bus = *first;
        host.last_bus = *last;
        host.ecam = arch::MmioRange{PhysAddr(*base + (u64{*first} << 20)), u64(*last - *first + 1) << 20};
        out_.pci = host;
        ecam_ = true;
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
        if (const auto x = read_at<GenericAddress>(t, kXPm1aControl); x && x->space == kSpaceIo && x->address != 0)
            port = x->address;
        if (port <= 0xffff)
            power.pm1a_control_port = static_cast<u16>(port);
        else
            say("FADT", "has an impossible PM1a port");
    } else if (const auto sleep = read_at<GenericAddress>(t, kSleepControl);
               sleep && sleep->space == kSpaceMemory && sleep->address != 0) {
        power.sleep_control = PhysAddr(sleep->address);
    }

    power_button(t, flags);

    const auto reset = read_at<GenericAddress>(t, kResetRegister);
    const auto value = read_at<u8>(t, kResetValue);
    if ((flags & kFlagResetSupported) != 0 && reset && value && reset->address != 0) {
        power.reset_value = *value;
        if (reset->space == kSpaceMemory)
            power.reset_register_memory = PhysAddr(reset->address);
        else if (reset->space == kSpaceIo && reset->address <= 0xffff)
            power.reset_register_port = static_cast<u16>(reset->address);
    }

    const u64 wide = read_at<u64>(t, kXDsdt).value_or(0);
    const u64 dsdt = wide != 0 ? wide : read_at<u32>(t, kDsdt).value_or(0);
    if (dsdt == 0) return say("FADT", "names no DSDT");
    if (const auto whole = table(dsdt, "DSDT")) {
        sleep_type(*whole);
        platform_from_dsdt(*whole, out_, complain_);
    }
}

/// The button of fixed hardware, §4.8.2.2.1: a bit of PM1a's status, and the SCI.
void AcpiReader::power_button(Bytes t, u32 flags) {
    const u32 port = read_at<u32>(t, kPm1aEvent).value_or(0), length = read_at<u8>(t, kPm1EventLength).value_or(0);
    const u16 sci = read_at<u16>(t, kSciInterrupt).value_or(0);
    if (hardware_reduced_ || (flags & kFlagNoFixedButton) != 0 || port == 0) return;
    if (port > 0xffff - 32 || length < 4 || length > 32) return say("FADT", "has an impossible PM1a event block");
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
    const std::string_view text = text_of(dsdt);
    for (usize at = text.find("_S5_", kHeaderBytes); at != std::string_view::npos; at = text.find("_S5_", at + 1)) {
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
    say("DSDT", "has no usable \\_S5_: power-off may not work");
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
