// IPv6 (RFC 8200) for one interface: packets in and out, ICMPv6 (RFC 4443), and the frames of neighbour discovery and
// group membership, whose knowledge is in Ndp, Slaac and Groups. ipv6.cpp: addresses and time; ipv6_input.cpp: up;
// ipv6_output.cpp: down; ipv6_icmp.cpp: ICMPv6; ipv6_discovery.cpp: its neighbour discovery and MLD messages.
// Context: the network monitor.
#pragma once

#include "net/destinations.hpp"
#include "net/groups.hpp"
#include "net/ipv6_extensions.hpp"
#include "net/ipv6_layer.hpp"
#include "net/ndp.hpp"
#include "net/rate_limit.hpp"
#include "net/slaac.hpp"

namespace ringlet::net {

inline constexpr u16 kLeastIpv6Mtu = 1280;  ///< RFC 8200 §5

class Ipv6 final : public Ipv6Layer {
public:
    static constexpr u32 kErrorsPerSecond = 20;
    static constexpr usize kReplies = 64;                          ///< ICMP answers and NDP messages waiting for room
    static constexpr Duration kReassembly = Duration::from_s(60);  ///< RFC 8200 §4.5

    explicit Ipv6(const StackParts& parts);

    void start(Instant now) override;
    void stop() override;
    void restart(Instant now) override;
    void announce(Instant now) override;
    bool listens_to(const MacAddr& group) const override;
    void input(PacketBuffer packet, Origin origin, Instant now) override;
    void poll(Instant now) override;
    Instant deadline() const override;
    bool next_frame(std::optional<PacketBuffer>& frame, Instant now) override;
    bool has_output() const override;
    std::optional<PacketBuffer> send(PacketBuffer packet, const IpAddr& source, const IpAddr& destination,
                                     IpProtocol protocol, Instant now) override;
    std::optional<PacketBuffer> send_udp(PacketBuffer packet, const IpAddr& source, const IpAddr& destination,
                                         MulticastLoop loop, Instant now) override;
    bool send_echo(PacketBuffer packet, const IpAddr& destination, std::optional<PacketBuffer>& frame,
                   Instant now) override;
    std::optional<IpAddr> source_for(const IpAddr& destination, Instant now) const override;
    std::optional<u8> route_length(const IpAddr& destination, Instant now) const override {
        return slaac_.route_length(destination, ndp_, now);
    }
    u16 path_mtu(const IpAddr& destination, Instant now) const override;
    bool is_ours(const IpAddr& a) const override { return a.is_loopback() || slaac_.is_ours(a); }
    bool join(const IpAddr& group, Instant now) override { return groups_.join(group, now); }
    void leave(const IpAddr& group, Instant now) override { groups_.leave(group, now); }
    void reassembly_expired(PacketBuffer first, Instant now) override;
    void describe(InterfaceInfo& to) const override { slaac_.describe(to.ipv6); }
    void for_each_neighbour(FunctionRef<void(const NeighbourInfo&)> visit) const override { ndp_.for_each(visit); }
    usize packets_held() const override {
        return ndp_.packets_held() + frames_.buffers() + replies_.buffers() + fragments_.buffers();
    }

private:
    /// A received packet whose IPv6 header has been checked; its window is the packet.
    struct Received {
        IpAddr source, destination;
        u8 hop_limit;
        Origin origin;
    };
    // ipv6.cpp
    void update_groups(Instant now);
    // ipv6_input.cpp
    void deliver(PacketBuffer p, const Received& r, bool whole, Instant now);
    void fragment_input(PacketBuffer p, const Received& r, const ExtensionChain& at, Instant now);
    void upper_layer(PacketBuffer p, const Received& r, const ExtensionChain& at, Instant now);
    bool source_is_plausible(const IpAddr& source, Origin origin) const;
    // ipv6_icmp.cpp
    void icmp_input(PacketBuffer p, const Received& r, Instant now);
    void echo_reply(PacketBuffer p, const Received& r);
    void error_input(Bytes message, Instant now);
    void send_error(PacketBuffer offender, u8 type, u8 code, u32 word, Instant now);
    // ipv6_discovery.cpp
    void discovery_input(Bytes message, const Received& r, Instant now);
    void on_solicitation(Bytes message, const Received& r, Instant now);
    void on_advertisement(Bytes message, const Received& r, Instant now);
    void on_router_advertisement(Bytes message, const Received& r, Instant now);
    void on_redirect(Bytes message, const Received& r, Instant now);
    void on_mld_query(Bytes message, const Received& r, Instant now);
    std::optional<MacAddr> address_option(Bytes message, usize fixed, u8 type) const;
    void queue_advertisement(const IpAddr& target, const IpAddr& to, std::optional<MacAddr> mac, u32 flags);
    std::optional<PacketBuffer> discovery_output(Instant now);
    std::optional<PacketBuffer> build_solicitation(const IpAddr& target, std::optional<MacAddr> to);
    std::optional<PacketBuffer> build_probe(const IpAddr& target);
    std::optional<PacketBuffer> build_router_solicitation();
    std::optional<PacketBuffer> build_mld_report(const Groups::Report& report);
    // ipv6_output.cpp
    void push_header(PacketBuffer& p, const IpAddr& source, const IpAddr& destination, IpProtocol protocol,
                     u8 hop_limit);
    std::optional<PacketBuffer> route(PacketBuffer p, const IpAddr& destination, Instant now);
    std::optional<PacketBuffer> frame_to(PacketBuffer p, const MacAddr& to);
    void complete_icmp(PacketBuffer& p, const IpAddr& source, const IpAddr& destination);
    std::optional<PacketBuffer> finish_frame(PacketBuffer p, const MacAddr& to, Instant now);
    std::optional<PacketBuffer> cut(PacketBuffer p, const MacAddr& to, usize mtu);
    bool source_may_send(const IpAddr& source, const IpAddr& destination) const;
    bool is_anybodys(const IpAddr& a) const;
    u16 scope() const { return static_cast<u16>(parts_.index + 1); }

    StackParts parts_;
    Statistics& stats_;
    Ndp ndp_;
    Slaac slaac_;
    Groups groups_;
    Destinations destinations_;
    RateLimit errors_{kErrorsPerSecond};
    PacketQueue frames_;     // complete
    PacketQueue replies_;    // window = IPv6 packet, routed when pulled
    PacketQueue fragments_;  // of what is going out: complete frames
    u32 fragment_id_;
    std::array<IpAddr, Slaac::kAddresses> node_groups_{};  // the solicited-node groups that are joined
    bool running_ = false;
};

}  // namespace ringlet::net
