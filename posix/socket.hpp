// Sockets of all families: what their calls come down to. Context: thread, holding nothing.
#pragma once

#include <sys/socket.h>

#include <cstddef>

#include "net/api/service.hpp"
#include "posix/descriptor_table.hpp"
#include "posix/time_conversion.hpp"

namespace ringlet::posix {

/// An address as the caller gave it, or for him.
struct SocketAddress {
    sockaddr_storage bytes{};
    socklen_t size = 0;
    sa_family_t family() const { return size >= offsetof(sockaddr, sa_data) ? bytes.ss_family : AF_UNSPEC; }
};

class Socket : public Description {
public:
    Socket(int family, int type, int flags) : Description(O_RDWR | flags), family_(family), type_(type) {}
    Socket* as_socket() final { return this; }
    int family() const { return family_; }
    int type() const { return type_; }

    virtual Outcome<> bind(const SocketAddress& address) = 0;
    virtual Outcome<> connect(const SocketAddress& to) = 0;
    virtual Outcome<> listen(int backlog);
    /// A connection that came; `flags`: O_NONBLOCK for it.
    virtual Outcome<Ref> accept(SocketAddress& peer, int flags);
    /// Waits unless `flags` say MSG_DONTWAIT. EPIPE: the caller raises the signal.
    virtual Outcome<usize> send(Bytes from, int flags, const SocketAddress* to) = 0;
    struct Received {
        usize size = 0;  ///< of a datagram: all of it, also what did not fit
        SocketAddress from;
    };
    virtual Outcome<Received> receive(MutableBytes to, int flags) = 0;
    virtual Outcome<> shut_down(int how) = 0;
    virtual Outcome<> local_name(SocketAddress& out) = 0;
    virtual Outcome<> peer_name(SocketAddress& out) = 0;
    /// Options that are a number, besides those of all sockets. ENOPROTOOPT.
    virtual Outcome<int> option(int level, int name);
    virtual Outcome<> set_option(int level, int name, int value);
    /// Those that are something else.
    virtual Outcome<> set_option(int level, int name, Bytes value);

    // Read and write are receive and send without flags.
    Outcome<usize> read(MutableBytes to) final;
    Outcome<usize> write(Bytes from) final;
    Outcome<> stat(struct stat& out) final;

    Duration receive_timeout = net::kForever, send_timeout = net::kForever;
    linger lingers{};

protected:
    /// attempt() until it says anything but EAGAIN, or may not wait any longer.
    template <class Attempt> auto retry(int flags, Duration timeout, Attempt attempt) {
        Instant deadline{};
        for (bool first = true;; first = false) {
            const u32 seen = changes();
            auto result = attempt();
            if (result || result.error().code != EAGAIN) return result;
            if (!blocks() || (flags & MSG_DONTWAIT) != 0) return result;
            if (first) deadline = timeout == net::kForever ? Instant::never() : after(timeout);
            if (deadline <= kernel::now()) return result;
            if (const auto waited = await_change(seen, deadline); !waited) {
                result = refuse(waited.error());
                return result;
            }
        }
    }

private:
    const int family_, type_;
};

Outcome<Ref> make_inet_socket(int family, int type, int protocol, int flags);
Outcome<Ref> make_unix_socket(int type, int flags);
Outcome<> make_unix_pair(int type, int flags, Ref& one, Ref& other);

}  // namespace ringlet::posix
