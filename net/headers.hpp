// Wire formats of Ethernet, ARP (RFC 826), IPv4 (RFC 791), ICMP (RFC 792), UDP (RFC 768). Overlays: alignment 1.
// Context: any.
#pragma once

#include "lib/endian.hpp"
#include "net/address.hpp"

namespace ringlet::net {

enum class EtherType : u16 { ipv4 = 0x0800, arp = 0x0806, vlan = 0x8100, ipv6 = 0x86dd, service_vlan = 0x88a8 };
enum class IpProtocol : u8 { icmp = 1, tcp = 6, udp = 17 };

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

struct IcmpHeader {
    u8 type, code;
    be16 checksum;
    be16 id, sequence;  ///< echo; for fragmentation needed `sequence` is the next hop's MTU (RFC 1191)
    static constexpr u8 kEchoReply = 0, kUnreachable = 3, kEcho = 8, kTimeExceeded = 11;
    static constexpr u8 kNetwork = 0, kHost = 1, kProtocol = 2, kPort = 3, kFragmentationNeeded = 4;
};
static_assert(sizeof(IcmpHeader) == 8 && alignof(IcmpHeader) == 1);

struct UdpHeader {
    be16 source_port, destination_port, length, checksum;
};
static_assert(sizeof(UdpHeader) == 8 && alignof(UdpHeader) == 1);

}  // namespace ringlet::net
