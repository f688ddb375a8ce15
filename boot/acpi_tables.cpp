// See acpi_tables.hpp.
#include "boot/acpi_tables.hpp"

#include <algorithm>

namespace ringlet::boot {

namespace {

constexpr usize kRsdpV1Bytes = 20, kRsdpV2Bytes = 36;
constexpr usize kMaxTableBytes = 1_MiB, kMaxTables = 64;

u8 sum_of(Bytes bytes) {
    u8 sum = 0;
    for (const std::byte b : bytes) sum = static_cast<u8>(sum + static_cast<u8>(b));
    return sum;
}

std::string_view text_of(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

void AcpiTables::say(std::string_view what, std::string_view why) const {
    char line[120];
    complain_(format_to(line, "acpi: {} {}", what, why));
}

std::optional<Bytes> AcpiTables::read(u64 at, usize bytes) const {
    if (at == 0 || at > ~u64{0} - bytes) return std::nullopt;
    const Bytes got = memory_(PhysAddr(at), bytes);
    if (got.size() < bytes) return std::nullopt;
    return got.first(bytes);
}

bool AcpiTables::is_rsdp(u64 at) const {
    const auto v1 = read(at, kRsdpV1Bytes);
    if (!v1 || text_of(v1->first(8)) != "RSD PTR " || sum_of(*v1) != 0) return false;
    if (static_cast<u8>((*v1)[15]) < 2) return true;
    const auto v2 = read(at, kRsdpV2Bytes);
    return v2 && sum_of(*v2) == 0;
}

std::optional<u64> AcpiTables::scan(u64 from, u64 bytes) const {
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
std::optional<PhysAddr> AcpiTables::find_rsdp() const {
    if (const auto segment = read(0x40e, 2)) {
        const u64 ebda = u64{*read_at<u16>(*segment, 0)} << 4;
        if (ebda >= 0x8'0000 && ebda < 0xa'0000)
            if (const auto found = scan(ebda, 1_KiB)) return PhysAddr(*found);
    }
    if (const auto found = scan(0xe'0000, 0x2'0000)) return PhysAddr(*found);
    return std::nullopt;
}

std::optional<Bytes> AcpiTables::table(u64 at, u32 name) const {
    const std::string_view text(reinterpret_cast<const char*>(&name), sizeof name);
    const auto header = read(at, kAcpiHeaderBytes);
    if (!header) {
        say(text, "lies where nothing is mapped");
        return std::nullopt;
    }
    if (*read_at<u32>(*header, 0) != name) {
        say(text, "is not where it should be");
        return std::nullopt;
    }
    const u32 length = *read_at<u32>(*header, 4);
    const auto whole = length < kAcpiHeaderBytes || length > kMaxTableBytes ? std::nullopt : read(at, length);
    if (!whole) {
        say(text, "has an impossible length");
        return std::nullopt;
    }
    if (sum_of(*whole) != 0) {
        say(text, "has a wrong checksum");
        return std::nullopt;
    }
    return whole;
}

Result<> AcpiTables::for_each(PhysAddr rsdp, std::span<const u32> wanted, FunctionRef<void(u32, Bytes)> visit) {
    if (!is_rsdp(rsdp.raw)) {
        say("RSDP", "is damaged");
        return fail(Error::corrupt);
    }
    const Bytes v1 = *read(rsdp.raw, kRsdpV1Bytes);
    std::optional<Bytes> list;
    usize width = 8;
    if (static_cast<u8>(v1[15]) >= 2)
        if (const u64 xsdt = *read_at<u64>(*read(rsdp.raw, kRsdpV2Bytes), 24); xsdt != 0)
            list = table(xsdt, acpi_name("XSDT"));
    if (const u32 rsdt = *read_at<u32>(v1, 16); !list && rsdt != 0) {
        list = table(rsdt, acpi_name("RSDT"));
        width = 4;
    }
    if (!list) return fail(Error::corrupt);

    const usize count = (list->size() - kAcpiHeaderBytes) / width;
    if (count > kMaxTables) say("RSDT", "names more tables than are looked at");
    for (usize i = 0; i < std::min(count, kMaxTables); ++i) {
        const usize entry = kAcpiHeaderBytes + i * width;
        const u64 at = width == 8 ? *read_at<u64>(*list, entry) : u64{*read_at<u32>(*list, entry)};
        const auto header = read(at, kAcpiHeaderBytes);
        const u32 name = header ? *read_at<u32>(*header, 0) : 0;
        if (!header) say("a table", "lies where nothing is mapped");
        if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) continue;
        if (const auto whole = table(at, name)) visit(name, *whole);
    }
    return {};
}

void pci_from_mcfg(Bytes t, arch::Platform& out, const AcpiTables& tables) {
    for (usize at = kAcpiHeaderBytes + 8; at < t.size(); at += 16) {
        const auto base = read_at<u64>(t, at);
        const auto segment = read_at<u16>(t, at + 8);
        const auto first = read_at<u8>(t, at + 10), last = read_at<u8>(t, at + 11);
        if (!base || !segment || !first || !last) return tables.say("MCFG", "is cut off");
        if (*segment != 0) continue;
        // The address is that of bus 0, whatever the first bus is.
        if (*first > *last || *base == 0 || *base % 1_MiB != 0 || *base > ~u64{0} - 256_MiB) {
            tables.say("MCFG", "makes no sense");
            continue;
        }
        if (!out.pci) out.pci.emplace();
        arch::PciHost& host = *out.pci;  // with the DSDT's windows, if there are any
        host.first_bus = *first;
        host.last_bus = *last;
        host.ecam = arch::MmioRange{PhysAddr(*base + (u64{*first} << 20)), u64(*last - *first + 1) << 20};
        return;
    }
}

void for_each_madt_entry(Bytes madt, const AcpiTables& tables, FunctionRef<void(u8 type, Bytes entry)> visit) {
    for (usize at = kAcpiHeaderBytes + 8; at < madt.size();) {
        const auto type = read_at<u8>(madt, at), length = read_at<u8>(madt, at + 1);
        const auto entry = length ? slice(madt, at, *length) : std::nullopt;
        if (!type || !entry || *length < 2) return tables.say("MADT", "has an entry of impossible length");
        visit(*type, *entry);
        at += *length;
    }
}

}  // namespace ringlet::boot
