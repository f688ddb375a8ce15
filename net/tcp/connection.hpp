// One TCP connection: a pure state machine (RFC 9293). It is told segments, calls and the time; what it wants is read
// off it afterwards (plan, deadline, readiness, state). It knows no table, no list and no other connection.
// input.cpp, ack.hpp: segments. recovery.cpp: losses. output.cpp: what to send. timers.cpp: time. connection.cpp: the
// application's calls.
// Context: the network monitor.
#pragma once

#include "lib/list.hpp"
#include "net/checksum.hpp"
#include "net/packet_queue.hpp"
#include "net/tcp/assembler.hpp"
#include "net/tcp/congestion.hpp"
#include "net/tcp/isn.hpp"
#include "net/tcp/rack.hpp"
#include "net/tcp/recovery.hpp"
#include "net/tcp/rtt.hpp"
#include "net/tcp/scoreboard.hpp"
#include "net/tcp/segment.hpp"
#include "net/tcp/send_buffer.hpp"
#include "net/tcp/types.hpp"

namespace ringlet::net::tcp {

/// What all connections of one Tcp share.
struct Environment {
    Config config;
    PacketPool& pool;
    Secrets secrets;
    SendMemory send;
    Stats stats{};
    usize packets_held = 0;  ///< in all receive queues and assemblers
    usize packets_soft = 0;  ///< above it, windows stop growing and a queue of two packets is enough
    usize packets_hard = 0;  ///< above it, nothing is queued: the RX ring must not starve
};

enum ReadyBit : u8 { kReadable = 1, kWritable = 2, kFinished = 4, kClosed = 8, kError = 16, kUrgent = 32 };

/// What the table must do about the segment a connection was given.
enum class Verdict : u8 {
    done,
    reset,   ///< answer it with <RST> (RFC 9293 §3.10.7.1)
    reopen,  ///< TIME-WAIT met a new SYN: forget this connection and offer the segment to the listener
};

class Connection {
public:
    Connection(Environment& environment, const Endpoint& local, const Endpoint& remote);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // --- opening
    void open_active(Instant now);
    /// `s`: an acceptable SYN that reached a listener (§3.10.7.2).
    void open_passive(const Segment& s, Instant now);
    /// The same without a connection: the <SYN,ACK> that carries all there is to remember (RFC 4987 §3.6).
    static Segment cookie_answer(const Environment& env, const Segment& syn, Instant now);
    /// `ack` answers it, `mss` was in it: SYN-RECEIVED again, ready for on_segment(ack).
    void open_cookie(const Segment& ack, u16 mss, Instant now);

    // --- segments and time
    /// §3.10.7.3 and .4. The payload is `packet`'s window; it is taken when kept. `s` is used up.
    Verdict on_segment(Segment& s, PacketBuffer& packet, Instant now);
    void on_unreachable(SeqNum seq, Unreachable kind, u16 mtu, Instant now);
    void on_time(Instant now);
    /// Nothing could be sent for a while, and now it can: what waited for an answer is sent again soon.
    void on_link_restored(Instant now);
    Instant deadline() const {
        Instant first = timers_[0];
        for (usize i = 1; i < kTimers; ++i) first = std::min(first, timers_[i]);
        return first;
    }

    /// After every call above or below: arms the persist timer when something is stuck; true when next_packet() has
    /// something to say.
    bool update(Instant now) { return may_have_reason() && update_plan(now); }
    std::optional<PacketBuffer> next_packet(Instant now);
    /// True: another whole segment of new text may go, so that next_packet() has something to say for certain.
    bool has_whole_segment() const { return snd_nxt_ + mss_ <= fin_seq() && send_room() >= mss_; }

    /// An ACK must go, with data or without.
    bool owes_ack() const { return ack_now_; }

    // --- the application
    Result<usize> read(MutableBytes to, Instant now);
    /// read() that hands the buffers over instead of copying them: a chain of at most `most` bytes, but at least one
    /// buffer; nothing when the peer finished.
    Result<std::optional<PacketBuffer>> take(usize most, Instant now);
    Result<usize> write(Bytes from, Instant now);
    /// write() that keeps a reference instead of a copy, where it can: then of all of `from`, up to Loan::kMostBytes.
    Result<usize> lend(Bytes from, DmaAddr dma, Loan* loan, Instant now);
    /// What was written so far is urgent; nothing written, nothing is.
    void mark_urgent();
    Result<> shutdown_write();
    void configure(const Options& options, Instant now);
    /// Nobody will read or write any more. False: unread data is lost, so the peer must be reset (§3.6.1).
    bool orphan(Instant now);
    /// Becomes CLOSED at once. `error`: what a reader is told.
    void finish(std::optional<Error> error);

    /// Buffers in the receive queue and the assembler, views not counted; walks them.
    usize receive_buffers() const { return receive_.buffers() + assembler_.buffers(); }
    Readiness readiness() const;
    u8 readiness_bits() const;  ///< the same as ReadyBit, for comparing
    /// There is memory for writing again.
    void allow_write() { write_refused_ = false; }
    /// It holds send memory, and for Config::stall_timeout its peer has taken less than a buffer of it.
    bool is_stalled(Instant now) const {
        return send_.buffers() != 0 && now - held_since_ >= env_.config.stall_timeout;
    }
    void clear_pending_error() { pending_error_.reset(); }
    Info info() const;
    State state() const { return state_; }
    const Endpoint& local() const { return local_; }
    const Endpoint& remote() const { return remote_; }
    /// The peer is on this host: its packets need no link.
    bool is_local() const { return local_.address == remote_.address || remote_.address.is_loopback(); }
    /// How much longer than IPv4's the IP header is.
    u32 longer_header() const { return local_.address.is_ipv4() ? 0 : 20; }
    bool is_synchronized() const { return state_ >= State::established; }
    bool is_orphan() const { return orphan_; }
    bool is_passive() const { return passive_; }
    /// Sequence number and ACK of an <RST> that the peer will believe.
    Segment reset_segment() const;

private:
    enum Timer : u8 { kRetransmit, kReorder, kDelayedAck, kKeepalive, kLifetime, kTimers };
    struct Plan {
        SeqNum seq;
        u32 offset = 0, length = 0;  ///< into the send buffer
        u8 flags = flag::ack;
        bool probe = false, resend = false, tail = false;
    };
    /// What one ACK has told.
    struct News {
        u32 acked = 0;      ///< bytes below SEG.ACK and not acknowledged before, selectively or not
        u32 delivered = 0;  ///< bytes that no ACK had told about
        u32 reported = 0;   ///< bytes that arrived twice, up to reported_end
        SeqNum reported_end;
        bool original = false;          ///< something that was thought lost and not sent again
        Duration earliest{}, latest{};  ///< round trips of the first and the last delivered; 0: none was sent only once
    };

    // input.cpp
    inline bool is_predicted(const Segment& s) const;
    Verdict in_syn_sent(const Segment& s, Instant now);
    Verdict in_synchronized(Segment& s, PacketBuffer& packet, Instant now);
    bool is_acceptable(const Segment& s) const;
    bool fails_paws(const Segment& s, Instant now) const;
    void reject_unacceptable(const Segment& s, Instant now);
    Verdict on_reset(const Segment& s, Instant now);
    Verdict on_syn(Instant now);
    bool on_ack(const Segment& s, Instant now, Verdict& verdict);
    void on_text(Segment& s, PacketBuffer& packet, Instant now);
    void learn_options(const Segment& s);
    void establish(const Segment& s, Instant now);
    inline void note_timestamp(const Segment& s, Instant now);
    inline void update_send_window(const Segment& s);
    [[gnu::always_inline]] inline void on_new_ack(const Segment& s, Instant now);
    [[gnu::always_inline]] inline void on_next_text(const Segment& s, PacketBuffer& packet, Instant now);
    void listen_from(SeqNum irs, Instant now);
    void sample_handshake(const Segment& s, Instant now);
    void on_our_fin_acked(Instant now);
    void note_duplicate(const Segment& s);
    void note_urgent(const Segment& s);
    u32 urgent_bytes() const;
    [[gnu::always_inline]] inline bool take_in_order(PacketBuffer& packet);
    inline void note_unit(const Segment& s);
    void refuse_text(SeqNum begin, Instant now);
    void fill_hole();
    void keep_ahead(SeqNum seq, PacketBuffer& packet);
    [[gnu::always_inline]] inline void append_in_order(PacketBuffer&& p);
    inline bool may_hold_another() const;
    bool may_hold_ahead() const;
    void consume_fin(Instant now);
    inline void acknowledge_soon(bool at_once, Instant now);
    void challenge(Instant now);
    void account() {
        const u32 mine = receive_.count() + assembler_.count();
        env_.packets_held += usize{mine} - packets_accounted_;
        packets_accounted_ = mine;
    }
    inline void tune_window(Instant now);

    // connection.cpp
    Result<> nothing_to_read() const;
    Result<> may_write() const;
    void was_read(u32 bytes, Instant now);

    // ack.hpp
    [[gnu::always_inline]] inline void arrived(const Scoreboard::Piece& p, const Segment& s, News& news, Instant now);
    [[gnu::always_inline]] inline void measure(const Segment& s, const News& news, Instant now);
    [[gnu::always_inline]] inline void acknowledge(const Segment& s, News& news, Instant now);
    [[gnu::always_inline]] inline void grow_window(const News& news, Instant now);

    // recovery.cpp
    void take_sacks(const Segment& s, News& news, Instant now);
    void count_duplicate(News& news);
    void recover(const Segment& s, News news, Instant now);
    void detect_losses(const News& news, Instant now);
    Duration reordering_window() const;
    void begin_episode(Recovery::Phase phase);
    void enter_fast_recovery();
    void resend_all();
    void leave_recovery();
    void reduce_window(u32 delivered, bool safe);
    Congestion::Ack growth(u32 acked, Duration rtt, Instant now) const;
    void widen_window(u32 acked, Duration rtt, Instant now);
    void note_reported(const News& news);
    bool is_spurious(const Segment& s, const News& news) const;
    void undo();
    void rearm(Instant now) {
        if (snd_nxt_ != snd_una_) return arm(now);
        timers_[kRetransmit] = timers_[kReorder] = Instant::never();
    }
    void arm(Instant now);
    inline void arm_first(Instant now);
    bool may_probe() const { return sack_ && recovery_.is_quiet() && board_.is_clean() && rtt_.smoothed().ns != 0; }
    /// RFC 8985 §7.2: what any peer waits with an ACK.
    static constexpr Duration kLongestAckDelay = Duration::from_ms(200);
    Duration probe_timeout() const;
    void on_probe_timer(Instant now);
    void on_reorder_timer(Instant now);
    void finish_probe(const Segment& s, const News& news);

    // output.cpp
    [[gnu::noinline]] std::optional<PacketBuffer> next_planned(Instant now);
    [[gnu::always_inline]] inline bool is_plain() const;
    [[gnu::always_inline]] inline std::optional<PacketBuffer> next_plain(Instant now);
    std::optional<Plan> plan() const;
    inline std::optional<Plan> plan_data() const;
    std::optional<Plan> plan_resend() const;
    Plan plan_tail_probe() const;
    Plan plan_old(SeqNum from, u32 length) const;
    inline void fill(Segment& s, Instant now) const;
    void fill_sack(Segment& s) const;
    bool has_sack() const { return sack_ && (!assembler_.empty() || !duplicate_.empty()); }
    [[gnu::always_inline]] inline void ack_sent(u16 window, u8 scale);
    [[gnu::always_inline]] inline void text_sent(SeqNum end, Instant now);
    [[gnu::always_inline]] inline void note_in_flight(SeqNum end, Instant now);
    [[gnu::always_inline]] inline void count_sent(u32 bytes, SeqNum end);
    inline void sent(const Plan& p, const Segment& s, Instant now);
    [[gnu::always_inline]] inline void sent_bytes(const Plan& p, const Segment& s, SeqNum end, Instant now);
    void resent_bytes(SeqNum from, SeqNum to, Instant now);
    std::optional<PacketBuffer> build_data(const Plan& p, Segment& s);
    void round_to_segments(Plan& p, u32 available) const;
    void set_mss(u32 mss);
    void narrow(u32 mss, Instant now);
    void widen();
    void suspect_black_hole(Instant now);
    /// §3.8.6.2.2: the right edge never moves left, and moves right only by a worthwhile step.
    u32 window_to_offer() const {
        const u32 promised = rcv_adv_ - rcv_nxt_;
        if (env_.packets_held >= env_.packets_soft) return promised;
        const u32 free = receive_limit_ > receive_bytes_ ? receive_limit_ - receive_bytes_ : 0;
        const u32 step = std::min(receive_limit_ / 2, u32{env_.config.mss});
        return free >= promised + step ? free : promised;
    }
    [[gnu::always_inline]] inline u16 window_field() const;

    // timers.cpp
    /// False after most segments and packets.
    bool may_have_reason() const {
        return ack_now_ || syn_pending_ || keepalive_pending_ || fin_queued_ || recovery_.probe_wanted ||
               board_.lost() != 0 || snd_nxt_ != data_start_ + send_.size();
    }
    bool update_plan(Instant now);
    void on_retransmit_timer(Instant now);
    void on_persist_timer(Instant now);
    void on_keepalive_timer(Instant now);
    void on_lifetime_timer();
    void enter_time_wait(Instant now);

    u32 timestamp_now(Instant now) const { return static_cast<u32>(now.ns / 1'000'000) + timestamp_offset_; }
    /// What the peer heard last left before `sent`.
    bool echoes_earlier(const Segment& s, Instant sent) const {
        return timestamps_ && SeqNum(s.timestamp_echo) < SeqNum(timestamp_now(sent));
    }
    bool fin_sent() const { return fin_queued_ && snd_max_ > fin_seq(); }
    SeqNum fin_seq() const { return data_start_ + send_.size(); }  ///< of our FIN, once queued
    bool sends_data() const {
        return state_ == State::established || state_ == State::close_wait || state_ == State::fin_wait_1 ||
               state_ == State::closing || state_ == State::last_ack;
    }
    u32 packet_limit() const { return receive_limit_ / 1024 + 4; }  ///< the window in short segments
    u32 in_flight() const { return snd_nxt_ - snd_una_; }
    /// RFC 6675 §4: bytes in the network. Without SACK each duplicate ACK stands for a segment that has left it.
    u32 pipe() const {
        const u32 pipe = board_.pipe();
        return recovery_.duplicates == 0 ? pipe : pipe - std::min(pipe, recovery_.duplicates * u32{mss_});
    }
    /// Bytes from SND.NXT that both windows allow. What has left the network makes room at once, so limited transmit
    /// (RFC 3042) needs no rule of its own.
    u32 send_room() const {
        const u32 window = congestion_.window(), in_network = pipe();
        const SeqNum edge = snd_una_ + snd_wnd_;
        if (window <= in_network || edge <= snd_nxt_) return 0;
        return std::min(window - in_network, edge - snd_nxt_);
    }
    Duration run_tolerance() const { return Duration{rtt_.smoothed().ns >> 4}; }

    Environment& env_;
    Endpoint local_, remote_;
    InternetSum pseudo_;  ///< of a header without a length
    State state_ = State::closed;
    // In one byte, so that one look tells that is_plain() has none of them.
    bool syn_pending_ : 1 = false, probe_pending_ : 1 = false, keepalive_pending_ : 1 = false;
    bool fin_queued_ : 1 = false;  ///< the application has finished; FIN follows the last byte
    bool sends_urgent_ : 1 = false;
    bool ack_now_ : 1 = false;
    bool write_refused_ : 1 = false;  ///< no memory for the first byte: not writable until there is some
    bool probe_armed_ : 1 = false;    ///< kRetransmit is the tail loss probe's
    bool passive_ : 1 = false, orphan_ : 1 = false;
    bool fin_seen_ : 1 = false, fin_consumed_ : 1 = false;
    bool timestamps_ : 1 = false;
    bool hears_urgent_ : 1 = false;
    bool sack_ : 1 = false;  ///< both sides may send SACK options (RFC 2018 §2)

    // send side (§3.3.1). snd_una_ <= snd_nxt_ <= snd_max_, which is ahead by the byte of a window probe.
    SeqNum iss_, snd_una_, snd_nxt_, snd_max_, snd_wl1_, snd_wl2_;
    SeqNum data_start_;  ///< of the first byte in send_
    u32 snd_wnd_ = 0, max_snd_wnd_ = 0;
    u8 snd_scale_ = 0, rcv_scale_ = 0;
    u16 mss_ = kDefaultMss;  ///< payload bytes per segment we send, options taken off
    u16 wide_mss_ = 0;       ///< what it was before the path became narrower; 0: it did not
    Instant widen_at_{};     ///< when that is tried again
    // receive side. rcv_nxt_ <= rcv_adv_ = the right edge we have promised.
    SeqNum irs_, rcv_nxt_, rcv_adv_, last_ack_sent_, peer_fin_seq_;
    SeqNum snd_up_, rcv_up_;  ///< behind the urgent bytes, as long as there are any
    u32 receive_limit_ = 0, receive_bytes_ = 0;
    u32 read_bytes_ = 0;    ///< since read_round_
    Instant read_round_{};  ///< a round trip of the reader began
    u16 largest_received_ = kDefaultMss;
    u8 keepalive_sent_ = 0, persist_shift_ = 0;
    u8 challenges_ = 0;
    u32 packets_accounted_ = 0;
    // timestamps (RFC 7323)
    u32 ts_recent_ = 0, timestamp_offset_ = 0;
    Instant ts_recent_at_{};

    std::array<Instant, kTimers> timers_;
    Instant last_heard_{}, last_sent_{}, stalled_since_{}, challenge_window_{};
    Instant held_since_{};  ///< since then the peer has taken less than a buffer of send_:
    u32 held_taken_ = 0;    ///< so many bytes
    RttEstimator rtt_;
    Congestion congestion_;
    Scoreboard board_;
    Rack rack_;
    Recovery recovery_;
    u32 peak_ = 0, previous_peak_ = 0;  ///< most bytes in the network, in this round trip and the one before
    SeqNum peak_round_;                 ///< this round trip ends when it is acknowledged
    SendBuffer send_;
    u32 segment_limit_ = kDefaultMss;  ///< payload of the largest segment built: a multiple of mss_
    PacketQueue receive_;
    Assembler assembler_;
    SackBlock duplicate_{};  ///< bytes that arrived twice, for the next ACK (RFC 2883); empty: none
    Options options_;
    u32 retransmissions_ = 0;
    std::optional<Error> error_, pending_error_, soft_error_;
};

inline u8 Connection::readiness_bits() const {
    u8 bits = receive_.empty() ? 0 : kReadable;
    if (pending_error_) bits |= kError;
    if (hears_urgent_) bits |= kUrgent;
    // A quarter of the buffer, so that a writer is not woken for every ACK.
    const u8 writable = send_.is_roomy() && !write_refused_ ? kWritable : 0;
    if (state_ == State::established) [[likely]]
        return bits | writable;  // neither side has finished
    if (fin_consumed_) bits |= kFinished | kReadable;
    if (state_ == State::close_wait && !fin_queued_) bits |= writable;
    if (state_ == State::time_wait) bits |= kClosed;
    if (state_ == State::closed) bits |= kClosed | kReadable | kWritable;
    return bits;
}

}  // namespace ringlet::net::tcp
