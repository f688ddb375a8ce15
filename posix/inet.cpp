#include "posix/inet.hpp"

#include <bit>
#include <cstring>

#include <ringlet/network.hpp>

#include "posix/sleeper.hpp"

namespace ringlet::posix {

namespace {

/// A sleeping thread does the network's work.
void lead(Sleeper& sleeper, Instant deadline) {
    auto held = network().lock();
    if (!held->stack) {
        held.release();
        sleeper.waiter.event.wait_until(deadline);
        return held.acquire();
    }
    network().wait(held, sleeper.waiter, deadline, [&] { return sleeper.woken.load(); });
}

constexpr u16 wire(u16 port) {
    return __builtin_bswap16(port);
}

}  // namespace

Errno socket_errno(Error error) {
    switch (error) {
    case Error::in_use:
    case Error::exists:
        return EADDRINUSE;
    case Error::closed:
        return EPIPE;
    case Error::no_space:
        return ENOBUFS;
    case Error::too_large:
        return EMSGSIZE;
    default:
        return error;
    }
}

Outcome<net::Endpoint> endpoint_of(const SocketAddress& a, int family) {
    if (a.size < offsetof(sockaddr, sa_data)) return refuse(EINVAL);
    if (a.family() != family) return refuse(EAFNOSUPPORT);
    if (family == AF_INET) {
        if (a.size < sizeof(sockaddr_in)) return refuse(EINVAL);
        const auto in = std::bit_cast<sockaddr_in>(*reinterpret_cast<const sockaddr_in*>(&a.bytes));
        return net::Endpoint{net::Ipv4Addr{ntohl(in.sin_addr.s_addr)}, wire(in.sin_port)};
    }
    if (a.size < sizeof(sockaddr_in6)) return refuse(EINVAL);
    sockaddr_in6 in;
    std::memcpy(&in, &a.bytes, sizeof in);
    const std::span<const std::byte, 16> octets(reinterpret_cast<const std::byte*>(in.sin6_addr.s6_addr), 16);
    return net::Endpoint{net::IpAddr::from(octets), wire(in.sin6_port), static_cast<u16>(in.sin6_scope_id)};
}

sockaddr_in sockaddr_of(net::Ipv4Addr address, u16 port) {
    return {.sin_len = sizeof(sockaddr_in),
            .sin_family = AF_INET,
            .sin_port = wire(port),
            .sin_addr = {.s_addr = htonl(address.value)},
            .sin_zero = {}};
}

SocketAddress address_of(const net::Endpoint& e, int family) {
    SocketAddress a;
    if (family == AF_INET) {
        const sockaddr_in in = sockaddr_of(e.address.is_ipv4() ? e.address.ipv4() : net::Ipv4Addr{}, e.port);
        std::memcpy(&a.bytes, &in, sizeof in);
        a.size = sizeof in;
        return a;
    }
    sockaddr_in6 in{};
    in.sin6_len = sizeof in;
    in.sin6_family = AF_INET6;
    in.sin6_port = wire(e.port);
    in.sin6_scope_id = e.scope;
    e.address.store(std::span<std::byte, 16>(reinterpret_cast<std::byte*>(in.sin6_addr.s6_addr), 16));
    std::memcpy(&a.bytes, &in, sizeof in);
    a.size = sizeof in;
    return a;
}

net::IpAddr any_of(int family) {
    return family == AF_INET ? net::IpAddr(net::Ipv4Addr{}) : net::IpAddr();
}

bool network_has(const net::IpAddr& address) {
    auto held = network().lock();
    return held->stack && held->stack->has_address(address);
}

InetSocket::InetSocket(int family, int type, int flags) : Socket(family, type, flags), Observer{tell} {
    lead_network.store(lead, std::memory_order_release);
}

Outcome<int> InetSocket::option(int level, int name) {
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && family() == AF_INET6) return 0;
    if (level != SOL_SOCKET) return refuse(ENOPROTOOPT);
    switch (name) {
    case SO_REUSEADDR:
    case SO_REUSEPORT:
        return reuses_address ? 1 : 0;
    case SO_BROADCAST:
        return may_broadcast ? 1 : 0;
    case SO_PROTOCOL:
        return type() == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    default:
        return refuse(ENOPROTOOPT);
    }
}

Outcome<> InetSocket::set_option(int level, int name, int value) {
    // A socket at :: always serves both families.
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && family() == AF_INET6)
        return value == 0 ? Outcome<>() : refuse(EOPNOTSUPP);
    if (level != SOL_SOCKET) return refuse(ENOPROTOOPT);
    switch (name) {
    case SO_REUSEADDR:
    case SO_REUSEPORT:
        reuses_address = value != 0;
        return {};
    case SO_BROADCAST:
        may_broadcast = value != 0;
        return {};
    case SO_RCVBUF:  // the stack sizes them by what the connection needs
    case SO_SNDBUF:
        return value >= 0 ? Outcome<>() : refuse(EINVAL);
    default:
        return refuse(ENOPROTOOPT);
    }
}

Outcome<Ref> make_inet_socket(int family, int type, int protocol, int flags) {
    if (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP)) return make_tcp_socket(family, flags);
    if (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP)) return make_udp_socket(family, flags);
    return refuse(EPROTONOSUPPORT);
}

}  // namespace ringlet::posix
