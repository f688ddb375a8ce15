// The vocabulary of TCP's public face: states, handles, readiness, configuration, statistics. Context: any.
#pragma once

#include <array>
#include <optional>

#include "lib/result.hpp"
#include "lib/time.hpp"
#include "lib/types.hpp"
#include "net/address.hpp"

namespace ringlet::net::tcp {

/// RFC 9293 §3.3.2.
enum class State : u8 {
    closed,
    listen,
    syn_sent,
    syn_received,
    established,
    fin_wait_1,
    fin_wait_2,
    close_wait,
    closing,
    last_ack,
    time_wait
};
/// "ESTABLISHED" and so on, as netstat prints them.
std::string_view to_string(State s);

/// Names a connection or a listener. A stale handle (closed, aborted) is Error::invalid, never a crash.
struct Handle {
    u32 index = ~u32{0};
    u32 generation = 0;
    friend constexpr bool operator==(Handle, Handle) = default;
};

/// What can be done with a handle without would_block. `error` stays until take_error().
struct Readiness {
    bool readable = false;       ///< bytes to read, or the end of the stream, or a connection to accept
    bool writable = false;       ///< room in the send buffer and the connection is open for sending
    bool peer_finished = false;  ///< the peer's FIN has arrived (bytes before it may still be unread)
    bool urgent = false;         ///< what is to be read, or still to come, has an urgent part: see Info::urgent_bytes
    bool closed = false;         ///< nothing more will ever happen: reset, timed out, or both sides finished
    std::optional<Error> error;  ///< connection_reset, connection_refused, timed_out, unreachable, no_memory
    friend bool operator==(const Readiness&, const Readiness&) = default;
};

enum class CongestionControl : u8 {
    cubic,    ///< RFC 9438
    new_reno  ///< RFC 5681
};

/// Per-connection switches; the defaults are those of a fresh connection.
struct Options {
    bool no_delay = false;  ///< true: no Nagle (RFC 9293 §3.7.4)
    /// true: only whole segments leave, until it is taken back, the stream ends, or for 200 ms nothing was in flight.
    bool cork = false;
    std::optional<Duration> keepalive;  ///< idle time before the first probe (RFC 9293 §3.8.4); absent: off
    Duration keepalive_interval = Duration::from_s(75);
    u8 keepalive_probes = 9;
    CongestionControl congestion = CongestionControl::cubic;  ///< how the window grows after slow start
};

struct Config {
    u32 max_connections = 512;  ///< all states together, half-open and TIME-WAIT included
    u32 max_half_open = 128;    ///< SYN-RECEIVED over all listeners; beyond it SYNs are answered with cookies
    u32 max_time_wait = 128;    ///< the one with the least time left makes room
    u32 max_listeners = 32;
    usize send_buffer_bytes = 64 * 1024;     ///< bound of a fresh connection; storage grows on demand
    usize receive_buffer_bytes = 64 * 1024;  ///< the window offered at first; payload sits in PacketBuffers
    usize send_buffer_most = 512 * 1024;     ///< the bound follows twice the congestion window up to this
    usize receive_buffer_most = 512 * 1024;  ///< the window follows twice what is read in a round trip up to this
    std::array<u8, 16> secret{};             ///< random, per boot: ISN, hash table, ephemeral ports, timestamp offsets
    u16 mss = 1460;                          ///< what we announce and never exceed: MTU - 40; 20 less over IPv6
    bool tx_checksum_offload = false;        ///< leave the checksum to the device: meta().checksum == partial
    u32 gso_bytes6 = 0;                      ///< as gso_bytes, over IPv6
    u32 gso_bytes = 0;                       ///< payload and headers of the largest segment the link cuts up; 0: none
    u16 fragments = 1;  ///< buffers of the largest packet the link takes, with the checksum left to it
    Duration time_wait = Duration::from_s(60);       ///< 2 MSL
    Duration orphan_timeout = Duration::from_s(60);  ///< FIN-WAIT-2 after close(), and closing states without progress
    Duration syn_timeout = Duration::from_s(75);     ///< connect() gives up
    Duration stall_timeout = Duration::from_s(5);    ///< who takes nothing for so long makes room for other senders
    Duration give_up = Duration::from_s(180);        ///< R2: retransmitting the same data (RFC 9293 §3.8.3)
};

/// Why ICMP says a segment of ours did not arrive.
enum class Unreachable : u8 { network, host, protocol, port, prohibited, fragmentation_needed, time_exceeded };

/// One line of netstat.
struct Info {
    Handle handle;  ///< invalid for connections the application has already closed or not yet accepted
    Endpoint local, remote;
    State state = State::closed;
    u32 send_queue = 0;         ///< bytes written and not acknowledged; listener: its backlog
    u32 receive_queue = 0;      ///< bytes received and not read; listener: connections waiting for accept()
    u32 urgent_bytes = 0;       ///< from the next byte to read to the end of what is urgent (RFC 9293 §3.8.5)
    u32 congestion_window = 0;  ///< bytes
    u32 send_window = 0;        ///< bytes the peer allows
    u16 mss = 0;
    Duration smoothed_rtt{};
    u32 retransmissions = 0;
};

/// Every segment that is not simply accepted is counted in one of these.
struct Stats {
    u64 segments_in = 0, segments_out = 0, bytes_in = 0, bytes_out = 0;
    u64 gso_out = 0, gso_in = 0;                ///< segments larger than the MTU, sent and received
    u64 joined_in = 0;                          ///< segments joined to the one before them (net/tcp/merger.hpp)
    u64 fast_path_data = 0, fast_path_ack = 0;  ///< header prediction hits
    u64 active_opens = 0, passive_opens = 0, established = 0;
    u64 retransmitted = 0, timeouts = 0, fast_retransmits = 0, partial_acks = 0, zero_window_probes = 0;
    u64 tail_probes = 0;          ///< RFC 8985 §7
    u64 spurious_recoveries = 0;  ///< undone: nothing had been lost
    u64 duplicates_reported = 0;  ///< by the peer (RFC 2883)
    u64 bad_sack = 0;             ///< blocks about what is not in flight
    u64 black_holes = 0;          ///< segments made smaller because large ones vanish without a word
    u64 keepalive_probes = 0, delayed_acks = 0, duplicate_acks_in = 0, challenge_acks = 0, resets_out = 0;
    u64 out_of_order = 0;  ///< segments kept by the assembler
    // dropped, by reason
    u64 bad_header = 0, bad_checksum = 0, bad_address = 0, no_connection = 0;
    u64 unacceptable = 0;  ///< outside the window or duplicate (answered with an ACK)
    u64 bad_ack = 0, paws = 0, bad_reset = 0, bad_syn = 0, missing_ack = 0;
    u64 beyond_window = 0;  ///< bytes cut off at the window's right edge
    u64 data_after_close = 0;
    u64 cookies_sent = 0, cookies_accepted = 0, cookies_rejected = 0;  ///< RFC 4987 §3.6
    u64 listen_overflow = 0, half_open_evicted = 0, orphans_evicted = 0, time_wait_recycled = 0, table_full = 0;
    u64 receive_memory = 0;   ///< payload refused: too many packet buffers are held
    u64 send_memory = 0;      ///< writes refused: send buffers hold too many
    u64 stalled_evicted = 0;  ///< reset, because their peers took nothing and others had no memory to write
    u64 reply_overflow = 0, challenge_limited = 0, no_packet = 0, no_memory = 0;
    u64 icmp_ignored = 0, icmp_accepted = 0;
    // ends
    u64 resets_in = 0, timed_out = 0, refused = 0, orphans_expired = 0;
};

}  // namespace ringlet::net::tcp
