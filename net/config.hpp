// What a stack is told when it starts, and what it tells about itself. Plain values. Context: any.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "lib/fixed_vector.hpp"
#include "lib/time.hpp"
#include "net/address.hpp"
#include "net/link.hpp"
#include "net/tcp/types.hpp"

namespace ringlet::net {

/// Where the address comes from. `dhcp_then_fixed`: DHCP, and `fixed` when nobody answered for `dhcp_patience`
/// (DHCP keeps asking and replaces it when a server appears).
enum class Addressing : u8 { none, fixed, dhcp, dhcp_then_fixed };

struct Ipv4Config {
    Ipv4Addr address;  ///< unspecified: no address yet
    u8 prefix = 24;    ///< 0..32
    Ipv4Addr gateway;  ///< unspecified: only the local network is reachable
    std::array<Ipv4Addr, 2> dns{};
    friend bool operator==(const Ipv4Config&, const Ipv4Config&) = default;

    constexpr Ipv4Addr mask() const { return {prefix == 0 ? 0 : ~u32{0} << (32 - prefix)}; }
    constexpr bool on_link(Ipv4Addr a) const { return ((a.value ^ address.value) & mask().value) == 0; }
    /// The subnet's own broadcast address; none for /31 and /32 (RFC 3021).
    constexpr bool is_subnet_broadcast(Ipv4Addr a) const {
        return prefix < 31 && on_link(a) && (a.value | mask().value) == 0xffff'ffff;
    }
};

struct Ipv6Config {
    IpAddr address;  ///< besides the automatic ones; unspecified: none
    u8 prefix = 64;  ///< 0..128
    IpAddr gateway;  ///< besides those that advertise themselves
    std::array<IpAddr, 2> dns{};
};

class Ipv6Layer;
struct StackParts;

/// A route that DHCP gave (RFC 3442): everything in `destination`/`prefix` goes by `router` (unspecified: on the link).
struct ClasslessRoute {
    Ipv4Addr destination;
    u8 prefix = 0;  ///< 0..32
    Ipv4Addr router;
    friend bool operator==(const ClasslessRoute&, const ClasslessRoute&) = default;
};

/// One route, and where it comes from: configured, from DHCP, an interface's own network, or its default router.
struct RouteInfo {
    enum class Origin : u8 { network, configured, dhcp, gateway };
    ClasslessRoute route;  ///< router unspecified: on the link
    u16 metric = 0;        ///< among routes to the same network the smallest wins
    Origin origin = Origin::configured;
    u8 interface = 0;  ///< by number
    friend bool operator==(const RouteInfo&, const RouteInfo&) = default;
};

/// A short text by value. What does not fit is not taken.
template <usize kCapacity> class ShortText {
public:
    bool assign(std::string_view s) {
        size_ = 0;
        return append(s);
    }
    bool append(std::string_view s) {
        if (s.size() > kCapacity - size_) return false;
        for (const char c : s) text_[size_++] = c;
        return true;
    }
    std::string_view view() const { return {text_, size_}; }
    friend bool operator==(const ShortText& a, const ShortText& b) { return a.view() == b.view(); }

private:
    u16 size_ = 0;
    char text_[kCapacity] = {};
};

/// What a network says about itself beside the address. Everything is checked: addresses are hosts', names host names.
struct NetworkHints {
    static constexpr usize kServers = 4, kRoutes = 8;
    u16 mtu = 0;             ///< option 26; 0: not told, or below 576
    Ipv4Addr broadcast;      ///< option 28, for information: 255.255.255.255 and the subnet's are what is used
    ShortText<63> hostname;  ///< option 12
    ShortText<255> search;   ///< options 119 or 15: domains, separated by blanks
    FixedVector<Ipv4Addr, kServers> dns, ntp;     ///< options 6 and 42
    FixedVector<ClasslessRoute, kRoutes> routes;  ///< option 121, without the default route, which is the gateway
    friend bool operator==(const NetworkHints& a, const NetworkHints& b) {
        return a.mtu == b.mtu && a.broadcast == b.broadcast && a.hostname == b.hostname && a.search == b.search &&
               std::ranges::equal(a.dns, b.dns) && std::ranges::equal(a.ntp, b.ntp) &&
               std::ranges::equal(a.routes, b.routes);
    }
};

/// A name that is known without asking, like a line of /etc/hosts.
struct HostEntry {
    std::string_view name;
    IpAddr address;
};

/// What the appliance or the command line says about names and time. Servers here replace those that DHCP tells; the
/// views outlive the stack.
struct NameSettings {
    FixedVector<IpAddr, NetworkHints::kServers> dns, ntp;
    std::string_view search;  ///< domains, separated by blanks
    std::span<const HostEntry> hosts;
};

/// Of one stack. Each costs 12 KiB when it is there (with IPv6 24), and one loop turn per packet.
inline constexpr usize kMostInterfaces = 4;

/// What belongs to one interface.
struct InterfaceConfig {
    Addressing addressing = Addressing::dhcp;
    Ipv4Config fixed;
    /// &make_ipv6 (net/ipv6.hpp), or no IPv6: then its code is not in the image.
    Ipv6Layer* (*ipv6)(const StackParts& parts) = nullptr;
    Ipv6Config fixed6;
    // From the link.
    MacAddr mac;
    u16 mtu = 1500;
    Offloads offloads;
};

/// The stack's own, and its first interface's.
struct StackConfig : InterfaceConfig {
    NameSettings names;
    static constexpr usize kRoutes = 16;       ///< configured ones
    FixedVector<RouteInfo, kRoutes> routes{};  ///< what is not valid (net/routes.hpp) is left out
    Duration dhcp_patience = Duration::from_s(10);
    /// Between the three ARP probes for an address, and after the last of them; 0: none are sent. RFC 5227 §1.1 has 1
    /// to 2 s, for links that come up slowly; a virtual one answers within microseconds. What DHCP gave is used when
    /// nobody answered; the fixed address at once, and given up when somebody does (docs/ip.md).
    Duration probe_interval = Duration::from_ms(20);
    std::string_view hostname = "ringlet";  ///< sent to the DHCP server; at most 63 bytes are used; outlives the stack
    std::array<u8, 16> secret{};            ///< random, per boot; TCP's is derived from it
    tcp::Config tcp;                        ///< secret, mss and offload are filled in by the stack
    u16 max_udp_sockets = 32;
};

/// RFC 2131 figure 5; `init` also waits before it asks again. `probing`: acknowledged, but is the address free (RFC
/// 5227)? `releasing`: given back, the message is on its way.
enum class DhcpState : u8 {
    off,
    init,
    selecting,
    requesting,
    probing,
    bound,
    renewing,
    rebinding,
    rebooting,
    releasing
};
std::string_view to_string(DhcpState s);

struct Ipv6AddressInfo {
    enum class State : u8 { tentative, preferred, deprecated, duplicate };
    IpAddr address;
    u8 prefix = 64;
    State state = State::tentative;
    Instant valid_until = Instant::never();
};
std::string_view to_string(Ipv6AddressInfo::State s);

/// What a router told of itself (RFC 4191): prefix length 0 is a default route.
struct Ipv6Route {
    IpAddr prefix{};
    u8 length = 0;
    i8 preference = 0;  ///< -1 low, 0 medium, 1 high
    IpAddr router{};
    Instant until = Instant::never();
};

struct Ipv6Info {
    std::array<Ipv6AddressInfo, 8> addresses{};
    std::array<Ipv6Route, 12> routes{};
    std::array<IpAddr, 4> dns{};
    usize addresses_used = 0, routes_used = 0, dns_used = 0;
};

/// Somebody else with an address of ours (RFC 5227).
struct AddressConflict {
    Ipv4Addr address;
    MacAddr by;
    Instant at;    ///< of the last that was told
    u64 seen = 0;  ///< ARP packets that said so
};

struct InterfaceInfo {
    MacAddr mac;
    u16 mtu = 0;
    bool carrier = false;
    Offloads offloads;
    Ipv4Config ipv4;
    DhcpState dhcp = DhcpState::off;
    bool fallback = false;  ///< `ipv4` is the fixed address because DHCP has not answered
    AddressConflict conflict;
    bool refused = false;  ///< the fixed address is not used because of `conflict`; it is asked for again
    Ipv4Addr dhcp_server;
    Instant lease_end = Instant::never();
    u64 frames_in = 0, frames_out = 0;
    Ipv6Info ipv6;
    NetworkHints hints;  ///< of the lease
};

/// An entry of the ARP cache or of IPv6's neighbour cache.
struct NeighbourInfo {
    IpAddr address;
    MacAddr mac;
    bool resolved = false;
    u8 interface = 0;
};

struct UdpSocketInfo {
    Endpoint local;
    Endpoint remote;        ///< port 0: not connected
    u32 receive_queue = 0;  ///< datagrams
    u64 dropped = 0;
};

}  // namespace ringlet::net
