// What a stack is told when it starts, and what it tells about itself. Plain values. Context: any.
#pragma once

#include <array>
#include <string_view>

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

struct StackConfig {
    Addressing addressing = Addressing::dhcp;
    Ipv4Config fixed;
    Duration dhcp_patience = Duration::from_s(10);
    std::string_view hostname = "ringlet";  ///< sent to the DHCP server; at most 63 bytes are used; outlives the stack
    std::array<u8, 16> secret{};            ///< random, per boot; TCP's is derived from it
    tcp::Config tcp;                        ///< secret, mss and offload are filled in by the stack
    u16 max_udp_sockets = 32;
    /// &make_ipv6 (net/ipv6.hpp), or no IPv6: then its code is not in the image.
    Ipv6Layer* (*ipv6)(const StackParts& parts) = nullptr;
    Ipv6Config fixed6;
    // From the link.
    MacAddr mac;
    u16 mtu = 1500;
    Offloads offloads;
};

enum class DhcpState : u8 { off, init, selecting, requesting, bound, renewing, rebinding, rebooting };
std::string_view to_string(DhcpState s);

struct Ipv6AddressInfo {
    enum class State : u8 { tentative, preferred, deprecated, duplicate };
    IpAddr address;
    u8 prefix = 64;
    State state = State::tentative;
    Instant valid_until = Instant::never();
};
std::string_view to_string(Ipv6AddressInfo::State s);

struct Ipv6Info {
    std::array<Ipv6AddressInfo, 8> addresses{};
    std::array<IpAddr, 4> routers{}, dns{};
    usize addresses_used = 0, routers_used = 0, dns_used = 0;
};

struct InterfaceInfo {
    MacAddr mac;
    u16 mtu = 0;
    bool carrier = false;
    Offloads offloads;
    Ipv4Config ipv4;
    DhcpState dhcp = DhcpState::off;
    bool fallback = false;  ///< `ipv4` is the fixed address because DHCP has not answered
    Ipv4Addr dhcp_server;
    Instant lease_end = Instant::never();
    Ipv6Info ipv6;
};

/// An entry of the ARP cache or of IPv6's neighbour cache.
struct NeighbourInfo {
    IpAddr address;
    MacAddr mac;
    bool resolved = false;
};

struct UdpSocketInfo {
    Endpoint local;
    u32 receive_queue = 0;  ///< datagrams
    u64 dropped = 0;
};

}  // namespace ringlet::net
