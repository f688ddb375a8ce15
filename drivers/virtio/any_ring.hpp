// The ring layout that a driver's configuration asks for. Drivers name RingOf<Spec, kFeatures>, never a layout.
#pragma once

#include "drivers/virtio/features.hpp"
#include "drivers/virtio/split_ring.hpp"

namespace ringlet::virtio {

template <class Spec, Features<Spec> kF> using RingOf = SplitRing;

}  // namespace ringlet::virtio
