// The tables of the drivers' run-time settings; docs/tunables.md describes each. Values only.
#pragma once

#include "boot/tunables.hpp"
#include "drivers/virtio/blk.hpp"

namespace ringlet::boot {

extern const TunablesOf<virtio::BlkTunables> kBlkTunables;  ///< hw.vtblk

}  // namespace ringlet::boot
