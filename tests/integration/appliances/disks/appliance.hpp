#pragma once

#include <ringlet/config.hpp>

namespace {
consteval ringlet::virtio::BlkConfig every_feature() {
    using F = ringlet::virtio::BlkSpec::Feature;
    using ringlet::virtio::Common;
    ringlet::virtio::BlkConfig c;
    c.features.optional = {Common::version_1,
                           Common::event_idx,
                           Common::indirect_desc,
                           F::size_max,
                           F::seg_max,
                           F::geometry,
                           F::ro,
                           F::blk_size,
                           F::flush,
                           F::topology,
                           F::config_wce,
                           F::mq,
                           F::discard,
                           F::write_zeroes,
                           F::lifetime,
                           F::secure_erase};
    c.queues = 4;
    return c;
}
}  // namespace

inline constexpr ringlet::ApplianceConfig kAppliance{
    .name = "disks", .shell = false, .net = false, .blk_driver = every_feature(), .cache_bytes = 128 << 10};
