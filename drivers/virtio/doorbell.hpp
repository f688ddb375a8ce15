// What is left of the transport once a queue is live: an address and a value. No vtable and no template on the
// transport in any per-packet path. Virtio 1.2 §4.1.5.2 (PCI), §4.2.2 QueueNotify (MMIO), §2.9 (NOTIFICATION_DATA,
// NOTIF_CONFIG_DATA). Context: any.
#pragma once

#include "arch/mmio.hpp"
#include "arch/port.hpp"
#include "lib/types.hpp"

namespace ringlet::virtio {

class Doorbell {
public:
    enum class Kind : u8 { none, mmio16, mmio32, port16, port32 };
    /// Whether the driver says how far it has got (§2.9): then the access is 32 bits wide.
    enum class Says : u8 { queue, position };
    constexpr Doorbell() = default;
    constexpr Doorbell(Kind kind, std::uintptr_t where, u16 value, Says says = Says::queue)
        : where_(where), value_(value), kind_(kind), says_(says) {}

    /// One device access, ordered after all earlier stores to normal memory. `position`: Ring::position() after the
    /// publish() that asked for it.
    void ring(u16 position) const {
        const u32 value = says_ == Says::position ? value_ | u32{position} << 16 : value_;
        if (kind_ == Kind::mmio16) return arch::mmio_write<u16>(where_, u16(value));
        if (kind_ == Kind::mmio32) return arch::mmio_write<u32>(where_, value);
        if constexpr (arch::kHasPortIo) {
            if (kind_ == Kind::port16) return arch::port_out16(u16(where_), u16(value));
            if (kind_ == Kind::port32) return arch::port_out32(u16(where_), value);
        }
    }

private:
    std::uintptr_t where_ = 0;
    u16 value_ = 0;
    Kind kind_ = Kind::none;
    Says says_ = Says::queue;
};

}  // namespace ringlet::virtio
