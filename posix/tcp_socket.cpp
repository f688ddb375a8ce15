// A TCP socket as POSIX has it: one object that is bound, then listens or is connected, over net/api's three.
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <optional>

#include <ringlet/network.hpp>

#include "kernel/random.hpp"
#include "posix/inet.hpp"

namespace ringlet::posix {

namespace {

class TcpSocket;

/// Ports that are bound and do not listen yet: of them the stack knows nothing.
struct Bound {
    List<TcpSocket> all;
};
constinit kernel::Guarded<Bound, kernel::Rank::application, kernel::Mutex> bound;

/// What MSG_PEEK has taken out of the stream and nobody has read.
struct Peeked {
    static constexpr usize kMost = 16 * 1024;
    std::unique_ptr<std::byte[]> bytes;
    usize first = 0, size = 0;
    usize take(MutableBytes to) {
        const usize n = std::min(size, to.size());
        std::memcpy(to.data(), bytes.get() + first, n);
        first += n;
        size -= n;
        return n;
    }
};

class TcpSocket final : public InetSocket, public ListNode<> {
public:
    TcpSocket(int family, int flags) : InetSocket(family, SOCK_STREAM, flags), local_{any_of(family), 0} {}
    ~TcpSocket() override;
    /// For one that was accepted.
    void adopt(TcpStream stream);

    Outcome<> bind(const SocketAddress& address) override;
    Outcome<> connect(const SocketAddress& to) override;
    Outcome<> listen(int backlog) override;
    Outcome<Ref> accept(SocketAddress& peer, int flags) override;
    Outcome<usize> send(Bytes from, int flags, const SocketAddress* to) override;
    Outcome<Received> receive(MutableBytes to, int flags) override;
    Outcome<> shut_down(int how) override;
    Outcome<> local_name(SocketAddress& out) override;
    Outcome<> peer_name(SocketAddress& out) override;
    Outcome<int> option(int level, int name) override;
    Outcome<> set_option(int level, int name, int value) override;
    Outcome<int> control(unsigned long request, void* argument) override;
    short ready() override;

private:
    enum class State : u8 { fresh, listening, connecting, connected };
    Outcome<> reserve(net::Endpoint local);
    void give_up_reservation();
    Outcome<> start_connect(const net::Endpoint& to);
    Outcome<> connect_result();
    Outcome<usize> try_read(MutableBytes to, int flags);
    Outcome<usize> peek(MutableBytes to);
    Outcome<> check_open();
    Errno failed(Error error);

    std::atomic<State> state_{State::fresh};
    std::optional<TcpListener> listener_;
    std::optional<TcpStream> stream_;
    net::Endpoint local_, remote_;  ///< local_.port 0: not bound
    bool is_reserved_ = false;      ///< on the list of bound ports; under its lock
    std::atomic<bool> no_more_in_{false}, no_more_out_{false}, error_told_{false};
    std::atomic<bool> has_peeked_{false};
    kernel::Guarded<Peeked, kernel::Rank::descriptor, kernel::Mutex> peeked_;
    net::tcp::Options options_;
};

bool overlap(const net::Endpoint& a, const net::Endpoint& b) {
    return a.port == b.port && (a.address.is_covered_by(b.address) || b.address.is_covered_by(a.address));
}

TcpSocket::~TcpSocket() {
    give_up_reservation();
    if (stream_ && lingers.l_onoff != 0 && lingers.l_linger == 0) stream_->abort();
    stream_.reset();
    listener_.reset();
}

void TcpSocket::adopt(TcpStream stream) {
    stream_.emplace(std::move(stream));
    if (const auto info = stream_->info()) {
        local_ = info->local;
        remote_ = info->remote;
    }
    state_ = State::connected;
    observe(*stream_);
}

/// Takes the port, for now in the list only: nothing is to be answered at it yet.
Outcome<> TcpSocket::reserve(net::Endpoint local) {
    auto held = bound.lock();
    const auto is_taken = [&](const net::Endpoint& e) {
        for (const TcpSocket& s : held->all)
            if (overlap(s.local_, e)) return true;
        return !TcpListener::bind(network(), e, 1);  // for the blink of an eye
    };
    if (local.port == 0) {
        for (int tries = 0; tries < 64 && (local.port == 0 || is_taken(local)); ++tries) {
            u16 port;
            kernel::random_fill(std::as_writable_bytes(std::span(&port, 1)));
            local.port = static_cast<u16>(port | 0x8000);
        }
    }
    if (is_taken(local)) return refuse(EADDRINUSE);
    local_ = local;
    held->all.push_back(*this);
    is_reserved_ = true;
    return {};
}

void TcpSocket::give_up_reservation() {
    auto held = bound.lock();
    if (std::exchange(is_reserved_, false)) held->all.remove(*this);
}

Outcome<> TcpSocket::bind(const SocketAddress& address) {
    const net::Endpoint local = TRY_POSIX(endpoint_of(address, family()));
    if (state_ != State::fresh || local_.port != 0) return refuse(EINVAL);
    if (!local.address.is_unspecified() && !network_has(local.address)) return refuse(EADDRNOTAVAIL);
    return reserve(local);
}

Outcome<> TcpSocket::listen(int backlog) {
    if (state_ == State::listening) return {};
    if (state_ != State::fresh) return refuse(EINVAL);
    if (local_.port == 0) TRY_POSIX(reserve(local_));
    auto listener = TcpListener::bind(network(), local_, static_cast<u16>(std::clamp(backlog, 1, 4096)));
    if (!listener) return refuse(socket_errno(listener.error()));
    listener_.emplace(std::move(*listener));
    observe(*listener_);
    give_up_reservation();
    state_ = State::listening;
    stir();
    return {};
}

Outcome<Ref> TcpSocket::accept(SocketAddress& peer, int flags) {
    if (state_ != State::listening) return refuse(EINVAL);
    RefTo<TcpSocket> made(new (std::nothrow) TcpSocket(family(), flags));
    if (!made) return refuse(ENOMEM);
    TRY_POSIX(retry(0, receive_timeout, [&]() -> Outcome<> {
        auto stream = listener_->try_accept();
        if (!stream) return refuse(socket_errno(stream.error()));
        made->adopt(std::move(*stream));
        return {};
    }));
    if (options_.no_delay || options_.keepalive) {
        made->options_ = options_;
        (void)made->stream_->configure(options_);
    }
    peer = address_of(made->remote_, family());
    made->retain();
    return Ref(made.get());
}

Outcome<> TcpSocket::start_connect(const net::Endpoint& to) {
    if (family() == AF_INET6 && to.address.is_ipv4() && !local_.address.is_unspecified() && !local_.address.is_ipv4())
        return refuse(ENETUNREACH);
    net::Endpoint target = to;
    if (to.address.is_unspecified())  // as everywhere: this host
        target.address = family() == AF_INET ? net::IpAddr(net::Ipv4Addr::of(127, 0, 0, 1)) : net::IpAddr::of(0, 1);
    auto stream = TcpStream::start_connect(network(), target, local_.port);
    if (!stream)
        return refuse(stream.error() == Error::unreachable ? Errno(ENETUNREACH) : socket_errno(stream.error()));
    give_up_reservation();
    stream_.emplace(std::move(*stream));
    remote_ = target;
    error_told_ = false;
    (void)stream_->configure(options_);
    if (const auto info = stream_->info()) local_ = info->local;
    state_ = State::connecting;
    observe(*stream_);
    return {};
}

/// How the opening of the connection ends. EAGAIN: not yet.
Outcome<> TcpSocket::connect_result() {
    const auto now = stream_->readiness();
    if (now.error || now.closed) {
        const Error why = now.error.value_or(Error::connection_reset);
        (void)stream_->take_error();
        stream_.reset();
        local_.port = 0;
        state_ = State::fresh;
        return refuse(socket_errno(why));
    }
    if (!now.writable) return refuse(EAGAIN);
    state_ = State::connected;
    return {};
}

Outcome<> TcpSocket::connect(const SocketAddress& to) {
    if (state_ == State::connected) return refuse(EISCONN);
    if (state_ == State::listening) return refuse(EISCONN);
    if (state_ == State::connecting && !blocks()) {
        const auto result = connect_result();
        if (!result && result.error().code == EAGAIN) return refuse(EALREADY);
        return result;
    }
    if (state_ != State::connecting) TRY_POSIX(start_connect(TRY_POSIX(endpoint_of(to, family()))));
    // Without waiting a failure, even if it is known by now, is for SO_ERROR to tell.
    if (const auto now = stream_->readiness(); !blocks() && (now.error || now.closed)) return refuse(EINPROGRESS);
    const auto result = retry(0, send_timeout, [&] { return connect_result(); });
    if (!result && result.error().code == EAGAIN) return refuse(EINPROGRESS);
    return result;
}

/// ENOTCONN; EAGAIN: still opening.
Outcome<> TcpSocket::check_open() {
    if (state_ == State::connecting) return connect_result();
    if (state_ != State::connected) return refuse(ENOTCONN);
    return {};
}

/// The error of a connection is told once; after it there is the end of the stream, and nobody to write to.
Errno TcpSocket::failed(Error error) {
    const bool ends = error == Error::connection_reset || error == Error::timed_out || error == Error::unreachable;
    if (ends && error_told_.exchange(true)) return EPIPE;
    return socket_errno(error);
}

Outcome<usize> TcpSocket::send(Bytes from, int flags, const SocketAddress* to) {
    if ((flags & MSG_OOB) != 0) return refuse(EOPNOTSUPP);
    if (to != nullptr && state_ == State::connected) return refuse(EISCONN);
    if (state_ == State::fresh || state_ == State::listening) return refuse(EPIPE);
    if (no_more_out_) return refuse(EPIPE);
    usize done = 0;
    do {
        const auto n = retry(flags, send_timeout, [&]() -> Outcome<usize> {
            TRY_POSIX(check_open());
            const auto written = stream_->try_write(from.subspan(done));
            if (!written) return refuse(failed(written.error()));
            return *written;
        });
        if (!n) return done != 0 ? Outcome<usize>(done) : n;
        done += *n;
    } while (done < from.size());
    return done;
}

Outcome<usize> TcpSocket::peek(MutableBytes to) {
    auto held = peeked_.lock();
    if (!held->bytes) held->bytes.reset(new (std::nothrow) std::byte[Peeked::kMost]);
    if (!held->bytes) return refuse(ENOMEM);
    if (held->first != 0) {
        std::memmove(held->bytes.get(), held->bytes.get() + held->first, held->size);
        held->first = 0;
    }
    const usize wanted = std::min(to.size(), Peeked::kMost);
    if (held->size < wanted) {
        const auto n = stream_->try_read({held->bytes.get() + held->size, wanted - held->size});
        if (!n && held->size == 0) return refuse(failed(n.error()));
        if (n) held->size += *n;
    }
    has_peeked_ = held->size != 0;
    const usize n = std::min(wanted, held->size);
    std::memcpy(to.data(), held->bytes.get(), n);
    return n;
}

Outcome<usize> TcpSocket::try_read(MutableBytes to, int flags) {
    TRY_POSIX(check_open());
    if ((flags & MSG_PEEK) != 0) return peek(to);
    if (has_peeked_) {
        auto held = peeked_.lock();
        const usize n = held->take(to);
        has_peeked_ = held->size != 0;
        if (n != 0) return n;
    }
    const auto n = stream_->try_read(to);
    if (n) return *n;
    const Errno why = failed(n.error());
    return why.code == EPIPE ? Outcome<usize>(0) : refuse(why);
}

Outcome<Socket::Received> TcpSocket::receive(MutableBytes to, int flags) {
    if ((flags & MSG_OOB) != 0) return refuse(EINVAL);
    if (state_ == State::fresh || state_ == State::listening) return refuse(ENOTCONN);
    if (to.empty()) return Received{};
    usize done = 0;
    do {
        const auto n = retry(no_more_in_ ? MSG_DONTWAIT : flags, receive_timeout,
                             [&] { return try_read(to.subspan(done), flags); });
        if (!n && done == 0) {
            if (no_more_in_ && n.error().code == EAGAIN) return Received{};
            return refuse(n.error());
        }
        if (!n || *n == 0) break;
        done += *n;
    } while ((flags & MSG_WAITALL) != 0 && (flags & MSG_PEEK) == 0 && done < to.size());
    return Received{.size = done, .from = {}};
}

Outcome<> TcpSocket::shut_down(int how) {
    if (state_ != State::connected) return refuse(ENOTCONN);
    if (how != SHUT_WR) no_more_in_ = true;
    if (how != SHUT_RD && !no_more_out_.exchange(true)) (void)stream_->shutdown_write();
    stir();
    return {};
}

Outcome<> TcpSocket::local_name(SocketAddress& out) {
    out = address_of(local_, family());
    return {};
}

Outcome<> TcpSocket::peer_name(SocketAddress& out) {
    if (state_ == State::connecting) (void)connect_result();
    if (state_ != State::connected) return refuse(ENOTCONN);
    out = address_of(remote_, family());
    return {};
}

Outcome<int> TcpSocket::option(int level, int name) {
    const auto seconds = [](Duration d) { return static_cast<int>(d.ns / kSecond); };
    if (level == IPPROTO_TCP) {
        switch (name) {
        case TCP_NODELAY:
            return options_.no_delay ? 1 : 0;
        case TCP_CORK:
            return options_.cork ? 1 : 0;
        case TCP_KEEPIDLE:
            return seconds(options_.keepalive.value_or(Duration::from_s(7200)));
        case TCP_KEEPINTVL:
            return seconds(options_.keepalive_interval);
        case TCP_KEEPCNT:
            return options_.keepalive_probes;
        case TCP_MAXSEG:
            if (stream_)
                if (const auto info = stream_->info()) return info->mss;
            return 536;
        default:
            return refuse(ENOPROTOOPT);
        }
    }
    if (level == SOL_SOCKET) {
        switch (name) {
        case SO_KEEPALIVE:
            return options_.keepalive ? 1 : 0;
        case SO_ACCEPTCONN:
            return state_ == State::listening ? 1 : 0;
        case SO_SNDBUF:
        case SO_RCVBUF:
            return 64 * 1024;  // to begin with: net::tcp::Config
        case SO_ERROR: {
            if (state_ == State::connecting) {
                const auto result = connect_result();
                return result || result.error().code == EAGAIN ? 0 : result.error().code;
            }
            if (!stream_) return 0;
            const auto error = stream_->take_error();
            return error || error.error() == Error::invalid ? 0 : failed(error.error()).code;
        }
        default:
            break;
        }
    }
    return InetSocket::option(level, name);
}

Outcome<> TcpSocket::set_option(int level, int name, int value) {
    if (level == SOL_SOCKET && name == SO_KEEPALIVE) {
        if (value == 0)
            options_.keepalive.reset();
        else if (!options_.keepalive)
            options_.keepalive = Duration::from_s(7200);
    } else if (level != IPPROTO_TCP) {
        return InetSocket::set_option(level, name, value);
    } else if (name == TCP_NODELAY) {
        options_.no_delay = value != 0;
    } else if (name == TCP_CORK) {
        options_.cork = value != 0;
    } else if (name == TCP_KEEPIDLE && value > 0 && value <= 32767) {
        options_.keepalive = Duration::from_s(value);
    } else if (name == TCP_KEEPINTVL && value > 0 && value <= 32767) {
        options_.keepalive_interval = Duration::from_s(value);
    } else if (name == TCP_KEEPCNT && value > 0 && value <= 127) {
        options_.keepalive_probes = static_cast<u8>(value);
    } else {
        return refuse(name == TCP_KEEPIDLE || name == TCP_KEEPINTVL || name == TCP_KEEPCNT ? EINVAL : ENOPROTOOPT);
    }
    if (stream_) (void)stream_->configure(options_);
    return {};
}

Outcome<int> TcpSocket::control(unsigned long request, void* argument) {
    if (request != FIONREAD) return refuse(ENOTTY);
    if (state_ == State::listening) return refuse(EINVAL);
    usize n = peeked_.lock()->size;
    if (stream_)
        if (const auto info = stream_->info()) n += info->receive_queue;
    *static_cast<int*>(argument) = static_cast<int>(n);
    return 0;
}

short TcpSocket::ready() {
    constexpr short kIn = POLLIN | POLLRDNORM, kOut = POLLOUT | POLLWRNORM;
    switch (state_.load()) {
    case State::fresh:
        return kOut | POLLHUP;
    case State::listening:
        return listener_->readiness().readable ? kIn : 0;
    default:
        break;
    }
    const auto now = stream_->readiness();
    const bool ended = now.peer_finished || now.closed || no_more_in_;
    int bits = (now.readable || has_peeked_ || ended ? kIn : 0) | (ended ? POLLRDHUP : 0);
    if (now.writable || now.closed) bits |= kOut;
    if (now.error) bits |= POLLERR | kIn | kOut;
    if (now.closed || now.error || (ended && no_more_out_)) bits |= POLLHUP;
    return static_cast<short>(bits);
}

}  // namespace

Outcome<Ref> make_tcp_socket(int family, int flags) {
    return make_description<TcpSocket>(family, flags);
}

}  // namespace ringlet::posix
