// See driver_tunables.hpp. FreeBSD's names, numbers and meaning.
#include "boot/driver_tunables.hpp"

namespace ringlet::boot {

namespace {

using virtio::BlkTunables, virtio::ScsiTunables;
constexpr Tunable kBlkRows[] = {
    tunable<&BlkTunables::writecache_mode>("writecache_mode", -1, 1),
    tunable<&BlkTunables::no_ident>("no_ident"),
};

constexpr Tunable kScsiRows[] = {
    tunable<&ScsiTunables::bus_reset_disable>("bus_reset_disable"),
    tunable<&ScsiTunables::debug_level>("debug_level", 0, 7),
};

}  // namespace

constinit const TunablesOf<BlkTunables> kBlkTunables{{"vtblk", kBlkRows}};
constinit const TunablesOf<ScsiTunables> kScsiTunables{{"vtscsi", kScsiRows}};

}  // namespace ringlet::boot
