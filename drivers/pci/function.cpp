// See function.hpp.
#include "drivers/pci/function.hpp"

#include <bit>

#include "arch/paging.hpp"
#include "drivers/pci/spec.hpp"

namespace ringlet::pci {

using namespace spec;

void Function::identify() {
    vendor_ = read16(kVendorId);
    device_ = read16(kDeviceId);
    const u32 class_and_revision = read32(kRevision);
    revision_ = static_cast<u8>(class_and_revision);
    class_code_ = class_and_revision >> 8;
    is_bridge_ = (read8(kHeaderType) & kHeaderTypeMask) == kHeaderBridge;
    const u8 pin = read8(kInterruptPin);
    interrupt_pin_ = pin <= 4 ? pin : 0;
    if (is_bridge_) return;
    subsystem_vendor_ = read16(kSubsystemVendor);
    subsystem_device_ = read16(kSubsystemId);
}

void Function::change_command(u16 set, u16 clear) {
    const u16 now = read16(kCommand);
    const auto wanted = static_cast<u16>((now & ~clear) | set);
    if (wanted != now) write16(kCommand, wanted);
}

// §6.2.5.1: write all ones, read back the writable bits. The function must not answer at these addresses
// meanwhile.
void Function::size_bars() {
    // Host bridges decode RAM with the same bits, and other header types keep something else here.
    if (class_code_ >> 8 == kClassHostBridge) return;
    const u8 type = read8(kHeaderType) & kHeaderTypeMask;
    if (type > kHeaderBridge) return;
    const unsigned count = type == kHeaderBridge ? 2 : kBars;
    const u16 command = read16(kCommand);
    if ((command & (kCommandIo | kCommandMemory)) != 0)
        write16(kCommand, static_cast<u16>(command & ~(kCommandIo | kCommandMemory)));

    const auto probe = [&](unsigned n) {
        const auto at = static_cast<u16>(kBar0 + 4 * n);
        const u32 before = read32(at);
        write32(at, ~u32{0});
        const u32 mask = read32(at);
        write32(at, before);
        return std::pair{before, mask};
    };
    for (unsigned n = 0; n < count; ++n) {
        const auto [low, low_mask] = probe(n);
        if (low_mask == 0 || low_mask == ~u32{0}) continue;
        Bar& bar = bars_[n];
        if ((low_mask & 1) != 0) {
            // An I/O BAR may implement only the lower 16 bits.
            const u32 mask = low_mask & 0xfffffffc;
            bar.bytes = u32{1} << (mask == 0 ? 0 : std::countr_zero(mask));
            bar.kind = bar.bytes >= 4 ? Bar::Kind::io : Bar::Kind::none;
            bus_addresses_[n] = low & 0xfffffffc;
            continue;
        }
        u64 address = low & 0xfffffff0, mask = low_mask & 0xfffffff0;
        bar.prefetchable = (low_mask & 8) != 0;
        bar.is_64bit = (low_mask & 6) == 4;
        if (bar.is_64bit) {
            if (n + 1 == count) {
                bar = {};
                break;
            }  // no room for its upper half: the device is wrong
            const auto [high, high_mask] = probe(n + 1);
            address |= u64{high} << 32;
            mask |= u64{high_mask} << 32;
        }
        const unsigned upper = bar.is_64bit ? 1 : 0;
        if (mask != 0) {
            bar.kind = Bar::Kind::memory;
            bar.bytes = u64{1} << std::countr_zero(mask);
            bus_addresses_[n] = address;
        } else {
            bar = {};
        }
        n += upper;
    }
    if ((command & (kCommandIo | kCommandMemory)) != 0) write16(kCommand, command);
}

Result<std::uintptr_t> Function::map_bar(unsigned n, u64 offset, u64 bytes) {
    const Bar b = bar(n);
    if (b.kind != Bar::Kind::memory || !b.assigned) return fail(Error::not_found);
    if (bytes == 0 || offset > b.bytes || b.bytes - offset < bytes) return fail(Error::corrupt);
    // Nobody needs more of a BAR at once; a lying one must not eat all memory for tables.
    if (bytes > 1_GiB) return fail(Error::too_large);
    return arch::map_device(b.address + offset, static_cast<usize>(bytes));
}

Result<IoWindow> Function::open_io_bar(unsigned n, u64 offset, u64 bytes) {
    const Bar b = bar(n);
    if (b.kind != Bar::Kind::io || !b.assigned) return fail(Error::not_found);
    if (bytes == 0 || offset > b.bytes || b.bytes - offset < bytes) return fail(Error::corrupt);
    if constexpr (arch::kHasPortIo) {
        constexpr u64 kPorts = 0x10000;
        if (b.address.raw >= kPorts || b.bytes > kPorts - b.address.raw) return fail(Error::corrupt);
        return IoWindow(IoWindow::Kind::ports, b.address.raw + offset);
    }
    return IoWindow(IoWindow::Kind::memory, TRY(arch::map_device(b.address + offset, static_cast<usize>(bytes))));
}

void Function::enable_memory() {
    u16 decode = 0;
    for (const Bar& b : bars_) {
        if (!b.assigned) continue;
        if (b.kind == Bar::Kind::memory) decode |= kCommandMemory;
        if (b.kind == Bar::Kind::io) decode |= kCommandIo;
    }
    change_command(decode, 0);
}

void Function::enable_bus_master() {
    change_command(kCommandMaster, 0);
}
void Function::disable_bus_master() {
    change_command(0, kCommandMaster);
}
bool Function::cut_off() {
    disable_bus_master();
    return (read16(kCommand) & kCommandMaster) == 0 || read16(kVendorId) == 0xffff;
}
void Function::disable_intx() {
    change_command(kCommandIntxDisable, 0);
}
void Function::enable_intx() {
    change_command(0, kCommandIntxDisable);
}

// §6.7. Entries are 4-byte aligned in [0x40, 0x100): at most 48 of them.
void Function::for_each_capability(FunctionRef<bool(u8 id, u16 offset)> visit) const {
    if ((read16(kStatus) & kStatusCapabilities) == 0) return;
    u16 at = read8(kCapabilityPointer) & 0xfc;
    for (int left = 48; left > 0 && at >= 0x40; --left) {
        const u16 header = read16(at);
        if ((header & 0xff) == 0xff) return;
        if (!visit(static_cast<u8>(header), at)) return;
        at = header >> 8 & 0xfc;
    }
}

std::optional<u16> Function::find_capability(u8 id) const {
    std::optional<u16> found;
    for_each_capability([&](u8 i, u16 offset) {
        if (i == id) found = offset;
        return !found;
    });
    return found;
}

}  // namespace ringlet::pci
