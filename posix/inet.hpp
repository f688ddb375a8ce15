// What TCP and UDP sockets share: addresses, options. Context: thread, holding nothing.
#pragma once

#include <netinet/in.h>

#include "net/api/socket.hpp"
#include "posix/socket.hpp"

namespace ringlet::posix {

/// What errno says of an error of a socket.
Errno socket_errno(Error error);

/// EINVAL: too short; EAFNOSUPPORT: of another family than `family`.
Outcome<net::Endpoint> endpoint_of(const SocketAddress& a, int family);
/// As a socket of `family` has it: IPv4 in its mapped form for AF_INET6.
SocketAddress address_of(const net::Endpoint& e, int family);
sockaddr_in sockaddr_of(net::Ipv4Addr address, u16 port);
/// Any address of a family.
net::IpAddr any_of(int family);

/// Is it an address of this machine?
bool network_has(const net::IpAddr& address);

/// The observer of a net socket, for the description that owns both.
class InetSocket : public Socket, protected net::detail::Observer {
protected:
    InetSocket(int family, int type, int flags);
    void observe(net::detail::Socket& socket) { socket.observe(this); }
    static void tell(net::detail::Observer& self) { static_cast<InetSocket&>(self).stir(); }

    Outcome<int> option(int level, int name) override;
    Outcome<> set_option(int level, int name, int value) override;

    bool reuses_address = false;
    bool may_broadcast = false;
};

Outcome<Ref> make_tcp_socket(int family, int flags);
Outcome<Ref> make_udp_socket(int family, int flags);

}  // namespace ringlet::posix
