// See driver_tunables.hpp. FreeBSD's names, numbers and meaning.
#include "boot/driver_tunables.hpp"

namespace ringlet::boot {

namespace {

using virtio::BlkTunables, virtio::NetTunables, virtio::ScsiTunables;
constexpr Tunable kBlkRows[] = {
    tunable<&BlkTunables::writecache_mode>("writecache_mode", -1, 1),
    tunable<&BlkTunables::no_ident>("no_ident"),
};

constexpr Tunable kScsiRows[] = {
    tunable<&ScsiTunables::bus_reset_disable>("bus_reset_disable"),
    tunable<&ScsiTunables::debug_level>("debug_level", 0, 7),
};
constexpr Tunable kNetRows[] = {
    tunable<&NetTunables::csum_disable>("csum_disable"),
    tunable<&NetTunables::tso_disable>("tso_disable"),
    tunable<&NetTunables::lro_disable>("lro_disable"),
    tunable<&NetTunables::mq_disable>("mq_disable"),
    tunable<&NetTunables::mq_max_pairs>("mq_max_pairs", 0, 8),
    tunable<&NetTunables::tso_maxlen>("tso_maxlen", 1500, 65535),
};

}  // namespace

constinit const TunablesOf<BlkTunables> kBlkTunables{{"vtblk", kBlkRows}};
constinit const TunablesOf<NetTunables> kNetTunables{{"vtnet", kNetRows}};
constinit const TunablesOf<ScsiTunables> kScsiTunables{{"vtscsi", kScsiRows}};

}  // namespace ringlet::boot
