// The ring layout that a driver's configuration asks for. Drivers name RingOf<Spec, kFeatures>, never a layout.
#pragma once

#include "drivers/virtio/features.hpp"
#include "drivers/virtio/split_ring.hpp"

namespace ringlet::virtio {

/// The split ring when RING_PACKED is not listed.
template <class Spec, Features<Spec> kF> using RingOf = SplitRing;

/// The mistake in a queue size, one sentence per layout. `static_assert(RingSizeChecked<Spec, kF, size>::value)`.
template <class Spec, Features<Spec> kF, u16 kSize> struct RingSizeChecked {
    static constexpr bool kPower = kSize != 0 && kSize <= 32768 && (kSize & (kSize - 1)) == 0;
    static_assert(kPower || kF.lists(Common::ring_packed),
                  "a split ring's size must be a power of two from 1 to 32768");
    static_assert(kPower || !kF.optional.contains(Common::ring_packed),
                  "with RING_PACKED optional a ring's size must suit both layouts: a power of two from 1 to 32768");
    static_assert((kSize != 0 && kSize <= 32768) || !kF.required.contains(Common::ring_packed),
                  "a packed ring's size must lie between 1 and 32768");
    static constexpr bool value = true;
};

}  // namespace ringlet::virtio
