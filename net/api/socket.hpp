// TCP streams and listeners, UDP sockets: move-only, closing is the destructor's job. Each call either blocks with a
// bound (the timeouts below) or, with try_ in its name, never blocks.
// Context: thread, holding no lock. Two threads may use one stream at once, one reading and one writing; moving or
// destroying it while another thread is inside is the caller's mistake. No object outlives its Service.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "lib/bytes.hpp"
#include "lib/result.hpp"
#include "lib/time.hpp"
#include "net/address.hpp"
#include "net/api/service.hpp"
#include "net/tcp/types.hpp"

namespace ringlet::net {

namespace detail {

/// What the three kinds of sockets share: the service and the heap block that waiters and selectors hang on.
class Socket {
public:
    Socket(Socket&& o) noexcept : service_(o.service_), watch_(std::exchange(o.watch_, nullptr)) {}
    Socket& operator=(Socket&& o) noexcept {
        std::swap(service_, o.service_);
        std::swap(watch_, o.watch_);
        return *this;
    }
    /// Closes in the background; what was written is still delivered.
    ~Socket() { close(); }
    void close();
    bool is_open() const { return watch_ != nullptr; }
    /// What can be done now without waiting.
    tcp::Readiness readiness() const;
    /// Whom to tell, until the socket is closed, when that may have become more. nullptr: nobody.
    void observe(Observer* observer);

protected:
    friend class net::Selector;
    Socket(Service& service, Watch* watch) : service_(&service), watch_(watch) {}
    /// A heap block that the stack's handle points to; nullptr when memory is out.
    static Watch* make_watch(Watch::Kind kind);
    /// Sleeps until `attempt()` (under the monitor) gives anything but would_block; timed_out at the deadline.
    template <class Attempt>
    auto block(Instant deadline, Attempt attempt) const -> std::invoke_result_t<Attempt&, Stack&>;
    /// After a write or a read that opened the window: now, or with the selector's next wait().
    void push(Service::Monitor::Access& held) const;
    Service* service_;
    Watch* watch_;
};

}  // namespace detail

/// Received bytes in the network's own buffers, lent until this object dies: read without a copy. Move-only. Whoever
/// keeps many of them keeps buffers from everybody.
class ReceivedBytes {
public:
    ReceivedBytes(ReceivedBytes&& o) noexcept : service_(o.service_), packet_(std::exchange(o.packet_, std::nullopt)) {}
    ReceivedBytes& operator=(ReceivedBytes&& o) noexcept {
        std::swap(service_, o.service_);
        std::swap(packet_, o.packet_);
        return *this;
    }
    ~ReceivedBytes();
    /// 0: the peer finished.
    usize size() const { return packet_ ? packet_->total_size() : 0; }
    /// visit(Bytes piece), in the order of the stream.
    template <class F> void for_each(F visit) const {
        if (packet_) packet_->for_each_fragment([&](MutableBytes piece, DmaAddr) { visit(Bytes(piece)); });
    }

private:
    friend class TcpStream;
    ReceivedBytes(Service& service, std::optional<PacketBuffer> packet)
        : service_(&service), packet_(std::move(packet)) {}
    Service* service_;
    std::optional<PacketBuffer> packet_;
};

/// A loan that a thread waits for. Destroying it before it is over is the caller's mistake.
class AwaitedLoan : public Loan {
public:
    AwaitedLoan() : Loan([](Loan& l) { static_cast<AwaitedLoan&>(l).over_.set(); }) {}
    /// Nothing more of it is lent; true when it is over, and the memory the caller's again. False at the timeout, and
    /// when asked again.
    bool wait(Duration timeout);

private:
    kernel::Event over_;
    bool dropped_ = false;
};

class TcpStream : public detail::Socket {
public:
    /// unreachable, connection_refused, timed_out, no_memory, no_space.
    static Result<TcpStream> connect(Service& service, Endpoint remote, Duration timeout = Duration::from_s(30));
    /// Returns at once; writable (or error) in a Selector tells how it ended.
    /// `local_port`: ours, when it must be a certain one.
    static Result<TcpStream> start_connect(Service& service, Endpoint remote, u16 local_port = 0);

    /// At least one byte, as many as there are up to to.size(); 0: the peer finished. timed_out after the read timeout.
    Result<usize> read(MutableBytes to);
    /// The same, would_block instead of waiting.
    Result<usize> try_read(MutableBytes to);
    /// Reading without a copy: what has come, at most `most` bytes or one buffer; at the end of the stream none.
    /// no_memory: buffers are scarce, read() instead. Else as read() and try_read().
    Result<ReceivedBytes> take(usize most = 64 * 1024);
    Result<ReceivedBytes> try_take(usize most = 64 * 1024);
    /// All of `from`, or an error (then an unknown part has been sent). The write timeout runs from the last progress.
    Result<> write(Bytes from);
    /// As much as fits, at least one byte; would_block when nothing does.
    Result<usize> try_write(Bytes from);
    /// write() without a copy: `from` is sent from where it is, and must neither change nor go away before `loan` is
    /// over (net/loan.hpp); without a loan, never. What is short, on a stack, or too much for the packet pool is copied
    /// as by write(), and not held.
    Result<> lend(Bytes from, Loan* loan = nullptr);
    /// As much as can be taken now: all of up to Loan::kMostBytes where there was room for a byte, when nothing had to
    /// be copied. would_block as try_write().
    Result<usize> try_lend(Bytes from, Loan* loan = nullptr);
    /// As try_write(), and everything written so far is urgent (RFC 9293 §3.8.5). For peers that need it: RFC 6093 §5
    /// advises against it. What the peer marks so stays in the stream: info().urgent_bytes.
    Result<usize> try_write_urgent(Bytes from);
    /// Our side is finished; reading goes on.
    Result<> shutdown_write();
    /// Resets the connection instead of finishing it.
    void abort();
    void set_read_timeout(Duration d) { read_timeout_ = d; }
    void set_write_timeout(Duration d) { write_timeout_ = d; }
    Result<> configure(const tcp::Options& options);
    Result<tcp::Info> info() const;
    /// What ended the connection or its opening, told once.
    Result<> take_error();

private:
    friend class TcpListener;
    using Socket::Socket;
    Duration read_timeout_ = kForever, write_timeout_ = kForever;
};

class TcpListener : public detail::Socket {
public:
    /// local.address unspecified: any of ours. in_use, invalid, no_memory, no_space.
    static Result<TcpListener> bind(Service& service, Endpoint local, u16 backlog = 128);
    static Result<TcpListener> bind(Service& service, u16 port, u16 backlog = 128) {
        return bind(service, Endpoint{{}, port}, backlog);
    }
    Result<TcpStream> accept(Duration timeout = kForever);
    Result<TcpStream> try_accept();

private:
    using Socket::Socket;
};

/// One of several datagrams to send, or to receive: `bytes` is filled up to `size`, or cut off when it is larger.
struct OutgoingDatagram {
    Endpoint to;  ///< port 0: the connected peer
    Bytes bytes;
};
struct IncomingDatagram {
    MutableBytes bytes;
    usize size = 0;
    Endpoint from;
};

class UdpSocket : public detail::Socket {
public:
    /// local.port 0: an ephemeral port. in_use, no_space, no_memory.
    static Result<UdpSocket> bind(Service& service, Endpoint local, PortUse use = PortUse::exclusive);
    Result<Endpoint> local() const;
    /// Only `remote` from now on, and ICMP errors about it come from the next call to receive. Port 0: undone.
    Result<> connect(Endpoint remote);
    /// Multicast: what is sent to `group` and this port is received too. exists, not_found, no_space, invalid.
    Result<> join(IpAddr group);
    Result<> leave(IpAddr group);
    /// Do members on this machine, this socket too, hear what it sends to their group? They do, unless told otherwise.
    Result<> set_multicast_loop(MulticastLoop loop);

    /// One datagram; waits for queue room up to `timeout`. In fragments when the path is narrower; too_large beyond
    /// 65,507 bytes; no_memory when it needs more than a quarter of all packet buffers.
    Result<> send_to(Endpoint to, Bytes payload, Duration timeout = Duration::from_s(5));
    Result<> try_send_to(Endpoint to, Bytes payload);
    /// To the connected peer; not_connected.
    Result<> send(Bytes payload, Duration timeout = Duration::from_s(5)) { return send_to({}, payload, timeout); }
    /// Several at once, sent together. How many were: as many as there was room for, at least one, up to the first that
    /// cannot be sent; its error when that is the first of all.
    Result<usize> send_batch(std::span<const OutgoingDatagram> all, Duration timeout = Duration::from_s(5));
    /// One datagram, cut off when `to` is too small (size tells its whole length).
    Result<Udp::Received> receive_from(MutableBytes to, Duration timeout = kForever);
    Result<Udp::Received> try_receive_from(MutableBytes to);
    /// Waits for one, takes all that are there up to all.size(). How many.
    Result<usize> receive_batch(std::span<IncomingDatagram> all, Duration timeout = kForever);

private:
    using Socket::Socket;
};

}  // namespace ringlet::net
