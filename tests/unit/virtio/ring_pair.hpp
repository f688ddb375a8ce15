// A ring of either layout and the device's half of it.
#pragma once

#include "drivers/virtio/any_ring.hpp"
#include "tests/device/ring_device.hpp"

namespace ringlet::device {

template <class R> inline constexpr bool kIsPacked = std::is_same_v<R, virtio::PackedRing>;

template <class R> struct Pair {
    R ring;
    RingDevice device;
    kernel::DmaRegion memory;

    explicit Pair(virtio::RingOptions o)
        : ring(R::create(with_layout(o)).value()), memory(kernel::DmaRegion::allocate(65536).value()) {
        start(o);
    }
    /// After ring.reset(), too.
    void start(virtio::RingOptions o) {
        const auto where = ring.addrs();
        device.start({.size = o.size,
                      .desc = where.desc,
                      .driver = where.driver,
                      .device = where.device,
                      .packed = with_layout(o).packed,
                      .in_order = o.in_order,
                      .event_idx = o.event_idx,
                      .first = o.first_index});
    }
    virtio::Segment segment(u32 len = 64, usize offset = 0) { return {memory.addr(offset), len}; }

private:
    static virtio::RingOptions with_layout(virtio::RingOptions o) {
        if (!std::is_same_v<R, virtio::EitherRing>) o.packed = kIsPacked<R>;
        return o;
    }
};

}  // namespace ringlet::device
