// The stack, sans-IO: packets and the time go in, packets and readiness come out. Ethernet, ARP, IPv4, ICMP, UDP, DHCP
// and TCP for a few interfaces, plus loopback; IPv6 behind ipv6_layer.hpp when it is configured. No locks, no clock, no
// threads, no allocation per packet. Usage (net/pump.hpp is the real one): input() what arrived, poll(), output() while
// there is room, drain readiness. An address of ours stands for its interface, both ways (the strong model of RFC 1122
// §3.3.4.2, docs/ip.md); nothing is forwarded. Interfaces go by number, from 0. Context: the network monitor.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "net/checksum.hpp"
#include "net/config.hpp"
#include "net/destinations.hpp"
#include "net/headers.hpp"
#include "net/interface.hpp"
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
    static constexpr usize kFrames = 64;         ///< that wait for a link without room while others have some
    static constexpr u32 kIcmpErrorsPerSecond = 20;
    static constexpr u16 kLeastPathMtu = 552;  ///< nobody is believed who says less (RFC 1191 §3 allows 68)
    static constexpr Duration kAskAgain = Duration::from_s(10);  ///< for a fixed address that somebody else has
    static constexpr Duration kReassembly = Duration::from_s(30);

    /// `more`: the second interface and those behind it, at most kMostInterfaces - 1; what there is no memory for is
    /// left out. TCP uses what all links offer, and segments that the narrowest takes.
    Stack(const StackConfig& config, PacketPool& pool, std::span<const InterfaceConfig> more = {});
    Stack(const Stack&) = delete;
    Stack& operator=(const Stack&) = delete;

    /// Starts addressing (DHCP or the fixed address) of all. Once.
    void start(Instant now);

    // --- the link's side ------------------------------------------------------------------------------------------
    /// One received frame, window = Ethernet header and what follows (padding allowed).
    void input(PacketBuffer frame, Instant now, u8 interface = 0);
    /// Fires what is due; cheap when nothing is.
    void poll(Instant now) {
        if (now >= tcp_.deadline()) tcp_.poll(now);
        if (stirred_ || now >= others_due_) poll_others(now);
    }
    /// The next frame to send, or nothing, when `room` (a bit per interface) is not empty: nothing is built that would
    /// be dropped. `to` becomes the interface that it is for, one of them.
    std::optional<PacketBuffer> output(Instant now, u32 room, u8& to) {
        output_cut_ = false;
        return has_nothing(room) ? std::nullopt : next_frame(now, room, to);
    }
    std::optional<PacketBuffer> output(Instant now) {
        u8 first;
        return output(now, 1, first);
    }
    /// When poll() and output() must run at the latest.
    Instant deadline() const {
        if (!loopback_.empty() || output_cut_) return Instant{};
        const Instant tcp = tcp_.deadline(), others = stirred_ ? others_deadline() : others_due_;
        const Instant due = tcp < retry_at_ ? tcp : retry_at_;  // values: std::min() would have them in memory
        return due < others ? due : others;
    }
    /// How many have come and gone, on all interfaces.
    u64 frames() const { return stats_.frames_in + stats_.frames_out; }
    /// Without carrier nothing is sent: TCP's segments stay unbuilt and their timers stop, all other frames are
    /// dropped, counted; routes by another interface come first. When it comes back, the neighbours are forgotten and
    /// told where we are, DHCP asks whether its lease holds, and TCP goes on at once.
    void set_carrier(bool up, Instant now, u8 interface = 0) {
        if (up != interfaces_[interface].carrier) carrier_changed(interfaces_[interface], up, now);
    }
    bool carrier(u8 interface) const { return interfaces_[interface].carrier; }
    /// The host moved our link (a migration): neighbours and switches must learn it.
    void announce(Instant now, u8 interface = 0);
    /// What the link says its address is: when it is another one the neighbours are told. No unicast address: ignored.
    void set_mac(const MacAddr& mac, Instant now, u8 interface = 0) {
        Interface& i = interfaces_[interface];
        if (mac != i.config.mac && mac != MacAddr{} && !mac.is_multicast()) mac_changed(i, mac, now);
    }
    /// No packet buffer was free where one was needed, or the link had no room for what there was: try again soon.
    void note_starved(bool starved, Instant now) {
        retry_at_ = starved ? now + Duration::from_ms(20) : Instant::never();
    }
    bool is_starved() const { return !retry_at_.is_never(); }
    /// Nobody has anything to say, or waits for being able to.
    bool is_quiet() const { return has_nothing(~u32{0}) && !output_cut_ && !is_starved(); }

    // --- the sockets' side ----------------------------------------------------------------------------------------
    tcp::Tcp& tcp() { return tcp_; }
    const tcp::Tcp& tcp() const { return tcp_; }
    Udp& udp() { return udp_; }
    const Udp& udp() const { return udp_; }
    /// Is it one of ours, on whichever interface?
    bool has_address(const IpAddr& a) const;
    /// Chooses our address for `remote`: unreachable when there is none.
    /// `local_port`: 0 chooses one.
    Result<tcp::Handle> connect(Endpoint remote, Instant now, u16 local_port = 0);
    /// As Udp::send_to, with our address for `to`; unreachable, or invalid when the socket is of the other family.
    Result<> send_to(UdpHandle h, Endpoint to, Bytes payload, Instant now);
    /// True when output() would probably yield something.
    bool has_output() const;

    /// Starts an echo request of `bytes` payload; poll ping_result() with what it returns. no_space, too_large,
    /// unreachable.
    Result<u32> ping(const IpAddr& to, u16 bytes, Instant now, u16 scope = 0);
    using PingResult = Pings::Reply;
    /// would_block while no answer has come; unreachable when ICMP says so. Anything but would_block ends the ping.
    Result<PingResult> ping_result(u32 ping) { return pings_.result(ping); }
    void ping_cancel(u32 ping) { pings_.cancel(ping); }
    /// Multicast groups of either family for sockets, on all interfaces; joins nest. unreachable: no address of that
    /// family; no_space.
    Result<> join(const IpAddr& group, Instant now);
    void leave(const IpAddr& group, Instant now);
    /// The same for a socket, which gets what is sent to the group and its port; it leaves all when it is closed.
    Result<> join(UdpHandle h, const IpAddr& group, Instant now);
    Result<> leave(UdpHandle h, const IpAddr& group, Instant now);
    void close(UdpHandle h, Instant now);

    // --- configuration and information ----------------------------------------------------------------------------
    Result<> configure(Addressing addressing, const Ipv4Config& fixed, Instant now, u8 interface = 0);
    /// Gives the lease back, or asks for a longer one. Nothing happens without one.
    void release(Instant now, u8 interface = 0) {
        stirred_ = true;
        interfaces_[interface].dhcp.release(now);
    }
    void renew(Instant now, u8 interface = 0) {
        stirred_ = true;
        interfaces_[interface].dhcp.renew(now);
    }
    InterfaceInfo interface(u8 interface = 0) const;
    u8 interface_count() const { return static_cast<u8>(interfaces_.count()); }
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
    const Ipv4Config& ipv4(u8 interface = 0) const { return interfaces_[interface].ipv4; }
    /// Of the first interface that has an address; nullptr: none has.
    const Ipv4Config* any_ipv4() const;
    /// Best first.
    const Routes& routes() const { return routes_; }
    /// invalid, exists, no_space.
    Result<> add_route(const RouteInfo& r) {
        forget_route();
        return r.interface < interfaces_.count() ? routes_.add(r) : fail(Error::invalid);
    }
    Result<> remove_route(Ipv4Addr destination, u8 prefix) {
        forget_route();
        return routes_.remove(destination, prefix);
    }
    const Statistics& statistics() const { return stats_; }
    const Arp& arp(u8 interface = 0) const { return interfaces_[interface].arp; }
    const Ipv6Layer* ipv6(u8 interface = 0) const { return interfaces_[interface].ipv6.get(); }
    void for_each_neighbour(FunctionRef<void(const NeighbourInfo&)> visit) const;
    PacketPool& pool() { return pool_; }
    /// True once after somebody else was found to use an address of ours: interface() has who.
    bool take_conflict_news(u8 interface = 0) { return interfaces_[interface].arp.take_conflict_news(); }
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
        Interface* by;
        Ipv4Addr next_hop, source;
        bool local;
    };
    /// The last answer of route(): every packet is asked about twice, and the next is often for the same neighbour.
    struct RecentRoute {
        bool known = false;
        bool plain = false;        ///< one host elsewhere: a neighbour of its own
        bool honest = false;       ///< plain, `source` is the address of route.by, and such packets may come from there
        bool has_headers = false;  ///< `headers` are those of TCP segments to there
        Ipv4Addr destination, source;
        Route route;
        FrameHeaders headers{};
        InternetSum headers_sum{};  ///< of headers.ip
        /// Does what says it is from there, and came by `i`, need no further look at its addresses?
        bool is_from(Ipv4Addr from, Ipv4Addr to, const Interface& i) const {
            return honest && answers(from, to) && route.by == &i;
        }
        bool answers(Ipv4Addr to, Ipv4Addr from) const { return known && destination == to && source == from; }
    };
    mutable RecentRoute recent_;
    /// May a packet be larger than its path and go out in fragments? Then it has no DF, and a complete checksum.
    enum class Cut : u8 { no, allowed };

    // stack.cpp
    void make_ipv6(Interface& i);
    void leave(Interface& i, const IpAddr& group, Instant now);
    void start(Interface& i, Instant now);
    void poll_others(Instant now);
    Instant others_deadline() const;
    /// Uses `next` from now on, and tells the neighbours at `tell_at`.
    void apply(Interface& i, const Ipv4Config& next, Instant tell_at);
    void use_fixed(Interface& i, Instant now);
    void drive_fixed(Interface& i, Instant now);
    void leave_fixed(Interface& i);
    void use_mtu(Interface& i, u16 told);
    void drive_dhcp(Interface& i, Instant now);
    void addressing_changed(Interface& i, Instant now);
    void carrier_changed(Interface& i, bool up, Instant now);
    void mac_changed(Interface& i, const MacAddr& mac, Instant now);
    Arp::Probe probe(Interface& i, Ipv4Addr address, Instant now);
    bool is_ours(Ipv4Addr a) const { return a.is_loopback() || interfaces_.owner(a) != nullptr; }
    // stack_input.cpp
    void ip_input(PacketBuffer p, Instant now);
    bool listens_to(const Interface& i, const MacAddr& group) const;
    void ethernet_input(PacketBuffer&& frame, const EthernetHeader& eth, Interface& i, Instant now);
    void ipv4_input(PacketBuffer&& p, Interface& i, Origin origin, Instant now);
    bool options_pass(Bytes header, Origin origin);
    bool passes(const Ipv4Header& ip, const Interface& i, Origin& origin);
    void ipv4_others(PacketBuffer&& p, Interface& i, Origin origin, Instant now);
    inline bool is_wanted(const Ipv4Header& ip, const Interface& i, Origin& origin);
    void fragment_input(PacketBuffer p, const Ipv4Header& ip, Interface& i, Origin origin, Instant now);
    inline void ipv4_deliver(PacketBuffer&& p, const Ipv4Header& ip, Interface& i, Origin origin, Instant now);
    inline void tcp_input(PacketBuffer&& p, const Ipv4Header& ip, usize header_bytes, const Interface& i, Instant now);
    void udp_input(PacketBuffer p, const Ipv4Header& ip, Interface& i, Origin origin, Instant now);
    void dhcp_input(PacketBuffer p, const Ipv4Header& ip, Interface& i, Instant now);
    bool source_is_plausible(Ipv4Addr source, const Interface& i, Origin origin) const;
    bool has_source_route(Bytes options) const;
    // stack_icmp.cpp
    void icmp_input(PacketBuffer p, const Ipv4Header& ip, Interface& i, Origin origin, Instant now);
    void echo_reply(PacketBuffer p, const Ipv4Header& ip, const Interface& i, Origin origin);
    void icmp_error_input(Bytes quoted, const IcmpHeader& h, const Interface& i, Instant now);
    void learn_path_mtu(const Interface& i, const Endpoint& local, const Endpoint& remote, u16 told, u16 sent,
                        Instant now);
    void send_icmp_error(PacketBuffer offender, u8 type, u8 code, Origin origin, Instant now);
    void ping_output(std::optional<PacketBuffer>& frame, Instant now);
    // stack_igmp.cpp
    void igmp_input(Interface& i, Bytes message, const Ipv4Header& ip, Instant now);
    std::optional<PacketBuffer> igmp_output(Interface& i, Instant now);
    // stack_route.cpp
    /// By which interface, from which address of ours and to which neighbour. `source`, when it is specified, decides
    /// on the interface, else `scope` does; what has carrier comes before what has none.
    std::optional<Route> route(Ipv4Addr destination, Ipv4Addr source = {}, u16 scope = 0) const {
        if (scope == 0 && recent_.answers(destination, source)) [[likely]]
            return recent_.route;
        return find_route(destination, source, scope);
    }
    std::optional<Route> find_route(Ipv4Addr destination, Ipv4Addr source, u16 scope) const;
    std::optional<Route> choose_route(Ipv4Addr destination, Ipv4Addr source, u16 scope) const;
    /// After every change of an address, a route or a carrier.
    void forget_route() { recent_.known = false; }
    Interface* route_to_many(u32 allowed) const;
    /// The same for IPv6, which chooses the rest by itself; nullptr: nobody can send it.
    Interface* route6(const IpAddr& destination, const IpAddr& source, u16 scope, Instant now) const;
    /// IP bytes that reach `destination` in one piece, as far as is known.
    u16 path_mtu(const Interface& i, Ipv4Addr destination, Instant now) const;
    /// For links in `room`, without calling anybody.
    bool has_nothing(u32 room) const {
        return !stirred_ && loopback_.empty() && !udp_.has_output() && !tcp_.has_output(room);
    }
    // stack_output.cpp
    std::optional<PacketBuffer> next_frame(Instant now, u32 room, u8& to);
    [[gnu::always_inline]] inline bool next_packet(std::optional<PacketBuffer>& frame, u32 room, Instant now);
    bool others_next_packet(std::optional<PacketBuffer>& frame, Instant now);
    bool interface_next_packet(Interface& i, std::optional<PacketBuffer>& frame, Instant now);
    bool others_have_output() const;
    bool waiting_frame(std::optional<PacketBuffer>& frame, u32 room);
    void set_aside(PacketBuffer frame);
    /// A frame to the neighbour `to`, or the first of several: the others are in i.frames.
    std::optional<PacketBuffer> finish_frame(Interface& i, PacketBuffer p, const MacAddr& to, Instant now);
    /// Prepends the IPv4 header; nothing, counted, when there is no route or it is too large.
    bool add_ipv4(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, IpProtocol protocol, Cut cut = Cut::no,
                  u16 scope = 0);
    /// Completes or arranges the UDP checksum.
    void finish_udp(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, Cut cut, const Interface* by);
    void make_headers(const MacAddr& to);
    [[gnu::always_inline]] inline std::optional<PacketBuffer> send_tcp(tcp::Tcp::Outgoing& out, Instant now);
    /// Hands an IP packet, complete, on its way: a frame, or nothing (waiting for ARP, looped back, dropped).
    std::optional<PacketBuffer> send(PacketBuffer p, Instant now);
    std::optional<PacketBuffer> dhcp_output(Interface& i, Instant now);
    void udp_output(Udp::Outgoing out, std::optional<PacketBuffer>& frame, Instant now);
    std::optional<PacketBuffer> cut(Interface& i, PacketBuffer p, const MacAddr& to, usize mtu);
    u16 fragment_id(Ipv4Addr destination);
    void push_ipv4(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, IpProtocol protocol, u16 id, u16 fragment);

    StackConfig config_;
    PacketPool& pool_;
    Statistics stats_;
    SipKey key_;
    Udp udp_;
    tcp::Tcp tcp_;
    Routes routes_;
    PacketQueue replies_;   // ICMP answers: window = IP packet, routed when pulled
    PacketQueue loopback_;  // window = IP packet to one of our addresses
    Pings pings_;
    Reassembly reassembly_;
    Destinations paths_;  // narrower ones, of IPv4 (RFC 1191); TCP keeps its own
    RateLimit icmp_errors_{kIcmpErrorsPerSecond};
    u16 fragment_id_ = 0;
    u32 sources_version_ = 1;
    bool changed_ = false;
    bool output_cut_ = false;  // output() stopped before everybody was asked
    // TCP and UDP are asked in every round; all others only after something reached one of them, until they have
    // nothing to say, and when the earliest of their timers is due. Whoever calls one of them sets stirred_.
    bool stirred_ = true;
    Instant others_due_{};  // while !stirred_
    Instant retry_at_ = Instant::never();
    Interface first_;        // last: IPv6 refers to the others
    Interfaces interfaces_;  // and it
    Interface* out_;         // whose the frame is that was made last
};

inline void Stack::input(PacketBuffer frame, Instant now, u8 interface) {
    Interface& i = interfaces_[interface];
    ++i.frames_in;
    ++stats_.frames_in;
    stats_.bytes_in += frame.total_size();
    const auto* eth = frame.pull<EthernetHeader>();
    if (eth == nullptr) [[unlikely]] {
        ++stats_.ethernet_short;
        return;
    }
    if (eth->source.is_multicast() || eth->source == i.config.mac) [[unlikely]] {
        ++stats_.ethernet_bad_source;
        return;
    }
    if (eth->destination == i.config.mac && eth->type == static_cast<u16>(EtherType::ipv4)) [[likely]]
        ipv4_input(std::move(frame), i, Origin::wire, now);
    else
        ethernet_input(std::move(frame), *eth, i, now);
}

}  // namespace ringlet::net
