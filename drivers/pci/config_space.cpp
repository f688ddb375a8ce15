// See config_space.hpp.
#include "drivers/pci/config_space.hpp"

#include "arch/cpu.hpp"
#include "arch/mmio.hpp"
#include "arch/paging.hpp"
#include "arch/port.hpp"

namespace ringlet::pci {

namespace {
constexpr u16 kAddressPort = 0xcf8, kDataPort = 0xcfc;
constexpr u64 kBusBytes = 1 << 20;

[[maybe_unused]] void select(Address at, u16 offset) {
    arch::port_out32(kAddressPort, u32{1} << 31 | u32{at.requester_id()} << 8 | (offset & 0xfcu));
}
}  // namespace

Result<ConfigSpace> ConfigSpace::open(const arch::PciHost& host) {
    ConfigSpace space;
    space.first_bus_ = host.first_bus;
    space.last_bus_ = host.last_bus;
    if (host.first_bus > host.last_bus) return fail(Error::invalid);
    if (host.ecam) {
        const u64 buses = host.ecam->bytes / kBusBytes;
        if (buses == 0 || host.ecam->base.raw % kBusBytes != 0) return fail(Error::invalid);
        if (host.ecam->base.raw > ~u64{0} - host.ecam->bytes) return fail(Error::invalid);
        if (buses < u64{host.last_bus} - host.first_bus + 1)
            space.last_bus_ = static_cast<u8>(host.first_bus + buses - 1);
        space.window_ = host.ecam->base;
    } else if (!arch::kHasPortIo) {
        return fail(Error::unsupported);
    }
    return space;
}

Result<> ConfigSpace::map_bus(u8 bus) {
    if (bus < first_bus_ || bus > last_bus_) return fail(Error::invalid);
    const u32 bit = u32{1} << (bus % 32);
    if ((mapped_[bus / 32] & bit) != 0) return {};
    if (window_) TRY(arch::map_device(*window_ + u64{bus} * kBusBytes - u64{first_bus_} * kBusBytes, kBusBytes));
    mapped_[bus / 32] |= bit;
    return {};
}

bool ConfigSpace::reachable(Address at, u16 offset, unsigned width) const {
    return at.slot < 32 && at.function < 8 && offset % width == 0 && offset < bytes() &&
           (mapped_[at.bus / 32] >> (at.bus % 32) & 1) != 0;
}

// MMIO is mapped at its physical address (arch/README.md).
std::uintptr_t ConfigSpace::in_window(Address at, u16 offset) const {
    return window_->raw + u64(at.requester_id() - (u32{first_bus_} << 8)) * 4096 + offset;
}

u32 ConfigSpace::read(Address at, u16 offset, unsigned width) const {
    if (!reachable(at, offset, width)) return ~u32{0};
    if (window_) {
        const std::uintptr_t p = in_window(at, offset);
        if (width == 1) return arch::mmio_read<u8>(p);
        if (width == 2) return arch::mmio_read<u16>(p);
        return arch::mmio_read<u32>(p);
    }
    if constexpr (arch::kHasPortIo) {
        const arch::IrqGuard guard;  // address and data are one access
        select(at, offset);
        const auto port = static_cast<u16>(kDataPort + offset % 4);
        if (width == 1) return arch::port_in8(port);
        if (width == 2) return arch::port_in16(port);
        return arch::port_in32(port);
    }
    return ~u32{0};
}

void ConfigSpace::write(Address at, u16 offset, unsigned width, u32 value) const {
    if (!reachable(at, offset, width)) return;
    if (window_) {
        const std::uintptr_t p = in_window(at, offset);
        if (width == 1)
            arch::mmio_write<u8>(p, static_cast<u8>(value));
        else if (width == 2)
            arch::mmio_write<u16>(p, static_cast<u16>(value));
        else
            arch::mmio_write<u32>(p, value);
        return;
    }
    if constexpr (arch::kHasPortIo) {
        const arch::IrqGuard guard;  // address and data are one access
        select(at, offset);
        const auto port = static_cast<u16>(kDataPort + offset % 4);
        if (width == 1)
            arch::port_out8(port, static_cast<u8>(value));
        else if (width == 2)
            arch::port_out16(port, static_cast<u16>(value));
        else
            arch::port_out32(port, value);
    }
}

}  // namespace ringlet::pci
