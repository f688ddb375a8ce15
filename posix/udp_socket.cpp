// A UDP socket as POSIX has it: it gets its port by bind(), or with the first thing it is used for.
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <optional>

#include <ringlet/network.hpp>

#include "posix/inet.hpp"

namespace ringlet::posix {

namespace {

/// A datagram that MSG_PEEK has looked at.
struct Kept {
    std::unique_ptr<std::byte[]> bytes;  ///< none: nothing is kept
    net::Udp::Received received{};
};

class UdpSocket final : public InetSocket {
public:
    UdpSocket(int family, int flags) : InetSocket(family, SOCK_DGRAM, flags) {}
    ~UdpSocket() override { socket_.reset(); }

    Outcome<> bind(const SocketAddress& address) override;
    Outcome<> connect(const SocketAddress& to) override;
    Outcome<usize> send(Bytes from, int flags, const SocketAddress* to) override;
    Outcome<Received> receive(MutableBytes to, int flags) override;
    Outcome<> shut_down(int how) override;
    Outcome<> local_name(SocketAddress& out) override;
    Outcome<> peer_name(SocketAddress& out) override;
    Outcome<int> option(int level, int name) override;
    Outcome<> set_option(int level, int name, int value) override;
    Outcome<> set_option(int level, int name, Bytes value) override;
    short ready() override;

private:
    Outcome<> open(const net::Endpoint& local);
    Outcome<> open_if_needed() { return socket_ ? Outcome<>() : open({any_of(family()), 0}); }
    Outcome<Received> try_receive(MutableBytes to, bool leave_it);

    std::optional<net::UdpSocket> socket_;
    net::Endpoint remote_;  ///< port 0: not connected
    bool no_more_in_ = false, no_more_out_ = false;
    std::atomic<bool> has_kept_{false};
    kernel::Guarded<Kept, kernel::Rank::descriptor, kernel::Mutex> kept_;
};

Outcome<> UdpSocket::open(const net::Endpoint& local) {
    auto made = net::UdpSocket::bind(network(), local, reuses_address ? net::PortUse::shared : net::PortUse::exclusive);
    if (!made) return refuse(socket_errno(made.error()));
    socket_.emplace(std::move(*made));
    observe(*socket_);
    return {};
}

Outcome<> UdpSocket::bind(const SocketAddress& address) {
    const net::Endpoint local = TRY_POSIX(endpoint_of(address, family()));
    if (socket_) return refuse(EINVAL);
    if (!local.address.is_unspecified() && !local.address.is_multicast() && !network_has(local.address))
        return refuse(EADDRNOTAVAIL);
    return open(local);
}

Outcome<> UdpSocket::connect(const SocketAddress& to) {
    net::Endpoint remote;
    if (to.family() != AF_UNSPEC) {
        remote = TRY_POSIX(endpoint_of(to, family()));
        if (remote.port == 0) return refuse(EINVAL);
    }
    TRY_POSIX(open_if_needed());
    if (const auto done = socket_->connect(remote); !done) return refuse(socket_errno(done.error()));
    remote_ = remote;
    return {};
}

Outcome<usize> UdpSocket::send(Bytes from, int flags, const SocketAddress* to) {
    if ((flags & MSG_OOB) != 0) return refuse(EOPNOTSUPP);
    if (no_more_out_) return refuse(EPIPE);
    net::Endpoint target = remote_;
    if (to != nullptr) target = TRY_POSIX(endpoint_of(*to, family()));
    if (target.port == 0) return refuse(to != nullptr ? EINVAL : EDESTADDRREQ);
    if (target.address.is_broadcast() && !may_broadcast) return refuse(EACCES);
    TRY_POSIX(open_if_needed());
    return retry(flags, send_timeout, [&]() -> Outcome<usize> {
        const auto sent = socket_->try_send_to(target, from);
        if (sent) return from.size();
        return refuse(sent.error() == Error::unreachable ? Errno(ENETUNREACH) : socket_errno(sent.error()));
    });
}

Outcome<Socket::Received> UdpSocket::try_receive(MutableBytes to, bool leave_it) {
    const auto answer = [&](const net::Udp::Received& r) {
        return Received{.size = r.size, .from = address_of(r.from, family())};
    };
    if (leave_it || has_kept_) {
        auto held = kept_.lock();
        if (!held->bytes) {
            std::unique_ptr<std::byte[]> room(new (std::nothrow) std::byte[net::Udp::kLargestPayload]);
            if (!room) return refuse(ENOMEM);
            const auto r = socket_->try_receive_from({room.get(), net::Udp::kLargestPayload});
            if (!r) return refuse(socket_errno(r.error()));
            held->bytes = std::move(room);
            held->received = *r;
        }
        std::copy_n(held->bytes.get(), std::min(to.size(), held->received.size), to.data());
        if (!leave_it) held->bytes.reset();
        has_kept_ = held->bytes != nullptr;
        return answer(held->received);
    }
    const auto r = socket_->try_receive_from(to);
    if (!r) return refuse(socket_errno(r.error()));
    return answer(*r);
}

Outcome<Socket::Received> UdpSocket::receive(MutableBytes to, int flags) {
    if ((flags & MSG_OOB) != 0) return refuse(EOPNOTSUPP);
    TRY_POSIX(open_if_needed());
    const auto r = retry(no_more_in_ ? MSG_DONTWAIT : flags, receive_timeout,
                         [&] { return try_receive(to, (flags & MSG_PEEK) != 0); });
    if (!r && no_more_in_ && r.error().code == EAGAIN) return Received{};
    return r;
}

Outcome<> UdpSocket::shut_down(int how) {
    if (remote_.port == 0) return refuse(ENOTCONN);
    no_more_in_ |= how != SHUT_WR;
    no_more_out_ |= how != SHUT_RD;
    stir();
    return {};
}

Outcome<> UdpSocket::local_name(SocketAddress& out) {
    net::Endpoint local{any_of(family()), 0};
    if (socket_)
        if (const auto known = socket_->local()) local = *known;
    out = address_of(local, family());
    return {};
}

Outcome<> UdpSocket::peer_name(SocketAddress& out) {
    if (remote_.port == 0) return refuse(ENOTCONN);
    out = address_of(remote_, family());
    return {};
}

Outcome<int> UdpSocket::option(int level, int name) {
    if (level != SOL_SOCKET) return InetSocket::option(level, name);
    switch (name) {
    case SO_ERROR:
    case SO_KEEPALIVE:
    case SO_ACCEPTCONN:
        return 0;
    case SO_RCVBUF:
        return static_cast<int>(net::Udp::kReceiveQueue * net::Udp::kPiece);
    case SO_SNDBUF:
        return static_cast<int>(net::Udp::kTransmitQueue * net::Udp::kPiece);
    default:
        return InetSocket::option(level, name);
    }
}

Outcome<> UdpSocket::set_option(int level, int name, int value) {
    const bool is_loop =
        (level == IPPROTO_IP && name == IP_MULTICAST_LOOP) || (level == IPPROTO_IPV6 && name == IPV6_MULTICAST_LOOP);
    if (!is_loop) return InetSocket::set_option(level, name, value);
    TRY_POSIX(open_if_needed());
    TRY_POSIX(socket_->set_multicast_loop(value != 0 ? net::MulticastLoop::on : net::MulticastLoop::off));
    return {};
}

Outcome<> UdpSocket::set_option(int level, int name, Bytes value) {
    net::IpAddr group;
    bool joins;
    if (level == IPPROTO_IP && (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP)) {
        ip_mreq request;
        if (value.size() < sizeof request) return refuse(EINVAL);
        std::memcpy(&request, value.data(), sizeof request);
        group = net::Ipv4Addr{ntohl(request.imr_multiaddr.s_addr)};
        joins = name == IP_ADD_MEMBERSHIP;
    } else if (level == IPPROTO_IPV6 && (name == IPV6_JOIN_GROUP || name == IPV6_LEAVE_GROUP)) {
        if (value.size() < sizeof(ipv6_mreq)) return refuse(EINVAL);
        group = net::IpAddr::from(value.first<16>());
        joins = name == IPV6_JOIN_GROUP;
    } else {
        return refuse(ENOPROTOOPT);
    }
    TRY_POSIX(open_if_needed());
    const auto done = joins ? socket_->join(group) : socket_->leave(group);
    if (!done) return refuse(done.error() == Error::not_found ? Errno(EADDRNOTAVAIL) : socket_errno(done.error()));
    return {};
}

short UdpSocket::ready() {
    if (!socket_) return POLLOUT | POLLWRNORM;
    const auto now = socket_->readiness();
    const int bits = (now.readable || has_kept_ || no_more_in_ ? POLLIN | POLLRDNORM : 0) |
                     (now.writable ? POLLOUT | POLLWRNORM : 0);
    return static_cast<short>(bits);
}

}  // namespace

Outcome<Ref> make_udp_socket(int family, int flags) {
    return make_description<UdpSocket>(family, flags);
}

}  // namespace ringlet::posix
