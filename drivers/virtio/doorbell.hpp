// What is left of the transport once a queue is live: an address and a value. No vtable and no template on the
// transport in any per-packet path. Virtio 1.2 §4.1.5.2 (PCI), §4.2.2 QueueNotify (MMIO). Context: any.
#pragma once

#include "arch/mmio.hpp"
#include "lib/types.hpp"

namespace ringlet::virtio {

class Doorbell {
public:
    enum class Kind : u8 { none, mmio16, mmio32 };
    constexpr Doorbell() = default;
    constexpr Doorbell(Kind kind, std::uintptr_t where, u32 value) : where_(where), value_(value), kind_(kind) {}

    /// One device access, ordered after all earlier stores to normal memory. `position`: Ring::position() after the
    /// publish() that asked for it.
    void ring([[maybe_unused]] u16 position) const {
        if (kind_ == Kind::mmio16)
            arch::mmio_write<u16>(where_, u16(value_));
        else if (kind_ == Kind::mmio32)
            arch::mmio_write<u32>(where_, value_);
    }

private:
    std::uintptr_t where_ = 0;
    u32 value_ = 0;
    Kind kind_ = Kind::none;
};

}  // namespace ringlet::virtio
