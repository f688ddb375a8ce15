// Device registers as constexpr objects with a width: `common::status.read(base)`. Offsets are the specification's.
// Context: any. Used by the transports alone.
#pragma once

#include "arch/mmio.hpp"
#include "lib/types.hpp"

namespace ringlet::virtio {

template <class T, usize kOffset> struct Register {
    T read(std::uintptr_t base) const { return arch::mmio_read<T>(base + kOffset); }
    void write(std::uintptr_t base, T value) const { arch::mmio_write<T>(base + kOffset, value); }
};

/// A 64-bit address as two 32-bit accesses, which every device understands (§4.1.3.1, §4.2.2).
template <usize kOffset> struct AddressRegister {
    void write(std::uintptr_t base, u64 value) const {
        arch::mmio_write<u32>(base + kOffset, u32(value));
        arch::mmio_write<u32>(base + kOffset + 4, u32(value >> 32));
    }
};

}  // namespace ringlet::virtio
