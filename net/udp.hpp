// UDP (RFC 768) sockets as values: datagrams in, datagrams out, bounded queues. No locks, no clock.
// Context: the network monitor.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "lib/function_ref.hpp"
#include "lib/result.hpp"
#include "lib/siphash.hpp"
#include "net/config.hpp"
#include "net/packet.hpp"
#include "net/statistics.hpp"

namespace ringlet::net {

/// Names a UDP socket; a stale one is Error::invalid, never a crash.
struct UdpHandle {
    u32 index = ~u32{0};
    u32 generation = 0;
    friend constexpr bool operator==(UdpHandle, UdpHandle) = default;
};

/// May others open the same local endpoint too? Then all of them must say so; a datagram to a group or a broadcast
/// address goes to each, any other to the connected one it is for, else to one of them.
enum class PortUse : u8 { exclusive, shared };

/// Do members on this machine hear what a socket sends to their group, itself included?
enum class MulticastLoop : u8 { off, on };

class Udp {
public:
    static constexpr usize kReceiveQueue = 32;  ///< datagrams per socket
    static constexpr usize kTransmitQueue = 64;
    static constexpr usize kLargestPayload = 65'507;  ///< of a datagram: what fits an IPv4 packet (RFC 791 §3.1)
    static constexpr usize kPiece = PacketBuffer::kSize - PacketBuffer::kHeadroom;  ///< most bytes of one in a buffer
    static constexpr usize kGroups = 8;                                             ///< multicast groups per socket
    static constexpr u16 kFirstEphemeral = 32768;  ///< up to 65535: as many as can be without the usual servers' ports

    /// The table is allocated here; without memory for it every open fails. `pool` and `stats` outlive it.
    Udp(u16 max_sockets, SipKey key, PacketPool& pool, Statistics& stats);
    ~Udp();
    Udp(const Udp&) = delete;
    Udp& operator=(const Udp&) = delete;

    enum class Verdict : u8 { delivered, dropped, no_socket };
    /// To one of our addresses, or to many: a group or broadcast address.
    enum class Audience : u8 { one, many };
    /// One received datagram, window = UDP header and payload. On no_socket the packet is left with the caller,
    /// window unchanged, for an ICMP answer; otherwise it is consumed. `scope`: the interface's, for link-local peers.
    Verdict input(IpAddr source, IpAddr destination, PacketBuffer& datagram, Audience audience = Audience::one,
                  u16 scope = 0);

    struct Outgoing {
        PacketBuffer packet;  ///< window = UDP header and payload; the checksum is not filled in yet
        IpAddr source;        ///< unspecified: the stack chooses
        Endpoint to;
        MulticastLoop loop;
    };
    std::optional<Outgoing> output();

    /// local.address `::`, any of ours; 0.0.0.0, any of our IPv4 addresses. local.port 0 picks an ephemeral port (RFC
    /// 6056). in_use, no_space, no_memory.
    Result<UdpHandle> open(Endpoint local, PortUse use = PortUse::exclusive);
    void close(UdpHandle h);
    /// From now on only `remote` is heard, ICMP errors about it are reported, and send_to() goes nowhere else.
    /// remote.port 0: undone. invalid.
    Result<> connect(UdpHandle h, Endpoint remote);
    Result<Endpoint> remote(UdpHandle h) const;  ///< not_connected
    /// How a datagram lies in its buffers, so that IP can send it without copying: with its header in one buffer when
    /// it is not larger than `whole`, else `piece` bytes (a multiple of 8) in each, which become the fragments.
    struct Layout {
        usize whole = kPiece, piece = kPiece;
        static Layout of(usize path_mtu, usize ip_header, usize fragment_header = 0) {
            const auto fits = [](usize n) { return n < kPiece ? n : kPiece; };
            return {fits(path_mtu - ip_header), fits(path_mtu - ip_header - fragment_header) & ~usize{7}};
        }
    };
    /// Queues one datagram; `to` with port 0 is the connected peer. All its buffers are taken here: nothing that was
    /// queued is lost for want of them. would_block: a queue is full or too few buffers are free; the socket becomes
    /// ready when there is room for as much. no_memory: more than all sockets together may queue. too_large: beyond
    /// kLargestPayload. invalid: no peer, or another than the connected one.
    Result<> send_to(UdpHandle h, Endpoint to, Bytes payload, Layout layout);
    struct Received {
        usize size;
        Endpoint from;
    };
    /// The oldest datagram; what does not fit into `to` is cut off (size tells the whole length). would_block: none.
    /// An ICMP error comes before it, once: connection_refused, unreachable, too_large.
    Result<Received> receive_from(UdpHandle h, MutableBytes to);
    /// ICMP says why what we sent from local to remote did not arrive. A socket without a peer hears only of a closed
    /// port, and only about the one it sent to last (RFC 1122 §4.1.3.3).
    void on_error(Endpoint local, Endpoint remote, Error why);

    /// Which groups' datagrams it gets (RFC 1112 §7.1). Stack::join() calls this and reports the membership. exists,
    /// no_space, invalid: no multicast address; not_found.
    Result<> join(UdpHandle h, IpAddr group);
    Result<> leave(UdpHandle h, IpAddr group);
    /// For what `h` sends from now on; at first it is on.
    Result<> set_multicast_loop(UdpHandle h, MulticastLoop loop);
    /// Leaves any one group, and says which; nothing when it is in none.
    std::optional<IpAddr> leave_one(UdpHandle h);

    /// Has a socket at `local` written to `remote` last?
    bool talks_to(const Endpoint& local, const Endpoint& remote) const;

    bool readable(UdpHandle h) const;
    bool writable(UdpHandle h) const;
    Result<Endpoint> local(UdpHandle h) const;
    void set_user_data(UdpHandle h, void* data);
    void* user_data(UdpHandle h) const;
    /// Sockets that became readable or writable since they were last returned.
    bool has_ready() const { return ready_head_ != nullptr; }
    std::optional<UdpHandle> next_ready() { return ready_head_ == nullptr ? std::nullopt : take_ready(); }
    void for_each(FunctionRef<void(const UdpSocketInfo&)> visit) const;
    bool has_output() const { return queued_output_ != 0 || blocked_ != 0; }
    usize packets_held() const { return held_ + queued_output_; }

private:
    struct Socket;
    Socket* find(UdpHandle h) const;
    usize queue_limit() const { return pool_.total() / 4; }
    bool has_room(const Socket& s, usize buffers) const;
    Error refuse(Socket& s, usize buffers);
    void wake_blocked();
    PacketBuffer lay_out(Bytes payload, Layout layout);
    Verdict deliver(Socket& s, const Endpoint& from, PacketBuffer datagram);
    Verdict deliver_to_all(const Endpoint& from, const Endpoint& to, PacketBuffer& datagram);
    void mark_ready(Socket& s);
    std::optional<UdpHandle> take_ready();
    bool is_taken(u16 port) const;
    u16 ephemeral_port();

    Socket* sockets_ = nullptr;
    u16 capacity_ = 0;
    u16 next_output_ = 0;      // round robin
    u16 blocked_ = 0;          // sockets that were refused and wait for room
    usize queued_output_ = 0;  // buffers in all transmit queues, at most a quarter of the pool
    usize held_ = 0;           // buffers in all receive queues, at most a quarter of the pool
    Socket* ready_head_ = nullptr;
    Socket* ready_tail_ = nullptr;
    SipKey key_;
    u64 ephemeral_counter_ = 0;
    PacketPool& pool_;
    Statistics& stats_;
};

}  // namespace ringlet::net
