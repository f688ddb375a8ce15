// The tables of the drivers' run-time settings; docs/tunables.md describes each. Values only.
#pragma once

#include "boot/tunables.hpp"
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net_config.hpp"
#include "drivers/virtio/scsi.hpp"

namespace ringlet::boot {

extern const TunablesOf<virtio::BlkTunables> kBlkTunables;    ///< hw.vtblk
extern const TunablesOf<virtio::NetTunables> kNetTunables;    ///< hw.vtnet
extern const TunablesOf<virtio::ScsiTunables> kScsiTunables;  ///< hw.vtscsi

}  // namespace ringlet::boot
