// Finding ACPI tables, defensively: ACPI 6.4 §5.2.5 (RSDP), §5.2.6-§5.2.8 (tables, RSDT, XSDT); and the one table that
// both architectures read alike, PCI Firmware 3.2 §4.1.2 (MCFG). Context: boot.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "boot/acpi.hpp"

namespace ringlet::boot {

inline constexpr usize kAcpiHeaderBytes = 36;

/// A table's signature, as the number that its four characters are.
consteval u32 acpi_name(const char (&text)[5]) {
    u32 name = 0;
    for (usize i = 4; i-- > 0;) name = name << 8 | static_cast<u8>(text[i]);
    return name;
}

/// Generic Address Structure, §5.2.3.2.
struct [[gnu::packed]] GenericAddress {
    static constexpr u8 kMemory = 0, kIo = 1;
    u8 space, bit_width, bit_offset, access_size;
    u64 address;
};
static_assert(sizeof(GenericAddress) == 12);

class AcpiTables {
public:
    AcpiTables(PhysicalReader memory, TextSink complain) : memory_(memory), complain_(complain) {}

    /// In the areas of a PC's BIOS.
    std::optional<PhysAddr> find_rsdp() const;
    /// Hands out every table that is in `wanted`, whole; others are not even summed. Errors: corrupt, when the RSDP or
    /// the list of tables is damaged.
    Result<> for_each(PhysAddr rsdp, std::span<const u32> wanted, FunctionRef<void(u32 name, Bytes table)> visit);
    /// The whole table at `at` after checking its signature, length and checksum; why not, goes to the log.
    std::optional<Bytes> table(u64 at, u32 name) const;
    void say(std::string_view what, std::string_view why) const;

private:
    std::optional<Bytes> read(u64 at, usize bytes) const;
    bool is_rsdp(u64 at) const;
    std::optional<u64> scan(u64 from, u64 bytes) const;

    PhysicalReader memory_;
    TextSink complain_;
};

/// The configuration space of segment 0: `out.pci`, which keeps the windows that it has.
void pci_from_mcfg(Bytes mcfg, arch::Platform& out, const AcpiTables& tables);

/// Hands out the entries of a MADT, up to one of impossible length.
void for_each_madt_entry(Bytes madt, const AcpiTables& tables, FunctionRef<void(u8 type, Bytes entry)> visit);

}  // namespace ringlet::boot
