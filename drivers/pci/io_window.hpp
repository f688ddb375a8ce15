// A piece of I/O space: ports where the CPU has them, else the memory through which the host bridge shows them.
// PCI Local Bus 3.0 §3.2.2. Context: any.
#pragma once

#include <concepts>

#include "arch/mmio.hpp"
#include "arch/port.hpp"

namespace ringlet::pci {

class IoWindow {
public:
    enum class Kind : u8 { ports, memory };
    constexpr IoWindow() = default;
    constexpr IoWindow(Kind kind, std::uintptr_t base) : base_(base), kind_(kind) {}

    Kind kind() const { return arch::kHasPortIo ? kind_ : Kind::memory; }
    /// The port, or the mapped address, of `offset`.
    std::uintptr_t at(usize offset) const { return base_ + offset; }

    template <std::unsigned_integral T> T read(usize offset) const {
        if (kind() == Kind::memory) return arch::mmio_read<T>(at(offset));
        const auto port = static_cast<u16>(at(offset));
        if constexpr (sizeof(T) == 1)
            return arch::port_in8(port);
        else if constexpr (sizeof(T) == 2)
            return arch::port_in16(port);
        else
            return arch::port_in32(port);
    }
    template <std::unsigned_integral T> void write(usize offset, std::type_identity_t<T> value) const {
        if (kind() == Kind::memory) return arch::mmio_write<T>(at(offset), value);
        const auto port = static_cast<u16>(at(offset));
        if constexpr (sizeof(T) == 1)
            arch::port_out8(port, value);
        else if constexpr (sizeof(T) == 2)
            arch::port_out16(port, value);
        else
            arch::port_out32(port, value);
    }

private:
    std::uintptr_t base_ = 0;
    Kind kind_ = Kind::memory;
};

}  // namespace ringlet::pci
