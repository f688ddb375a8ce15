// See io_apic.hpp. The select and window registers are a pair: interrupts stay disabled between them.
#include "arch/x86_64/io_apic.hpp"

#include <iterator>

#include "arch/cpu.hpp"
#include "arch/mmio.hpp"
#include "arch/paging.hpp"

namespace ringlet::arch::x86 {
namespace {

constexpr u32 kVersion = 0x01, kRedirection = 0x10;
constexpr u32 kMasked = 1u << 16, kLevel = 1u << 15, kLow = 1u << 13;

struct Chip {
    std::uintptr_t registers = 0;
    u32 gsi_base = 0;
    u32 pins = 0;
};
constinit Chip chips[8];
constinit usize chip_count;

u32 read(const Chip& chip, u32 index) {
    mmio_write<u32>(chip.registers, index);
    return mmio_read<u32>(chip.registers + 0x10);
}
void write(const Chip& chip, u32 index, u32 value) {
    mmio_write<u32>(chip.registers, index);
    mmio_write<u32>(chip.registers + 0x10, value);
}

}  // namespace

Result<> io_apic_add(const IoApic& chip) {
    if (chip_count == std::size(chips)) return fail(Error::no_space);
    Chip c;
    c.registers = TRY(map_device(chip.address, kPageSize));
    c.gsi_base = chip.gsi_base;
    const u32 version = read(c, kVersion);
    if (version == 0xffff'ffff) return fail(Error::not_found);
    c.pins = (version >> 16 & 0xff) + 1;
    // Reset leaves every pin masked, but the firmware had its turn; only pins it opened cost a write.
    for (u32 pin = 0; pin < c.pins; ++pin) {
        const u32 low = read(c, kRedirection + 2 * pin);
        if ((low & kMasked) == 0) write(c, kRedirection + 2 * pin, low | kMasked);
    }
    chips[chip_count++] = c;
    return {};
}

std::optional<Pin> io_apic_find(u32 gsi) {
    for (usize i = 0; i < chip_count; ++i) {
        const Chip& c = chips[i];
        if (gsi < c.gsi_base || gsi - c.gsi_base >= c.pins) continue;
        return Pin{static_cast<u8>(i), static_cast<u8>(gsi - c.gsi_base)};
    }
    return std::nullopt;
}

void io_apic_route(Pin pin, u8 vector, u32 apic_id, Trigger trigger, Polarity polarity) {
    IrqGuard guard;
    u32 low = vector | kMasked;  // fixed delivery, physical destination
    if (trigger == Trigger::level) low |= kLevel;
    if (polarity == Polarity::low) low |= kLow;
    write(chips[pin.chip], kRedirection + 2u * pin.index, low);
    write(chips[pin.chip], kRedirection + 2u * pin.index + 1, apic_id << 24);
}

void io_apic_set_masked(Pin pin) {
    IrqGuard guard;
    const u32 index = kRedirection + 2u * pin.index;
    write(chips[pin.chip], index, read(chips[pin.chip], index) | kMasked);
}

void io_apic_set_unmasked(Pin pin) {
    IrqGuard guard;
    const u32 index = kRedirection + 2u * pin.index;
    write(chips[pin.chip], index, read(chips[pin.chip], index) & ~kMasked);
}

}  // namespace ringlet::arch::x86
