// Wire formats of Ethernet, ARP (RFC 826), IPv4 (RFC 791), IPv6 (RFC 8200), ICMP (RFC 792), ICMPv6 (RFC 4443),
// neighbour discovery (RFC 4861), MLDv2 (RFC 3810), UDP (RFC 768). Overlays: alignment 1. Context: any.
#pragma once

#include "lib/endian.hpp"
#include "net/address.hpp"

namespace ringlet::net {

enum class EtherType : u16 { ipv4 = 0x0800, arp = 0x0806, vlan = 0x8100, ipv6 = 0x86dd, service_vlan = 0x88a8 };
enum class IpProtocol : u8 {
    hop_by_hop = 0,
    icmp = 1,
    igmp = 2,
    tcp = 6,
    udp = 17,
    routing = 43,
    fragment = 44,
    icmpv6 = 58,
    none = 59,
    destination_options = 60
};

struct EthernetHeader {
    MacAddr destination, source;
    be16 type;
};
static_assert(sizeof(EthernetHeader) == 14 && alignof(EthernetHeader) == 1);

struct ArpPacket {
    be16 htype, ptype;
    u8 hlen, plen;
    be16 oper;
    MacAddr sha;
    be32 spa;
    MacAddr tha;
    be32 tpa;
    static constexpr u16 kRequest = 1, kReply = 2;
};
static_assert(sizeof(ArpPacket) == 28 && alignof(ArpPacket) == 1);

struct Ipv4Header {
    u8 version_ihl;
    u8 tos;
    be16 total_length;
    be16 id;
    be16 flags_fragment;
    u8 ttl;
    u8 protocol;
    be16 checksum;
    be32 source, destination;
    static constexpr u16 kDontFragment = 0x4000, kMoreFragments = 0x2000, kOffsetMask = 0x1fff;
    constexpr usize header_bytes() const { return usize(version_ihl & 15) * 4; }
};
static_assert(sizeof(Ipv4Header) == 20 && alignof(Ipv4Header) == 1);

/// What a frame with IPv4 begins with.
struct FrameHeaders {
    EthernetHeader ethernet;
    Ipv4Header ip;
};
static_assert(sizeof(FrameHeaders) == 34 && alignof(FrameHeaders) == 1);

struct IcmpHeader {
    u8 type, code;
    be16 checksum;
    be16 id, sequence;  ///< echo; for fragmentation needed `sequence` is the next hop's MTU (RFC 1191)
    static constexpr u8 kEchoReply = 0, kUnreachable = 3, kEcho = 8, kTimeExceeded = 11;
    static constexpr u8 kNetwork = 0, kHost = 1, kProtocol = 2, kPort = 3, kFragmentationNeeded = 4;
};
static_assert(sizeof(IcmpHeader) == 8 && alignof(IcmpHeader) == 1);

/// An IPv6 address on the wire.
using Ipv6Bytes = std::array<std::byte, 16>;

struct Ipv6Header {
    be32 version_class_flow;
    be16 payload_length;
    u8 next_header;
    u8 hop_limit;
    Ipv6Bytes source, destination;
};
static_assert(sizeof(Ipv6Header) == 40 && alignof(Ipv6Header) == 1);

struct Ipv6FragmentHeader {
    u8 next_header, reserved;
    be16 offset_more;  ///< offset in units of 8 bytes in the upper 13 bits; the lowest: more follow
    be32 id;
};
static_assert(sizeof(Ipv6FragmentHeader) == 8 && alignof(Ipv6FragmentHeader) == 1);

struct Icmpv6Header {
    u8 type, code;
    be16 checksum;
    be32 word;  ///< echo: id and sequence; packet too big: the MTU; parameter problem: the pointer; NA: flags
    static constexpr u8 kUnreachable = 1, kPacketTooBig = 2, kTimeExceeded = 3, kParameterProblem = 4;
    static constexpr u8 kEcho = 128, kEchoReply = 129, kMldQuery = 130, kMldReport = 131, kMldDone = 132;
    static constexpr u8 kRouterSolicitation = 133, kRouterAdvertisement = 134, kNeighbourSolicitation = 135;
    static constexpr u8 kNeighbourAdvertisement = 136, kRedirect = 137, kMld2Report = 143;
    static constexpr u8 kProhibited = 1, kNoRoute = 0, kAddress = 3, kPort = 4;  // of unreachable
    static constexpr u8 kErroneousField = 0, kUnknownNextHeader = 1, kUnknownOption = 2, kIncompleteChain = 3;
    constexpr bool is_error() const { return type < 128; }
};
static_assert(sizeof(Icmpv6Header) == 8 && alignof(Icmpv6Header) == 1);

/// Neighbour solicitation and advertisement (RFC 4861 §4.3, §4.4); options follow.
struct NeighbourMessage {
    Icmpv6Header icmp;
    Ipv6Bytes target;
    static constexpr u32 kRouter = 0x8000'0000, kSolicited = 0x4000'0000, kOverride = 0x2000'0000;
};
static_assert(sizeof(NeighbourMessage) == 24 && alignof(NeighbourMessage) == 1);

/// RFC 4861 §4.2; options follow.
struct RouterAdvertisement {
    u8 type, code;
    be16 checksum;
    u8 hop_limit, flags;  ///< flags: managed, other, and two bits of preference (RFC 4191 §2.2)
    be16 lifetime;        ///< seconds; 0: not a default router
    be32 reachable_time, retransmit_timer;
};
static_assert(sizeof(RouterAdvertisement) == 16 && alignof(RouterAdvertisement) == 1);

/// RFC 4861 §4.5; options follow.
struct RedirectMessage {
    Icmpv6Header icmp;
    Ipv6Bytes target, destination;
};
static_assert(sizeof(RedirectMessage) == 40 && alignof(RedirectMessage) == 1);

namespace nd_option {
inline constexpr u8 source_address = 1, target_address = 2, prefix = 3, redirected = 4, mtu = 5, route = 24, dns = 25;
}

/// RFC 4861 §4.6.2.
struct PrefixOption {
    u8 type, length, prefix_length, flags;
    be32 valid, preferred, reserved;
    Ipv6Bytes prefix;
    static constexpr u8 kOnLink = 0x80, kAutonomous = 0x40;
};
static_assert(sizeof(PrefixOption) == 32 && alignof(PrefixOption) == 1);

/// RFC 4191 §2.3; 0, 8 or 16 bytes of prefix follow.
struct RouteOption {
    u8 type, length, prefix_length, flags;  ///< flags: two bits of preference, as in RouterAdvertisement
    be32 lifetime;
};
static_assert(sizeof(RouteOption) == 8 && alignof(RouteOption) == 1);

struct UdpHeader {
    be16 source_port, destination_port, length, checksum;
};
static_assert(sizeof(UdpHeader) == 8 && alignof(UdpHeader) == 1);

}  // namespace ringlet::net
