// See driver_tunables.hpp. FreeBSD's names, numbers and meaning.
#include "boot/driver_tunables.hpp"

namespace ringlet::boot {

namespace {

using virtio::BlkTunables;
constexpr Tunable kBlkRows[] = {
    tunable<&BlkTunables::writecache_mode>("writecache_mode", -1, 1),
    tunable<&BlkTunables::no_ident>("no_ident"),
};

}  // namespace

constinit const TunablesOf<BlkTunables> kBlkTunables{{"vtblk", kBlkRows}};

}  // namespace ringlet::boot
