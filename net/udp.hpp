// UDP (RFC 768) sockets as values: datagrams in, datagrams out, bounded queues. No locks, no clock.
// Context: the network monitor.
#pragma once

#include <memory>
#include <optional>

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

class Udp {
public:
    static constexpr usize kReceiveQueue = 32;  ///< datagrams per socket
    static constexpr usize kTransmitQueue = 16;

    /// The table is allocated here; without memory for it every open fails. `pool` and `stats` outlive it.
    Udp(u16 max_sockets, SipKey key, PacketPool& pool, Statistics& stats);
    ~Udp();
    Udp(const Udp&) = delete;
    Udp& operator=(const Udp&) = delete;

    enum class Verdict : u8 { delivered, dropped, no_socket };
    /// One received datagram, window = UDP header and payload. On no_socket the packet is left with the caller,
    /// window unchanged, for an ICMP answer; otherwise it is consumed.
    Verdict input(IpAddr source, IpAddr destination, PacketBuffer& datagram);

    struct Outgoing {
        PacketBuffer packet;  ///< window = UDP header and payload; the checksum is not filled in yet
        IpAddr source;        ///< unspecified: the stack chooses
        Endpoint to;
    };
    std::optional<Outgoing> output();

    /// local.address ::, any of ours; 0.0.0.0, any of our IPv4 addresses. local.port 0 picks an ephemeral port. in_use,
    /// no_space, no_memory.
    Result<UdpHandle> open(Endpoint local);
    void close(UdpHandle h);
    /// Queues one datagram. would_block: the queue is full or no packet is free. too_large: beyond `max_payload`.
    Result<> send_to(UdpHandle h, Endpoint to, Bytes payload, usize max_payload);
    struct Received {
        usize size;
        Endpoint from;
    };
    /// The oldest datagram; what does not fit into `to` is cut off (size tells the whole length). would_block: none.
    Result<Received> receive_from(UdpHandle h, MutableBytes to);
    /// ICMP port unreachable for what we sent from local to remote: reported once by receive_from().
    void on_unreachable(Endpoint local, Endpoint remote);

    /// Has a socket at `local` written to `remote` last?
    bool talks_to(const Endpoint& local, const Endpoint& remote) const {
        const Socket* s = find_port(local.address, local.port);
        return s != nullptr && last_peer_is(*s, remote);
    }

    bool readable(UdpHandle h) const;
    bool writable(UdpHandle h) const;
    Result<Endpoint> local(UdpHandle h) const;
    void set_user_data(UdpHandle h, void* data);
    void* user_data(UdpHandle h) const;
    /// Sockets that became readable or writable since they were last returned.
    std::optional<UdpHandle> next_ready();
    void for_each(FunctionRef<void(const UdpSocketInfo&)> visit) const;
    bool has_output() const { return queued_output_ != 0; }
    usize packets_held() const { return held_ + queued_output_; }

private:
    struct Socket;
    Socket* find(UdpHandle h) const;
    Socket* find_port(IpAddr destination, u16 port) const;
    static bool last_peer_is(const Socket& s, const Endpoint& remote);
    void mark_ready(Socket& s);
    u16 ephemeral_port();

    Socket* sockets_ = nullptr;
    u16 capacity_ = 0;
    u16 next_output_ = 0;    // round robin
    u32 queued_output_ = 0;  // datagrams waiting in all transmit queues
    usize held_ = 0;         // packets in all receive queues, at most a quarter of the pool
    Socket* ready_head_ = nullptr;
    Socket* ready_tail_ = nullptr;
    SipKey key_;
    u64 ephemeral_counter_ = 0;
    PacketPool& pool_;
    Statistics& stats_;
};

}  // namespace ringlet::net
