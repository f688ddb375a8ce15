// Waiting for many sockets at once, for single-threaded event loops. Level-triggered like epoll: a socket is reported
// as long as it is ready for what it is watched for; each wait costs what is ready, not what is registered.
// Writes to a watched socket are sent at the next wait() (or Service::flush()): one kick for a whole round of answers.
// Context: one thread per selector (wake() excepted). A socket is in at most one selector, and leaves it when closed.
#pragma once

#include <span>

#include "net/api/socket.hpp"

namespace ringlet::net {

enum class Interest : u8 { none = 0, read = 1, write = 2, both = 3 };

struct Ready {
    u64 token = 0;
    bool readable = false;  ///< read, accept or receive will not block (end of stream included)
    bool writable = false;  ///< write will take something; for a connection being opened: it is open
    bool finished = false;  ///< reset, refused, timed out: the next call returns the error. Always reported
};

class Selector {
public:
    explicit Selector(Service& service) : service_(service) {}
    /// Forgets its sockets; they stay open.
    ~Selector();
    Selector(const Selector&) = delete;
    Selector& operator=(const Selector&) = delete;

    /// `token` comes back in Ready. exists: it is in a selector already; closed: not an open socket.
    Result<> add(const detail::Socket& socket, u64 token, Interest interest);
    /// Changes what a socket of this selector is watched for (its token stays). not_found.
    Result<> modify(const detail::Socket& socket, Interest interest);
    void remove(const detail::Socket& socket);

    /// Sends what has been written, then fills `out` with ready sockets and returns those; empty when `deadline` passed
    /// or wake() was called. Fair: what is reported goes to the end of the queue.
    std::span<const Ready> wait(std::span<Ready> out, Instant deadline);
    /// Makes wait() return, now or the next time. Context: any, interrupts included.
    void wake();

private:
    friend struct detail::Core;
    friend class detail::Socket;
    /// Fills `out` from the queue; how many. Under the monitor, like the two below.
    usize collect(const Stack& stack, std::span<Ready> out);
    void queue(detail::Watch& watch);
    static void forget(detail::Watch& watch);

    Service& service_;
    List<detail::Watch, detail::ReadyTag> ready_;
    List<detail::Watch, detail::MemberTag> members_;
    detail::Waiter waiter_;
    std::atomic<bool> woken_{false};
};

}  // namespace ringlet::net
