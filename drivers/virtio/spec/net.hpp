// Network device, virtio 1.3 §5.1: constants only, under the specification's names. Checked, never executed.
#pragma once

#include <array>
#include <cstddef>

#include "drivers/virtio/features.hpp"
#include "lib/endian.hpp"

namespace ringlet::virtio {

struct NetSpec {
    static constexpr u16 kDeviceId = 1;
    static constexpr std::string_view kName = "network";

    enum class Feature : u8 {  // §5.1.3
        csum = 0,
        guest_csum = 1,
        ctrl_guest_offloads = 2,
        mtu = 3,
        mac = 5,
        guest_tso4 = 7,
        guest_tso6 = 8,
        guest_ecn = 9,
        guest_ufo = 10,
        host_tso4 = 11,
        host_tso6 = 12,
        host_ecn = 13,
        host_ufo = 14,
        mrg_rxbuf = 15,
        status = 16,
        ctrl_vq = 17,
        ctrl_rx = 18,
        ctrl_vlan = 19,
        ctrl_rx_extra = 20,
        guest_announce = 21,
        mq = 22,
        ctrl_mac_addr = 23,
        vq_notf_coal = 52,
        notf_coal = 53,
        guest_uso4 = 54,
        guest_uso6 = 55,
        host_uso = 56,
        hash_report = 57,
        guest_hdrlen = 59,
        rss = 60,
        rsc_ext = 61,
        standby = 62,
        speed_duplex = 63,
    };

    static constexpr Needs kNeeds[] = {
        // §5.1.3.1
        needs(Feature::guest_tso4, Feature::guest_csum),
        needs(Feature::guest_tso6, Feature::guest_csum),
        needs(Feature::guest_ecn, Feature::guest_tso4, Feature::guest_tso6),
        needs(Feature::guest_ufo, Feature::guest_csum),
        needs(Feature::guest_uso4, Feature::guest_csum),
        needs(Feature::guest_uso6, Feature::guest_csum),
        needs(Feature::host_tso4, Feature::csum),
        needs(Feature::host_tso6, Feature::csum),
        needs(Feature::host_ecn, Feature::host_tso4, Feature::host_tso6),
        needs(Feature::host_ufo, Feature::csum),
        needs(Feature::host_uso, Feature::csum),
        needs(Feature::ctrl_rx, Feature::ctrl_vq),
        needs(Feature::ctrl_vlan, Feature::ctrl_vq),
        needs(Feature::ctrl_rx_extra, Feature::ctrl_vq),
        needs(Feature::guest_announce, Feature::ctrl_vq),
        needs(Feature::mq, Feature::ctrl_vq),
        needs(Feature::ctrl_mac_addr, Feature::ctrl_vq),
        needs(Feature::notf_coal, Feature::ctrl_vq),
        needs(Feature::vq_notf_coal, Feature::ctrl_vq),
        needs(Feature::hash_report, Feature::ctrl_vq),          // a SHOULD (§5.1.4.2); without it no hash is ever on
        needs(Feature::ctrl_guest_offloads, Feature::ctrl_vq),  // not in the table, but it is a command
        needs(Feature::guest_announce, Feature::status),        // nor is this: the request is a status bit
        needs(Feature::rsc_ext, Feature::host_tso4, Feature::host_tso6),
        needs(Feature::rss, Feature::ctrl_vq),
    };
    static constexpr FeatureName kNames[] = {
        {0, "csum"},
        {1, "guest_csum"},
        {2, "ctrl_guest_offloads"},
        {3, "mtu"},
        {5, "mac"},
        {6, "gso"},
        {7, "guest_tso4"},
        {8, "guest_tso6"},
        {9, "guest_ecn"},
        {10, "guest_ufo"},
        {11, "host_tso4"},
        {12, "host_tso6"},
        {13, "host_ecn"},
        {14, "host_ufo"},
        {15, "mrg_rxbuf"},
        {16, "status"},
        {17, "ctrl_vq"},
        {18, "ctrl_rx"},
        {19, "ctrl_vlan"},
        {20, "ctrl_rx_extra"},
        {21, "guest_announce"},
        {22, "mq"},
        {23, "ctrl_mac_addr"},
        {50, "device_stats"},
        {51, "hash_tunnel"},
        {52, "vq_notf_coal"},
        {53, "notf_coal"},
        {54, "guest_uso4"},
        {55, "guest_uso6"},
        {56, "host_uso"},
        {57, "hash_report"},
        {59, "guest_hdrlen"},
        {60, "rss"},
        {61, "rsc_ext"},
        {62, "standby"},
        {63, "speed_duplex"},
    };

    static constexpr u16 kReceiveQueue = 0, kTransmitQueue = 1;  // §5.1.2, the first pair; 2p and 2p + 1 in general
    static constexpr u16 control_queue(u16 max_pairs) { return u16(2 * max_pairs); }
    static constexpr u16 kMostPairs = 0x8000;  // §5.1.4.1

    struct Config {  // §5.1.4
        std::array<u8, 6> mac;
        le16 status, max_virtqueue_pairs, mtu;
        le32 speed;
        u8 duplex, rss_max_key_size;
        le16 rss_max_indirection_table_length;
        le32 supported_hash_types;
    };
    static_assert(sizeof(Config) == 24 && offsetof(Config, status) == 6 && offsetof(Config, mtu) == 10);
    static_assert(offsetof(Config, duplex) == 16 && offsetof(Config, supported_hash_types) == 20);
    static constexpr ConfigField<std::array<u8, 6>, offsetof(Config, mac), Feature::mac> kMac{};
    static constexpr ConfigField<u16, offsetof(Config, status), Feature::status> kStatus{};
    static constexpr ConfigField<u16, offsetof(Config, max_virtqueue_pairs), Feature::mq> kMaxVirtqueuePairs{};
    static constexpr ConfigField<u16, offsetof(Config, mtu), Feature::mtu> kMtu{};
    static constexpr ConfigField<u32, offsetof(Config, speed), Feature::speed_duplex> kSpeed{};
    static constexpr ConfigField<u8, offsetof(Config, duplex), Feature::speed_duplex> kDuplex{};
    // These exist when one of two features is there: a field for each.
    static constexpr ConfigField<u16, offsetof(Config, max_virtqueue_pairs), Feature::rss> kMaxVirtqueuePairsRss{};
    static constexpr ConfigField<u8, offsetof(Config, rss_max_key_size), Feature::rss> kRssMaxKeySize{};
    static constexpr ConfigField<u8, offsetof(Config, rss_max_key_size), Feature::hash_report> kHashMaxKeySize{};
    static constexpr ConfigField<u16, offsetof(Config, rss_max_indirection_table_length), Feature::rss> kRssMaxTable{};
    static constexpr ConfigField<u32, offsetof(Config, supported_hash_types), Feature::rss> kRssHashTypes{};
    static constexpr ConfigField<u32, offsetof(Config, supported_hash_types), Feature::hash_report> kHashTypes{};

    static constexpr u16 kStatusLinkUp = 1, kStatusAnnounce = 2;  // VIRTIO_NET_S_*
    static constexpr u32 kMostSpeed = 0x7fffffff;                 // beyond: unknown
    static constexpr u16 kLeastMtu = 68;                          // §5.1.4.2

    struct Header {  // §5.1.6: 12 bytes whenever VERSION_1 was negotiated, MRG_RXBUF or not
        u8 flags = 0, gso_type = 0;
        le16 hdr_len{}, gso_size{}, csum_start{}, csum_offset{}, num_buffers{};
    };
    static_assert(sizeof(Header) == 12 && alignof(Header) == 1 && offsetof(Header, csum_start) == 6);
    struct HashHeader : Header {  // with HASH_REPORT
        le32 hash_value{};
        le16 hash_report{}, padding{};
    };
    static_assert(sizeof(HashHeader) == 20);
    static constexpr u32 kMostGsoFrame = 65589;  // §5.1.6.3: without VLAN tag and device header
    static constexpr u32 kMostFrame = 1514;
    static constexpr u8 kHdrNeedsCsum = 1, kHdrDataValid = 2, kHdrRscInfo = 4;
    static constexpr u8 kGsoNone = 0, kGsoTcpv4 = 1, kGsoUdp = 3, kGsoTcpv6 = 4, kGsoUdpL4 = 5, kGsoEcn = 0x80;
};

}  // namespace ringlet::virtio
