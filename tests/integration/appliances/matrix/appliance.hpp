// Every driver, and every feature that concerns the core: what a device offers is in use, so that a row of the matrix
// tests what its name says.
#pragma once

#include <ringlet/config.hpp>

namespace {
using ringlet::virtio::Common;

template <class Spec> consteval void list_core(ringlet::virtio::Features<Spec>& f) {
    const auto all = ringlet::virtio::mask(Common::version_1, Common::access_platform, Common::order_platform,
                                           Common::notification_data, Common::notif_config_data, Common::event_idx,
                                           Common::ring_packed, Common::in_order, Common::ring_reset);
    f.optional.bits = f.optional.bits | all.without(f.required.bits);
}

consteval ringlet::ApplianceConfig everything() {
    ringlet::ApplianceConfig c{.name = "httpd", .scsi = true, .balloon = true};
    c.net_driver = ringlet::virtio::NetConfig::full(4);
    c.blk_driver.features.optional.bits =
        c.blk_driver.features.optional.bits | ringlet::virtio::mask(ringlet::virtio::BlkSpec::Feature::mq);
    c.blk_driver.queues = 4;
    list_core(c.net_driver.features);
    list_core(c.blk_driver.features);
    list_core(c.scsi_driver.features);
    list_core(c.rng_driver.features);
    list_core(c.balloon_driver.features);
    c.balloon_driver.features.required = {};
    c.balloon_driver.features.optional.bits =
        c.balloon_driver.features.optional.bits | ringlet::virtio::mask(Common::version_1);
    return c;
}
}  // namespace

inline constexpr ringlet::ApplianceConfig kAppliance = everything();
