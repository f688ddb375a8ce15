// The network device's control queue, virtio 1.3 §5.1.6.5: constants and layouts only. Checked, never executed.
#pragma once

#include "lib/endian.hpp"

namespace ringlet::virtio {

struct NetControlSpec {
    struct Header {  // virtio_net_ctrl, what precedes the data; an ack byte and perhaps a result follow it
        u8 class_id = 0, command = 0;
    };
    static_assert(sizeof(Header) == 2);
    static constexpr u8 kOk = 0, kErr = 1;

    static constexpr u8 kRx = 0;  // one byte: on or off
    static constexpr u8 kRxPromisc = 0, kRxAllMulti = 1, kRxAllUni = 2, kRxNoMulti = 3, kRxNoUni = 4, kRxNoBcast = 5;

    static constexpr u8 kMac = 1;
    static constexpr u8 kMacTableSet = 0, kMacAddrSet = 1;

    static constexpr u8 kVlan = 2;  // le16
    static constexpr u8 kVlanAdd = 0, kVlanDel = 1;

    static constexpr u8 kAnnounce = 3;
    static constexpr u8 kAnnounceAck = 0;

    static constexpr u8 kMq = 4;
    static constexpr u8 kMqPairsSet = 0, kMqRssConfig = 1, kMqHashConfig = 2;
    static constexpr u16 kLeastPairs = 1, kMostPairs = 0x8000;

    static constexpr u8 kGuestOffloads = 5;  // le64, feature bits
    static constexpr u8 kGuestOffloadsSet = 0;

    static constexpr u8 kNotfCoal = 6;
    static constexpr u8 kCoalTxSet = 0, kCoalRxSet = 1, kCoalVqSet = 2, kCoalVqGet = 3;
    struct Coalescing {
        le32 max_packets, max_usecs;
    };
    static_assert(sizeof(Coalescing) == 8);
    struct QueueCoalescing {
        le16 vq_index, reserved;
        Coalescing coal;
    };
    static_assert(sizeof(QueueCoalescing) == 12);

    // §5.1.6.4.3.1
    static constexpr u32 kHashIpv4 = 1, kHashTcpv4 = 2, kHashUdpv4 = 4, kHashIpv6 = 8, kHashTcpv6 = 16, kHashUdpv6 = 32;
    static constexpr u16 kHashKeyBytes = 40;    // what Toeplitz needs; rss_max_key_size is at least this
    static constexpr u16 kLeastRssTable = 128;  // rss_max_indirection_table_length is at least this
};

}  // namespace ringlet::virtio
