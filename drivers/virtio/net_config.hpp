// How a network driver is built (NetConfig, a template argument) and what can be switched off at run time
// (NetTunables, from the kernel command line). Values only.
#pragma once

#include "drivers/virtio/any_ring.hpp"
#include "drivers/virtio/device_info.hpp"
#include "drivers/virtio/features.hpp"
#include "drivers/virtio/spec/net.hpp"

namespace ringlet::virtio {

struct NetConfig {
    using Feature = NetSpec::Feature;
    Features<NetSpec> features{
        .required = {},
        .optional = {Common::version_1, Feature::mac, Common::access_platform, Common::order_platform,
                     Common::notification_data, Common::notif_config_data, Common::event_idx, Common::indirect_desc,
                     Feature::mtu, Feature::status, Feature::csum, Feature::guest_csum, Feature::host_tso4,
                     Feature::host_ecn, Feature::guest_tso4, Feature::guest_ecn, Feature::mrg_rxbuf}};
    u16 rx_size = 64, tx_size = 64;  ///< ring entries
    u16 rx_buffers = 64;             ///< packets kept posted for reception, at most rx_size
    u16 max_pairs = 1;               ///< queue pairs opened when the device has so many (MQ, RSS)
    u16 tx_tables = 16;              ///< indirect tables of each transmit queue: packets of several buffers in flight
    u16 tx_fragments = 36;           ///< buffers of the largest packet sent: 64 KiB by default

    /// Everything the driver knows. `pairs`: queue pairs.
    static constexpr NetConfig full(u16 pairs = 4) {
        return {.features = {.required = {},
                             .optional = {Common::version_1,
                                          Feature::mac,
                                          Common::access_platform,
                                          Common::order_platform,
                                          Common::notification_data,
                                          Common::notif_config_data,
                                          Common::event_idx,
                                          Common::indirect_desc,
                                          Feature::csum,
                                          Feature::guest_csum,
                                          Feature::ctrl_guest_offloads,
                                          Feature::mtu,
                                          Feature::guest_tso4,
                                          Feature::guest_tso6,
                                          Feature::guest_ecn,
                                          Feature::host_tso4,
                                          Feature::host_tso6,
                                          Feature::host_ecn,
                                          Feature::mrg_rxbuf,
                                          Feature::status,
                                          Feature::ctrl_vq,
                                          Feature::ctrl_rx,
                                          Feature::ctrl_vlan,
                                          Feature::ctrl_rx_extra,
                                          Feature::guest_announce,
                                          Feature::mq,
                                          Feature::ctrl_mac_addr,
                                          Feature::vq_notf_coal,
                                          Feature::notf_coal,
                                          Feature::guest_uso4,
                                          Feature::guest_uso6,
                                          Feature::host_uso,
                                          Feature::hash_report,
                                          Feature::guest_hdrlen,
                                          Feature::rss,
                                          Feature::speed_duplex}},
                .max_pairs = pairs};
    }
};

/// Of `hw.vtnet.*`, under FreeBSD's names and with its meaning; each only takes something away from what is built in.
struct NetTunables {
    bool csum_disable = false;  ///< no checksum offload in either direction, hence no segmentation offload
    bool tso_disable = false;   ///< no segmentation offload when sending
    bool lro_disable = false;   ///< no merged frames when receiving (FreeBSD's default is 1)
    bool mq_disable = false;    ///< one queue pair
    u16 mq_max_pairs = 0;       ///< 0: as many as are built in
    u32 tso_maxlen = 65535;     ///< IP bytes of the largest packet handed over for segmentation

    /// Features that are not negotiated although offered.
    FeatureBits declined() const;
    u16 pairs(u16 built_in) const {
        if (mq_disable) return 1;
        return mq_max_pairs != 0 && mq_max_pairs < built_in ? mq_max_pairs : built_in;
    }
};

template <NetConfig kC> struct NetConfigChecked {
    using Feature = NetSpec::Feature;
    template <class... F> static constexpr bool any_listed(F... f) { return (kC.features.lists(f) || ...); }
    static_assert(FeaturesChecked<NetSpec, kC.features>::value);
    static_assert(RingSizeChecked<NetSpec, kC.features, kC.rx_size>::value);
    static_assert(RingSizeChecked<NetSpec, kC.features, kC.tx_size>::value);
    static_assert(kC.rx_buffers > 0 && kC.rx_buffers <= kC.rx_size,
                  "rx_buffers must lie between 1 and the size of the receive ring");
    static_assert(kC.features.lists(Feature::mac),
                  "MAC must be listed: without it the interface would have another address after every boot");
    static_assert(!any_listed(Feature::guest_ufo, Feature::host_ufo),
                  "UFO cannot be listed: IP fragments of a datagram are not what this stack sends or takes");
    static_assert(!any_listed(Feature::rsc_ext, Feature::standby),
                  "RSC_EXT and STANDBY cannot be listed: this driver does not speak them");
    static_assert(kC.max_pairs >= 1 && kC.max_pairs <= 8, "max_pairs must lie between 1 and 8");
    static_assert(2 * 8 + 1 <= DeviceInfo::kMostQueues);
    static_assert(kC.max_pairs == 1 || any_listed(Feature::mq, Feature::rss),
                  "several queue pairs need MQ or RSS to be listed");
    static_assert(kC.max_pairs > 1 || !kC.features.lists(Feature::mq),
                  "MQ is useless with one queue pair: raise max_pairs or do not list it");
    static_assert(kC.tx_fragments >= 1, "tx_fragments must be at least 1: a packet has at least one buffer");
    static_assert(kC.tx_fragments <= 64, "tx_fragments must be at most 64: 36 buffers hold 64 KiB, and the list of "
                                         "them is on a thread's stack");
    static_assert(!any_listed(Feature::host_tso4, Feature::host_tso6, Feature::host_uso) || kC.tx_fragments > 1,
                  "segmentation offload needs tx_fragments of more than 1: large packets are chains of buffers");
    static_assert(!kC.features.lists(Common::indirect_desc) || (kC.tx_tables > 0 && kC.tx_fragments > 1),
                  "INDIRECT_DESC is useless without tx_tables and with tx_fragments of 1");
    static_assert(!any_listed(Feature::guest_tso4, Feature::guest_tso6, Feature::guest_uso4, Feature::guest_uso6) ||
                      kC.rx_size >= 64,
                  "merged frames need a receive ring of at least 64 entries: one frame may take 36 of them");
    static constexpr bool value = true;
};

}  // namespace ringlet::virtio
