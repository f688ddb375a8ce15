// The stack, sans-IO: packets and the time go in, packets and readiness come out. Ethernet, ARP, IPv4, ICMP, UDP, DHCP
// and TCP for one interface, plus loopback; IPv6 behind ipv6_layer.hpp when it is configured. No locks, no clock, no
// threads, no allocation per packet. Usage (net/pump.hpp is the real one): input() what arrived, poll(), output() while
// there is room, drain readiness. Context: the network monitor.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "net/arp.hpp"
#include "net/config.hpp"
#include "net/destinations.hpp"
#include "net/dhcp.hpp"
#include "net/groups.hpp"
#include "net/headers.hpp"
#include "net/ipv6_layer.hpp"
#include "net/packet_queue.hpp"
#include "net/ping.hpp"
#include "net/rate_limit.hpp"
#include "net/reassembly.hpp"
#include "net/routes.hpp"
#include "net/statistics.hpp"
#include "net/tcp/tcp.hpp"
#include "net/udp.hpp"

namespace ringlet::net {

class Stack {
public:
    static constexpr usize kReplies = 64;        ///< ICMP answers waiting for room
    static constexpr usize kLoopbackBurst = 64;  ///< packets to ourselves per output()
    static constexpr usize kOutputSteps = 256;   ///< packets per output() that yield no frame
    static constexpr u32 kIcmpErrorsPerSecond = 20;
    static constexpr u16 kLeastPathMtu = 552;  ///< nobody is believed who says less (RFC 1191 §3 allows 68)
    static constexpr Duration kAskAgain = Duration::from_s(10);  ///< for a fixed address that somebody else has
    static constexpr Duration kReassembly = Duration::from_s(30);

    Stack(const StackConfig& config, PacketPool& pool);
    Stack(const Stack&) = delete;
    Stack& operator=(const Stack&) = delete;

    /// Starts addressing (DHCP or the fixed address). Once.
    void start(Instant now);

    // --- the link's side ------------------------------------------------------------------------------------------
    /// One received frame, window = Ethernet header and what follows (padding allowed).
    void input(PacketBuffer frame, Instant now);
    /// Fires what is due; cheap when nothing is.
    void poll(Instant now);
    /// The next frame to send, or nothing. Called while the link has room: nothing is built that would be dropped.
    std::optional<PacketBuffer> output(Instant now);
    /// When poll() and output() must run at the latest.
    Instant deadline() const;
    /// Without carrier nothing is sent: TCP's segments stay unbuilt and their timers stop, all other frames are
    /// dropped, counted. When it comes back, the neighbours are forgotten and told where we are, DHCP asks whether its
    /// lease holds, and TCP goes on at once.
    void set_carrier(bool up, Instant now) {
        if (up != carrier_) carrier_changed(up, now);
    }
    /// The host moved our link (a migration): neighbours and switches must learn it.
    void announce(Instant now) {
        stirred_ = true;
        arp_.announce(ipv4_, now);
        if (ipv6_) ipv6_->announce(now);
    }
    /// What the link says its address is: when it is another one the neighbours are told. No unicast address: ignored.
    void set_mac(const MacAddr& mac, Instant now) {
        if (mac != config_.mac && mac != MacAddr{} && !mac.is_multicast()) mac_changed(mac, now);
    }
    /// No packet buffer was free where one was needed, or the link had no room for what there was: try again soon.
    void note_starved(bool starved, Instant now) {
        retry_at_ = starved ? now + Duration::from_ms(20) : Instant::never();
    }
    bool is_starved() const { return !retry_at_.is_never(); }

    // --- the sockets' side ----------------------------------------------------------------------------------------
    tcp::Tcp& tcp() { return tcp_; }
    const tcp::Tcp& tcp() const { return tcp_; }
    Udp& udp() { return udp_; }
    const Udp& udp() const { return udp_; }
    /// Chooses our address for `remote`: unreachable when there is none.
    Result<tcp::Handle> connect(Endpoint remote, Instant now);
    /// As Udp::send_to, with our address for `to`; unreachable, or invalid when the socket is of the other family.
    Result<> send_to(UdpHandle h, Endpoint to, Bytes payload, Instant now);
    /// True when output() would probably yield something.
    bool has_output() const;

    /// Starts an echo request of `bytes` payload; poll ping_result() with what it returns. no_space, too_large,
    /// unreachable.
    Result<u32> ping(const IpAddr& to, u16 bytes, Instant now);
    using PingResult = Pings::Reply;
    /// would_block while no answer has come; unreachable when ICMP says so. Anything but would_block ends the ping.
    Result<PingResult> ping_result(u32 ping) { return pings_.result(ping); }
    void ping_cancel(u32 ping) { pings_.cancel(ping); }
    /// Multicast groups of either family for sockets; joins nest. unreachable: no address of that family; no_space.
    Result<> join(const IpAddr& group, Instant now);
    void leave(const IpAddr& group, Instant now);
    /// The same for a socket, which gets what is sent to the group and its port; it leaves all when it is closed.
    Result<> join(UdpHandle h, const IpAddr& group, Instant now);
    Result<> leave(UdpHandle h, const IpAddr& group, Instant now);
    void close(UdpHandle h, Instant now);

    // --- configuration and information ----------------------------------------------------------------------------
    Result<> configure(Addressing addressing, const Ipv4Config& fixed, Instant now);
    /// Gives the lease back, or asks for a longer one. Nothing happens without one.
    void release(Instant now) {
        stirred_ = true;
        dhcp_.release(now);
    }
    void renew(Instant now) {
        stirred_ = true;
        dhcp_.renew(now);
    }
    InterfaceInfo interface() const;
    /// Who knows names and the time: what was configured, else what DHCP told. Views that hold until the next poll().
    struct Sources {
        FixedVector<IpAddr, NetworkHints::kServers> dns, ntp;
        std::string_view search;
        std::span<const HostEntry> hosts;
        bool ipv6 = false;  ///< we have an IPv6 address that others can answer
    };
    Sources sources() const;
    /// Changes whenever sources() may say something else.
    u32 sources_version() const { return sources_version_; }
    /// Is an address, and with it perhaps a name server, still to be expected before anybody can be asked?
    bool is_configuring() const;
    const Ipv4Config& ipv4() const { return ipv4_; }
    /// Configured and DHCP's, best first; our own network and the gateway are not among them.
    const Routes& routes() const { return routes_; }
    Result<> add_route(const RouteInfo& r) { return routes_.add(r); }
    Result<> remove_route(Ipv4Addr destination, u8 prefix) { return routes_.remove(destination, prefix); }
    const Statistics& statistics() const { return stats_; }
    const Arp& arp() const { return arp_; }
    const Ipv6Layer* ipv6() const { return ipv6_.get(); }
    void for_each_neighbour(FunctionRef<void(const NeighbourInfo&)> visit) const;
    PacketPool& pool() { return pool_; }
    /// True once after somebody else was found to use an address of ours: interface() has who.
    bool take_conflict_news() { return arp_.take_conflict_news(); }
    /// True once after a ping ended or the address changed: wake whoever waits for such a thing.
    bool take_change() {
        sources_version_ += changed_;
        return std::exchange(changed_, false);
    }
    /// An invariant for tests: nobody has something to say, or a timer, that output() and deadline() do not know of.
    bool others_are_known() const { return stirred_ || (!others_have_output() && others_deadline() >= others_due_); }
    /// Packets held anywhere in the stack: pool.free() + this + what the link holds == pool.total().
    usize packets_held() const;

private:
    struct Route {
        Ipv4Addr next_hop, source;
        bool local;
    };
    /// May a packet be larger than its path and go out in fragments? Then it has no DF, and a complete checksum.
    enum class Cut : u8 { no, allowed };

    // stack.cpp
    void poll_others(Instant now);
    Instant others_deadline() const;
    /// Uses `next` from now on, and tells the neighbours at `tell_at`.
    void apply(const Ipv4Config& next, Instant tell_at);
    void use_fixed(Instant now);
    void drive_fixed(Instant now);
    void leave_fixed();
    void use_mtu(u16 told);
    void drive_dhcp(Instant now);
    void addressing_changed(Instant now);
    void carrier_changed(bool up, Instant now);
    void mac_changed(const MacAddr& mac, Instant now);
    /// IP bytes that reach `destination` in one piece, as far as is known.
    u16 path_mtu(Ipv4Addr destination, Instant now) const;
    bool is_ours(Ipv4Addr a) const { return a.is_loopback() || (a == ipv4_.address && !a.is_unspecified()); }
    // stack_input.cpp
    void ip_input(PacketBuffer p, Origin origin, Instant now);
    bool listens_to(const MacAddr& group) const;
    void ipv4_input(PacketBuffer p, Origin origin, Instant now);
    void fragment_input(PacketBuffer p, const Ipv4Header& ip, Origin origin, Instant now);
    void ipv4_deliver(PacketBuffer p, const Ipv4Header& ip, Origin origin, Instant now);
    void udp_input(PacketBuffer p, const Ipv4Header& ip, Origin origin, Instant now);
    bool source_is_plausible(Ipv4Addr source, Origin origin) const;
    bool has_source_route(Bytes options) const;
    // stack_icmp.cpp
    void icmp_input(PacketBuffer p, const Ipv4Header& ip, Origin origin, Instant now);
    void echo_reply(PacketBuffer p, const Ipv4Header& ip, Origin origin);
    void echo_answered(const PacketBuffer& p, const IcmpHeader& h, const Ipv4Header& ip, Instant now);
    void icmp_error_input(Bytes quoted, const IcmpHeader& h, Instant now);
    void learn_path_mtu(const Endpoint& local, const Endpoint& remote, u16 told, u16 sent, Instant now);
    void send_icmp_error(PacketBuffer offender, u8 type, u8 code, Origin origin, Instant now);
    void ping_output(std::optional<PacketBuffer>& frame, Instant now);
    // stack_igmp.cpp
    void igmp_input(Bytes message, const Ipv4Header& ip, Instant now);
    std::optional<PacketBuffer> igmp_output(Instant now);
    // stack_output.cpp
    std::optional<Route> route(Ipv4Addr destination) const;
    bool next_packet(std::optional<PacketBuffer>& frame, Instant now);
    bool others_next_packet(std::optional<PacketBuffer>& frame, Instant now);
    bool others_have_output() const;
    /// A frame to the neighbour `to`, or the first of several: the others are in fragments_.
    std::optional<PacketBuffer> finish_frame(PacketBuffer p, const MacAddr& to, Instant now);
    /// Prepends the IPv4 header; nothing, counted, when there is no route or it is too large.
    bool add_ipv4(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, IpProtocol protocol, Cut cut = Cut::no);
    /// Completes or arranges the UDP checksum.
    void finish_udp(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, Cut cut);
    /// Hands an IP packet on its way: a frame, or nothing (waiting for ARP, looped back, dropped).
    std::optional<PacketBuffer> send(PacketBuffer p, Ipv4Addr destination, Instant now);
    std::optional<PacketBuffer> dhcp_output(Instant now);
    void udp_output(Udp::Outgoing out, std::optional<PacketBuffer>& frame, Instant now);
    std::optional<PacketBuffer> cut(PacketBuffer p, const MacAddr& to, usize mtu);
    u16 fragment_id(Ipv4Addr destination);
    void push_ipv4(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, IpProtocol protocol, u16 id, u16 fragment);

    StackConfig config_;
    PacketPool& pool_;
    Statistics stats_;
    SipKey key_;
    Arp arp_;
    Dhcp dhcp_;
    Udp udp_;
    tcp::Tcp tcp_;
    Ipv4Config ipv4_;
    Routes routes_;
    PacketQueue replies_;    // ICMP answers: window = IP packet, routed when pulled
    PacketQueue loopback_;   // window = IP packet to one of our addresses
    PacketQueue fragments_;  // of what is going out: complete frames
    Pings pings_;
    Reassembly reassembly_;
    Destinations paths_;  // narrower ones, of IPv4 (RFC 1191); TCP keeps its own
    Groups groups_;       // of IPv4
    RateLimit icmp_errors_{kIcmpErrorsPerSecond};
    u16 fragment_id_ = 0;
    u16 path_mtu_;  // what IPv4 packets may be: as the link says, or less when DHCP says so
    u32 sources_version_ = 1;
    bool carrier_ = true, changed_ = false, fallback_ = false;
    bool output_cut_ = false;  // output() stopped before everybody was asked
    // TCP and UDP are asked in every round; all others only after something reached one of them, until they have
    // nothing to say, and when the earliest of their timers is due. Whoever calls one of them sets stirred_.
    bool stirred_ = true;
    Instant others_due_{};  // while !stirred_
    bool probing_fixed_ = false, fixed_refused_ = false;
    Instant fixed_at_ = Instant::never(), retry_at_ = Instant::never();
    std::unique_ptr<Ipv6Layer> ipv6_;  // last: it refers to the others
};

}  // namespace ringlet::net
