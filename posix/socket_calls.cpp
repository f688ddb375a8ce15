// The calls of <sys/socket.h>, for sockets of all families, and sendfile().
#include <limits.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "posix/file.hpp"
#include "posix/socket.hpp"
#include "posix/thread.hpp"

namespace ringlet::posix {

Outcome<> Socket::listen(int) {
    return refuse(EOPNOTSUPP);
}
Outcome<Ref> Socket::accept(SocketAddress&, int) {
    return refuse(EOPNOTSUPP);
}
Outcome<int> Socket::option(int, int) {
    return refuse(ENOPROTOOPT);
}
Outcome<> Socket::set_option(int, int, int) {
    return refuse(ENOPROTOOPT);
}
Outcome<> Socket::set_option(int, int, Bytes) {
    return refuse(ENOPROTOOPT);
}
Outcome<usize> Socket::read(MutableBytes to) {
    const auto r = TRY_POSIX(receive(to, 0));
    return std::min(r.size, to.size());
}
Outcome<usize> Socket::write(Bytes from) {
    const auto n = send(from, 0, nullptr);
    if (!n && n.error().code == EPIPE) raise(SIGPIPE);
    return n;
}
Outcome<> Socket::stat(struct stat& out) {
    out = {};
    out.st_mode = S_IFSOCK | 0777;
    out.st_nlink = 1;
    out.st_blksize = 4096;
    return {};
}

}  // namespace ringlet::posix

using namespace ringlet;
using namespace ringlet::posix;

namespace {

constexpr int kKinds = SOCK_NONBLOCK | SOCK_CLOEXEC;

int open_flags(int type) {
    return (type & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0;
}

/// The socket behind `fd`, kept open by `held`.
Outcome<posix::Socket*> socket_of(int fd, Ref& held) {
    held = TRY_POSIX(description(fd));
    posix::Socket* s = held->as_socket();
    if (s == nullptr) return refuse(ENOTSOCK);
    return s;
}

Outcome<SocketAddress> address_of(const sockaddr* from, socklen_t size) {
    if (from == nullptr) return refuse(EFAULT);
    if (size > sizeof(sockaddr_storage)) return refuse(EINVAL);
    SocketAddress a{.size = size};
    std::memcpy(&a.bytes, from, size);
    return a;
}

/// Into the caller's memory, cut off where that ends; `size` says how long it is in full.
void hand_out(const SocketAddress& a, sockaddr* to, socklen_t* size) {
    if (to == nullptr || size == nullptr) return;
    std::memcpy(to, &a.bytes, std::min(*size, a.size));
    *size = a.size;
}

Outcome<int> make(int family, int type, int protocol) {
    const int flags = open_flags(type);
    const bool close_on_exec = (type & SOCK_CLOEXEC) != 0;
    const int kind = type & ~kKinds;
    if (family == AF_UNIX) {
        if (protocol != 0) return refuse(EPROTONOSUPPORT);
        return insert(TRY_POSIX(make_unix_socket(kind, flags)), close_on_exec);
    }
    if (family != AF_INET && family != AF_INET6) return refuse(EAFNOSUPPORT);
    return insert(TRY_POSIX(make_inet_socket(family, kind, protocol, flags)), close_on_exec);
}

Outcome<> make_pair(int family, int type, int protocol, int (&fds)[2]) {
    if (family != AF_UNIX) return refuse(family == AF_INET || family == AF_INET6 ? EOPNOTSUPP : EAFNOSUPPORT);
    if (protocol != 0) return refuse(EPROTONOSUPPORT);
    Ref one, other;
    TRY_POSIX(make_unix_pair(type & ~kKinds, open_flags(type), one, other));
    return insert_two(fds, std::move(one), std::move(other), (type & SOCK_CLOEXEC) != 0);
}

Outcome<> bind_to(int fd, const sockaddr* name, socklen_t size) {
    Ref held;
    posix::Socket* const s = TRY_POSIX(socket_of(fd, held));
    return s->bind(TRY_POSIX(address_of(name, size)));
}

Outcome<> connect_to(int fd, const sockaddr* name, socklen_t size) {
    Ref held;
    posix::Socket* const s = TRY_POSIX(socket_of(fd, held));
    if (cancel_due()) return refuse(EINTR);
    return s->connect(TRY_POSIX(address_of(name, size)));
}

Outcome<> listen_at(int fd, int backlog) {
    Ref held;
    return TRY_POSIX(socket_of(fd, held))->listen(backlog);
}

Outcome<int> accept_from(int fd, sockaddr* name, socklen_t* size, int flags) {
    Ref held;
    posix::Socket* const s = TRY_POSIX(socket_of(fd, held));
    if ((flags & ~kKinds) != 0) return refuse(EINVAL);
    if (cancel_due()) return refuse(EINTR);
    SocketAddress peer;
    Ref made = TRY_POSIX(s->accept(peer, open_flags(flags)));
    const int result = TRY_POSIX(insert(std::move(made), (flags & SOCK_CLOEXEC) != 0));
    hand_out(peer, name, size);
    return result;
}

Outcome<usize> send_by(int fd, Bytes from, int flags, const sockaddr* name, socklen_t size) {
    Ref held;
    posix::Socket* const s = TRY_POSIX(socket_of(fd, held));
    if (cancel_due()) return refuse(EINTR);
    SocketAddress to;
    if (name != nullptr) to = TRY_POSIX(address_of(name, size));
    const auto n = s->send(from, flags, name != nullptr ? &to : nullptr);
    if (!n && n.error().code == EPIPE && (flags & MSG_NOSIGNAL) == 0) raise(SIGPIPE);
    return n;
}

Outcome<usize> receive_by(int fd, MutableBytes to, int flags, sockaddr* name, socklen_t* size) {
    Ref held;
    posix::Socket* const s = TRY_POSIX(socket_of(fd, held));
    if (cancel_due()) return refuse(EINTR);
    const auto r = TRY_POSIX(s->receive(to, flags));
    hand_out(r.from, name, size);
    return (flags & MSG_TRUNC) != 0 ? r.size : std::min(r.size, to.size());
}

/// The pieces of a message as one, for sockets that send it as one and for receiving.
class Gathered {
public:
    static Outcome<Gathered> of(const msghdr& m) {
        if (m.msg_iovlen < 0 || m.msg_iovlen > IOV_MAX) return refuse(EMSGSIZE);
        Gathered g(m);
        if (m.msg_iovlen == 1) {
            g.whole_ = {static_cast<std::byte*>(m.msg_iov->iov_base), m.msg_iov->iov_len};
            return g;
        }
        usize total = 0;
        for (int i = 0; i < m.msg_iovlen; ++i)
            if (__builtin_add_overflow(total, m.msg_iov[i].iov_len, &total) || total > SSIZE_MAX) return refuse(EINVAL);
        g.own_.reset(new (std::nothrow) std::byte[std::max<usize>(total, 1)]);
        if (!g.own_) return refuse(ENOMEM);
        g.whole_ = {g.own_.get(), total};
        return g;
    }
    void gather() {
        if (!own_) return;
        usize at = 0;
        for (int i = 0; i < message_->msg_iovlen; ++i) {
            std::memcpy(whole_.data() + at, message_->msg_iov[i].iov_base, message_->msg_iov[i].iov_len);
            at += message_->msg_iov[i].iov_len;
        }
    }
    /// The first `bytes` back to their pieces.
    void scatter(usize bytes) {
        if (!own_) return;
        usize at = 0;
        for (int i = 0; i < message_->msg_iovlen && at < bytes; ++i) {
            const usize n = std::min(bytes - at, message_->msg_iov[i].iov_len);
            std::memcpy(message_->msg_iov[i].iov_base, whole_.data() + at, n);
            at += n;
        }
    }
    MutableBytes whole() const { return whole_; }

private:
    explicit Gathered(const msghdr& m) : message_(&m) {}
    const msghdr* message_;
    std::unique_ptr<std::byte[]> own_;
    MutableBytes whole_;
};

Outcome<usize> send_message(int fd, const msghdr& m, int flags) {
    if (m.msg_control != nullptr && m.msg_controllen != 0) return refuse(EOPNOTSUPP);
    Gathered pieces = TRY_POSIX(Gathered::of(m));
    pieces.gather();
    return send_by(fd, pieces.whole(), flags, static_cast<const sockaddr*>(m.msg_name), m.msg_namelen);
}

Outcome<usize> receive_message(int fd, msghdr& m, int flags) {
    Ref held;
    posix::Socket* const s = TRY_POSIX(socket_of(fd, held));
    if (cancel_due()) return refuse(EINTR);
    Gathered pieces = TRY_POSIX(Gathered::of(m));
    const auto r = TRY_POSIX(s->receive(pieces.whole(), flags));
    const usize n = std::min(r.size, pieces.whole().size());
    pieces.scatter(n);
    hand_out(r.from, static_cast<sockaddr*>(m.msg_name), &m.msg_namelen);
    m.msg_controllen = 0;
    m.msg_flags = n < r.size ? MSG_TRUNC : 0;
    return (flags & MSG_TRUNC) != 0 ? r.size : n;
}

Outcome<> shut(int fd, int how) {
    Ref held;
    posix::Socket* const s = TRY_POSIX(socket_of(fd, held));
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return refuse(EINVAL);
    return s->shut_down(how);
}

Outcome<> name_of(int fd, sockaddr* name, socklen_t* size, Outcome<> (posix::Socket::*which)(SocketAddress&)) {
    Ref held;
    posix::Socket* const s = TRY_POSIX(socket_of(fd, held));
    SocketAddress a;
    TRY_POSIX((s->*which)(a));
    hand_out(a, name, size);
    return {};
}

/// A value into the caller's memory, cut off where that ends.
template <class T> Outcome<> hand_option(const T& value, void* to, socklen_t& size) {
    size = std::min<socklen_t>(size, sizeof value);
    std::memcpy(to, &value, size);
    return {};
}

timeval timeval_of(Duration d) {
    if (d == net::kForever) return {};
    return {.tv_sec = static_cast<time_t>(d.ns / kSecond), .tv_usec = static_cast<suseconds_t>(d.ns % kSecond / 1000)};
}

Outcome<> tell_option(int fd, int level, int name, void* to, socklen_t* size) {
    Ref held;
    posix::Socket* const s = TRY_POSIX(socket_of(fd, held));
    if (to == nullptr || size == nullptr) return refuse(EFAULT);
    if (level == SOL_SOCKET) {
        switch (name) {
        case SO_TYPE:
            return hand_option(s->type(), to, *size);
        case SO_DOMAIN:
            return hand_option(s->family(), to, *size);
        case SO_RCVTIMEO:
            return hand_option(timeval_of(s->receive_timeout), to, *size);
        case SO_SNDTIMEO:
            return hand_option(timeval_of(s->send_timeout), to, *size);
        case SO_LINGER:
            return hand_option(s->lingers, to, *size);
        default:
            break;
        }
    }
    return hand_option(TRY_POSIX(s->option(level, name)), to, *size);
}

Outcome<Duration> timeout_of(Bytes value) {
    timeval t;
    if (value.size() < sizeof t) return refuse(EINVAL);
    std::memcpy(&t, value.data(), sizeof t);
    if (t.tv_usec < 0 || t.tv_usec >= 1'000'000) return refuse(EDOM);
    if (t.tv_sec == 0 && t.tv_usec == 0) return net::kForever;
    return duration_of({.tv_sec = t.tv_sec, .tv_nsec = static_cast<long>(t.tv_usec) * 1000});
}

Outcome<> change_option(int fd, int level, int name, Bytes value) {
    Ref held;
    posix::Socket* const s = TRY_POSIX(socket_of(fd, held));
    if (value.data() == nullptr) return refuse(EFAULT);
    if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO)) {
        (name == SO_RCVTIMEO ? s->receive_timeout : s->send_timeout) = TRY_POSIX(timeout_of(value));
        return {};
    }
    if (level == SOL_SOCKET && name == SO_LINGER) {
        if (value.size() < sizeof s->lingers) return refuse(EINVAL);
        std::memcpy(&s->lingers, value.data(), sizeof s->lingers);
        return {};
    }
    if (const auto other = s->set_option(level, name, value); other || other.error().code != ENOPROTOOPT) return other;
    int number = 0;
    if (value.size() < sizeof number) return refuse(EINVAL);
    std::memcpy(&number, value.data(), sizeof number);
    return s->set_option(level, name, number);
}

/// In pieces of 64 KiB through memory of its own. EINVAL: not from a file.
Outcome<usize> send_file(int to, int from, off_t* offset, usize bytes) {
    const Ref source = TRY_POSIX(description(from));
    const Ref target = TRY_POSIX(description(to));
    if (source->as_file() == nullptr || !source->readable()) return refuse(source->readable() ? EINVAL : EBADF);
    if (!target->writable()) return refuse(EBADF);
    if (offset != nullptr && *offset < 0) return refuse(EINVAL);
    u64 at = offset != nullptr ? static_cast<u64>(*offset) : TRY_POSIX(source->seek(0, SEEK_CUR));
    constexpr usize kPiece = 64 * 1024;
    const std::unique_ptr<std::byte[]> buffer(new (std::nothrow) std::byte[std::min(bytes, kPiece) + 1]);
    if (!buffer) return refuse(ENOMEM);
    usize done = 0;
    Outcome<usize> failed{0};
    while (done < bytes) {
        const auto got = source->read_at(at, {buffer.get(), std::min(bytes - done, kPiece)});
        if (!got || *got == 0) {
            failed = got;
            break;
        }
        const auto sent = target->write({buffer.get(), *got});
        if (!sent) {
            failed = sent;
            break;
        }
        done += *sent;
        at += *sent;
        if (*sent < *got) break;
    }
    if (offset != nullptr)
        *offset = static_cast<off_t>(at);
    else
        TRY_POSIX(source->seek(static_cast<i64>(at), SEEK_SET));
    return done != 0 || failed ? Outcome<usize>(done) : failed;
}

}  // namespace

extern "C" {

int socket(int family, int type, int protocol) {
    return answer(make(family, type, protocol));
}
int socketpair(int family, int type, int protocol, int* fds) {
    int made[2];
    const auto done = make_pair(family, type, protocol, made);
    if (done) std::copy_n(made, 2, fds);
    return answer(done);
}
int bind(int fd, const sockaddr* name, socklen_t size) {
    return answer(bind_to(fd, name, size));
}
int connect(int fd, const sockaddr* name, socklen_t size) {
    return finish([&] { return connect_to(fd, name, size); });
}
int listen(int fd, int backlog) {
    return answer(listen_at(fd, backlog));
}
int accept4(int fd, sockaddr* name, socklen_t* size, int flags) {
    return finish([&] { return accept_from(fd, name, size, flags); });
}
int accept(int fd, sockaddr* name, socklen_t* size) {
    return accept4(fd, name, size, 0);
}
ssize_t sendto(int fd, const void* from, size_t bytes, int flags, const sockaddr* name, socklen_t size) {
    return finish<ssize_t>([&] {
        return send_by(fd, {static_cast<const std::byte*>(from), bytes}, flags, name, size);
    });
}
ssize_t send(int fd, const void* from, size_t bytes, int flags) {
    return sendto(fd, from, bytes, flags, nullptr, 0);
}
ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    return finish<ssize_t>([&] { return send_message(fd, *message, flags); });
}
ssize_t recvfrom(int fd, void* to, size_t bytes, int flags, sockaddr* name, socklen_t* size) {
    return finish<ssize_t>([&] { return receive_by(fd, {static_cast<std::byte*>(to), bytes}, flags, name, size); });
}
ssize_t recv(int fd, void* to, size_t bytes, int flags) {
    return recvfrom(fd, to, bytes, flags, nullptr, nullptr);
}
ssize_t recvmsg(int fd, msghdr* message, int flags) {
    return finish<ssize_t>([&] { return receive_message(fd, *message, flags); });
}
int shutdown(int fd, int how) {
    return answer(shut(fd, how));
}
int getsockname(int fd, sockaddr* name, socklen_t* size) {
    return answer(name_of(fd, name, size, &posix::Socket::local_name));
}
int getpeername(int fd, sockaddr* name, socklen_t* size) {
    return answer(name_of(fd, name, size, &posix::Socket::peer_name));
}
int getsockopt(int fd, int level, int name, void* to, socklen_t* size) {
    return answer(tell_option(fd, level, name, to, size));
}
int setsockopt(int fd, int level, int name, const void* value, socklen_t size) {
    return answer(change_option(fd, level, name, {static_cast<const std::byte*>(value), size}));
}
ssize_t sendfile(int to, int from, off_t* offset, size_t bytes) {
    return finish<ssize_t>([&] { return send_file(to, from, offset, bytes); });
}

}  // extern "C"
