// The seam between the stack and IPv6: what the stack asks of it. An interface, so that an image whose appliance does
// not name IPv6 has none of its code: only make_ipv6() names the class behind it. IPv4 pays nothing for it, an IPv6
// packet one indirect call. Context: the network monitor.
#pragma once

#include <optional>

#include "lib/function_ref.hpp"
#include "lib/result.hpp"
#include "lib/siphash.hpp"
#include "net/config.hpp"
#include "net/headers.hpp"
#include "net/packet_queue.hpp"
#include "net/ping.hpp"
#include "net/reassembly.hpp"
#include "net/statistics.hpp"
#include "net/tcp/tcp.hpp"
#include "net/udp.hpp"

namespace ringlet::net {

/// How a packet came: to our own hardware address, to a group's or everybody's, or from ourselves.
enum class Origin : u8 { wire, wire_broadcast, loopback };

class Interfaces;

/// What the families share, and which interface this is for. All of it belongs to the stack and outlives the family.
struct StackParts {
    const InterfaceConfig& config;
    u8 index;
    const Interfaces& interfaces;
    PacketPool& pool;
    Statistics& stats;
    Udp& udp;
    tcp::Tcp& tcp;
    Pings& pings;
    Reassembly& reassembly;
    PacketQueue& loopback;  ///< window = IP packet to one of our addresses
    SipKey key;
    bool& changed;  ///< set it when somebody may wait for what happened
};

class Ipv6Layer {
public:
    Ipv6Layer() = default;
    Ipv6Layer(const Ipv6Layer&) = delete;
    Ipv6Layer& operator=(const Ipv6Layer&) = delete;
    virtual ~Ipv6Layer() = default;

    virtual void start(Instant now) = 0;
    virtual void stop() = 0;
    /// The link is back, or it is another one.
    virtual void restart(Instant now) = 0;
    /// The host moved our link: say where we are.
    virtual void announce(Instant now) = 0;

    /// Is a frame to this multicast hardware address of interest?
    virtual bool listens_to(const MacAddr& group) const = 0;
    /// One packet, window = IPv6 header and what follows (padding allowed).
    virtual void input(PacketBuffer packet, Origin origin, Instant now) = 0;
    virtual void poll(Instant now) = 0;
    virtual Instant deadline() const = 0;
    /// Frames of the family's own: resolved neighbours, NDP, MLD, ICMP. As Stack::next_packet.
    virtual bool next_frame(std::optional<PacketBuffer>& frame, Instant now) = 0;
    virtual bool has_output() const = 0;
    /// Puts the header on a transport's packet and sends it on its way: a frame, or nothing (waiting for a neighbour,
    /// looped back, dropped). An unspecified `source` is chosen.
    virtual std::optional<PacketBuffer> send(PacketBuffer packet, const IpAddr& source, const IpAddr& destination,
                                             IpProtocol protocol, Instant now) = 0;
    /// One UDP datagram without its checksum; larger than the path it goes out in fragments.
    virtual std::optional<PacketBuffer> send_udp(PacketBuffer packet, const IpAddr& source, const IpAddr& destination,
                                                 MulticastLoop loop, Instant now) = 0;
    /// One ICMPv6 echo request without type and checksum; false: unreachable.
    virtual bool send_echo(PacketBuffer packet, const IpAddr& destination, std::optional<PacketBuffer>& frame,
                           Instant now) = 0;
    /// How many bits of `destination` the route to it names, 0 for a default router's; nothing: there is none. For
    /// unicast addresses.
    virtual std::optional<u8> route_length(const IpAddr& destination, Instant now) const = 0;
    /// Our address to talk to `destination`; nothing: unreachable.
    virtual std::optional<IpAddr> source_for(const IpAddr& destination, Instant now) const = 0;
    /// IP bytes that reach `destination` in one piece.
    virtual u16 path_mtu(const IpAddr& destination, Instant now) const = 0;
    virtual bool is_ours(const IpAddr& a) const = 0;
    /// Joins and leaves for sockets. False: no room.
    virtual bool join(const IpAddr& group, Instant now) = 0;
    virtual void leave(const IpAddr& group, Instant now) = 0;

    /// The first fragment of a datagram that never became whole.
    virtual void reassembly_expired(PacketBuffer first, Instant now) = 0;
    virtual void describe(InterfaceInfo& to) const = 0;
    virtual void for_each_neighbour(FunctionRef<void(const NeighbourInfo&)> visit) const = 0;
    virtual usize packets_held() const = 0;
};

/// IPv6 itself (net/ipv6.cpp), for InterfaceConfig::ipv6; nullptr when memory is out.
Ipv6Layer* make_ipv6(const StackParts& parts);

}  // namespace ringlet::net
