// Segment arrival: RFC 9293 §3.10.7.3 (SYN-SENT) and §3.10.7.4 (all others), in the RFC's order, with RFC 5961's
// answers to blind attacks and RFC 7323's timestamps. Context: the network monitor.
#include "net/tcp/ack.hpp"

namespace ringlet::net::tcp {
namespace {

constexpr Duration kDelayedAckTime = Duration::from_ms(40);
constexpr Duration kChallengeWindow = Duration::from_ms(500);
constexpr u8 kChallengesPerWindow = 4;
constexpr Duration kTimestampLifetime = Duration::from_s(24 * 24 * 3600);  // RFC 7323 §5.5
constexpr u32 kWorthJoining = 512;  // bytes that cost less to copy than to hold a buffer for
constexpr u16 kSmallestMss = 64;    // whatever a peer announces: fewer bytes per segment only burn cycles

/// Timestamps wrap like sequence numbers do.
bool older(u32 a, u32 b) {
    return SeqNum(a) < SeqNum(b);
}

}  // namespace

Verdict Connection::on_segment(Segment& s, PacketBuffer& packet, Instant now) {
    if (is_predicted(s)) [[likely]] {
        last_heard_ = now;
        keepalive_sent_ = 0;
        note_timestamp(s, now);
        update_send_window(s);
        if (s.ack > snd_una_) on_new_ack(s, now);
        if (s.length != 0) on_next_text(s, packet, now);
        return Verdict::done;
    }
    if (state_ == State::closed) return Verdict::reset;
    const Verdict v = state_ == State::syn_sent ? in_syn_sent(s, now) : in_synchronized(s, packet, now);
    account();
    return v;
}

/// Header prediction: the next bytes in order, or an ACK of new data, and nothing else about it is new.
bool Connection::is_predicted(const Segment& s) const {
    constexpr u8 kRelevant = flag::fin | flag::syn | flag::rst | flag::ack | flag::urg;
    return state_ == State::established && (s.flags & kRelevant) == flag::ack && s.seq == rcv_nxt_ &&
           s.ack >= snd_una_ && s.ack <= snd_max_ && (s.length != 0 || s.ack != snd_una_) &&
           s.length <= rcv_adv_ - rcv_nxt_ && s.sack_count == 0 && !orphan_ && !fin_seen_ &&
           s.has_timestamp == timestamps_ && (!timestamps_ || !older(s.timestamp, ts_recent_));
}

/// An ACK of new data, of which nothing else is new.
void Connection::on_new_ack(const Segment& s, Instant now) {
    ++env_.stats.fast_path_ack;
    News news;
    acknowledge(s, news, now);
    if (recovery_.is_quiet() && board_.is_clean()) [[likely]] {
        grow_window(news, now);
        rearm(now);
    } else {
        recover(s, news, now);
    }
}

/// Text that begins at RCV.NXT and ends within the window.
void Connection::on_next_text(const Segment& s, PacketBuffer& packet, Instant now) {
    ++env_.stats.fast_path_data;
    note_unit(s);
    if (!take_in_order(packet)) [[unlikely]]
        return refuse_text(s.seq, now);
    const bool fills = !assembler_.empty();
    if (fills) fill_hole();
    account();
    acknowledge_soon(fills, now);
}

// --- §3.10.7.3 ----------------------------------------------------------------------------------------------------

Verdict Connection::in_syn_sent(const Segment& s, Instant now) {
    const bool has_ack = s.has(flag::ack);
    if (has_ack && (s.ack <= iss_ || s.ack > snd_max_)) {  // first: the ACK bit
        ++env_.stats.bad_ack;
        return s.has(flag::rst) ? Verdict::done : Verdict::reset;
    }
    if (s.has(flag::rst)) {  // second: the RST bit
        if (!has_ack) {
            ++env_.stats.bad_reset;
            return Verdict::done;
        }
        ++env_.stats.refused;
        finish(Error::connection_refused);
        return Verdict::done;
    }
    if (!s.has(flag::syn)) {  // fifth
        ++env_.stats.missing_ack;
        return Verdict::done;
    }
    irs_ = s.seq;  // fourth: the SYN bit
    rcv_nxt_ = s.seq + 1;
    rcv_adv_ = rcv_nxt_ + std::min(receive_limit_, 0xffffu);
    last_ack_sent_ = rcv_nxt_;
    learn_options(s);
    last_heard_ = ts_recent_at_ = now;
    if (!has_ack) {  // simultaneous open (§3.5, figure 8)
        state_ = State::syn_received;
        snd_wnd_ = max_snd_wnd_ = s.window;
        snd_wl1_ = s.seq;
        syn_pending_ = true;
        return Verdict::done;
    }
    sample_handshake(s, now);
    establish(s, now);
    snd_wnd_ = max_snd_wnd_ = s.window;  // a SYN's window is never scaled
    ack_now_ = true;
    return Verdict::done;
}

void Connection::learn_options(const Segment& s) {
    const u16 theirs = s.mss == 0 ? kDefaultMss : std::max(s.mss, kSmallestMss);
    u32 mss = std::min<u32>(theirs, env_.config.mss - longer_header());
    timestamps_ = s.has_timestamp;  // we offer them always: the peer's SYN decides (RFC 7323 §3.2)
    if (timestamps_) {
        ts_recent_ = s.timestamp;
        mss -= u32{kTimestampBytes};
    }
    sack_ = s.sack_permitted;  // likewise offered always
    set_mss(mss);
    if (s.window_scale)
        snd_scale_ = *s.window_scale;
    else
        rcv_scale_ = 0;  // both or neither (RFC 7323 §2.2)
}

/// Our SYN is acknowledged by `s`, which is acceptable.
void Connection::establish(const Segment& s, Instant now) {
    snd_una_ = s.ack;
    snd_nxt_ = max(snd_nxt_, s.ack);
    snd_wl1_ = s.seq;
    snd_wl2_ = s.ack;
    state_ = State::established;
    syn_pending_ = false;
    timers_[kRetransmit] = Instant::never();
    timers_[kLifetime] = orphan_ ? timers_[kLifetime] : Instant::never();
    stalled_since_ = {};
    board_.start(snd_una_);
    rack_.start(snd_una_);
    recovery_ = {};
    recovery_.point = iss_;
    peak_round_ = snd_una_;
    congestion_.start(mss_, rtt_.backoffs() != 0, snd_nxt_);
    rtt_.established();
    configure(options_, now);
    ++env_.stats.established;
    if (fin_queued_) state_ = State::fin_wait_1;
}

// --- §3.10.7.4 ----------------------------------------------------------------------------------------------------

Verdict Connection::in_synchronized(Segment& s, PacketBuffer& packet, Instant now) {
    if (state_ == State::syn_received && s.has(flag::syn) && !s.has(flag::rst) && s.seq == irs_) {
        if (!s.has(flag::ack)) {  // the peer's SYN again: our SYN-ACK was lost
            syn_pending_ = true;
            return Verdict::done;
        }
        if (!passive_) {  // simultaneous open: the peer's SYN-ACK; its SYN is known already
            s.seq += 1;
            s.flags &= static_cast<u8>(~flag::syn);
        }
    }
    constexpr u8 kNotNew = flag::rst | flag::ack | flag::fin;
    if (state_ == State::time_wait && s.has(flag::syn) && (s.flags & kNotNew) == 0) {
        // RFC 6191 §2: a later timestamp or sequence number proves that the SYN is not an old duplicate.
        const bool newer = timestamps_ && s.has_timestamp ? older(ts_recent_, s.timestamp) : s.seq > rcv_nxt_;
        if (newer) return Verdict::reopen;
    }
    if (fails_paws(s, now)) {  // RFC 7323 §5.3 R1, before everything else
        ++env_.stats.paws;
        if (s.has_timestamp) reject_unacceptable(s, now);
        return Verdict::done;
    }
    if (!is_acceptable(s)) {  // first: the sequence number
        ++env_.stats.unacceptable;
        if (s.has(flag::rst))
            ++env_.stats.bad_reset;
        else
            reject_unacceptable(s, now);
        return Verdict::done;
    }
    if (s.has(flag::rst)) return on_reset(s, now);  // second
    if (s.has(flag::syn)) return on_syn(now);       // fourth (third, security, is not used)
    if (!s.has(flag::ack)) {                        // fifth
        ++env_.stats.missing_ack;
        return Verdict::done;
    }
    Verdict verdict = Verdict::done;
    note_timestamp(s, now);
    if (!on_ack(s, now, verdict)) return verdict;
    last_heard_ = now;
    keepalive_sent_ = 0;
    if (orphan_ && s.length != 0 && s.seq + s.length > rcv_nxt_ && state_ != State::time_wait) {
        ++env_.stats.data_after_close;  // §3.6.1: nobody will ever read it
        finish(std::nullopt);
        return Verdict::reset;
    }
    const bool reads = state_ == State::established || state_ == State::fin_wait_1 || state_ == State::fin_wait_2;
    if (!reads) return Verdict::done;
    if (s.has(flag::urg)) note_urgent(s);  // sixth
    on_text(s, packet, now);               // seventh and eighth
    return Verdict::done;
}

/// §3.10.7.4, first: the four cases of the table.
bool Connection::is_acceptable(const Segment& s) const {
    const u32 window = rcv_adv_ - rcv_nxt_;
    const u32 length = s.sequence_length();
    if (s.seq == rcv_nxt_) return true;  // with a closed window, ACK and RST still count; the text is cut off later
    if (window == 0) return false;
    return s.seq.within(rcv_nxt_, window) || (length != 0 && (s.seq + (length - 1)).within(rcv_nxt_, window));
}

bool Connection::fails_paws(const Segment& s, Instant now) const {
    if (!timestamps_ || s.has(flag::rst) || s.has(flag::syn)) return false;
    if (!s.has_timestamp) return true;  // RFC 7323 §3.2: SHOULD drop
    return older(s.timestamp, ts_recent_) && now - ts_recent_at_ < kTimestampLifetime;
}

void Connection::reject_unacceptable(const Segment& s, Instant now) {
    if (state_ == State::time_wait && s.has(flag::fin)) timers_[kLifetime] = now + env_.config.time_wait;  // eighth
    note_duplicate(s);
    if (s.sequence_length() != 0)
        ack_now_ = true;  // a retransmission: our ACK was lost, so no limit
    else
        challenge(now);  // anything else could be made to bounce for ever
}

/// RFC 5961 §3.2: only the exact sequence number resets.
Verdict Connection::on_reset(const Segment& s, Instant now) {
    if (s.seq != rcv_nxt_) {
        ++env_.stats.bad_reset;
        challenge(now);
        return Verdict::done;
    }
    ++env_.stats.resets_in;
    switch (state_) {
    case State::syn_received:
        finish(Error::connection_refused);
        break;
    case State::closing:
    case State::last_ack:
    case State::time_wait:
        finish(std::nullopt);
        break;
    default:
        finish(Error::connection_reset);
    }
    return Verdict::done;
}

/// RFC 5961 §4.2; a passive half-open connection simply goes back to LISTEN.
Verdict Connection::on_syn(Instant now) {
    ++env_.stats.bad_syn;
    if (state_ == State::syn_received && passive_)
        finish(std::nullopt);
    else
        challenge(now);
    return Verdict::done;
}

/// §3.10.7.4, fifth. False: the segment is done with.
bool Connection::on_ack(const Segment& s, Instant now, Verdict& verdict) {
    if (state_ == State::syn_received) {
        if (s.ack <= snd_una_ || s.ack > snd_max_) {
            ++env_.stats.bad_ack;
            verdict = Verdict::reset;
            return false;
        }
        sample_handshake(s, now);
        establish(s, now);
        snd_wnd_ = max_snd_wnd_ = u32{s.window} << snd_scale_;
        return true;
    }
    // RFC 5961 §5.2: neither ahead of what was sent nor older than the largest window.
    if (s.ack > snd_max_ || s.ack < snd_una_ - max_snd_wnd_) {
        ++env_.stats.bad_ack;
        challenge(now);
        return false;
    }
    const bool same_window = u32{s.window} << snd_scale_ == snd_wnd_;
    const bool duplicate = s.ack == snd_una_ && s.length == 0 && same_window && !s.has(flag::fin) && in_flight() != 0;
    if (s.ack < snd_una_) return true;
    update_send_window(s);
    News news;
    const bool advances = s.ack > snd_una_;
    if (advances) acknowledge(s, news, now);
    if (state_ == State::closed) return false;
    if (!sends_data()) {
        if (advances) rearm(now);
        return true;
    }
    const bool selective = sack_ && s.sack_count != 0;
    if (selective) take_sacks(s, news, now);
    if (duplicate) count_duplicate(news);
    if (advances || selective || duplicate) recover(s, news, now);
    return true;
}

/// RFC 9293 §3.10.7.4, but the ACK counts before SEQ: what fills a hole has an old SEQ and yet the latest window. Were
/// its ACK taken without its window, the right edge would move by what it acknowledges.
void Connection::update_send_window(const Segment& s) {
    if (s.ack < snd_wl2_ || (s.ack == snd_wl2_ && s.seq < snd_wl1_)) return;
    snd_wnd_ = u32{s.window} << snd_scale_;
    max_snd_wnd_ = std::max(max_snd_wnd_, snd_wnd_);
    snd_wl1_ = s.seq;
    snd_wl2_ = s.ack;
    if (snd_wnd_ != 0) {
        persist_shift_ = 0;
        probe_pending_ = false;
    }
}

/// The handshake's round trip, unless a SYN was sent twice and the answer is not to the later one (RFC 6298 §3): it may
/// have waited for the peer's timer.
void Connection::sample_handshake(const Segment& s, Instant now) {
    News news;
    const bool timed = !timers_[kRetransmit].is_never();  // not with a cookie
    if (rtt_.backoffs() != 0 && echoes_earlier(s, last_sent_)) return;
    if (rtt_.backoffs() == 0 && timed) news.latest = news.earliest = std::max(now - last_sent_, Duration{1});
    measure(s, news, now);
}

void Connection::on_our_fin_acked(Instant now) {
    switch (state_) {
    case State::fin_wait_1:
        state_ = State::fin_wait_2;
        if (orphan_) timers_[kLifetime] = now + env_.config.orphan_timeout;
        break;
    case State::closing:
        enter_time_wait(now);
        break;
    case State::last_ack:
        finish(std::nullopt);
        break;
    default:
        break;
    }
}

void Connection::note_timestamp(const Segment& s, Instant now) {
    if (!timestamps_ || !s.has_timestamp) return;  // RFC 7323 §4.3 (2)
    if (s.seq <= last_ack_sent_ && !older(s.timestamp, ts_recent_)) {
        ts_recent_ = s.timestamp;
        ts_recent_at_ = now;
    }
}

/// §3.10.7.4, sixth. Urgent bytes stay in the stream (RFC 6093 §5); where they end never moves back.
void Connection::note_urgent(const Segment& s) {
    const SeqNum end = s.seq + s.urgent;
    if (end <= rcv_nxt_ - receive_bytes_) return;
    rcv_up_ = hears_urgent_ ? max(rcv_up_, end) : end;
    hears_urgent_ = true;
}

/// Of what is not read yet.
u32 Connection::urgent_bytes() const {
    const SeqNum next = rcv_nxt_ - receive_bytes_ - u32{fin_consumed_};
    return hears_urgent_ && rcv_up_ > next ? rcv_up_ - next : 0;
}

// --- text and FIN -------------------------------------------------------------------------------------------------

/// §3.10.7.4, seventh and eighth: ESTABLISHED, FIN-WAIT-1 and FIN-WAIT-2.
void Connection::on_text(Segment& s, PacketBuffer& packet, Instant now) {
    if (s.length == 0 && !s.has(flag::fin)) return;
    note_unit(s);
    const SeqNum claimed_end = s.seq + s.length;
    if (s.seq < rcv_nxt_) {  // the front is old
        note_duplicate(s);
        packet.pull_bytes(std::min<usize>(rcv_nxt_ - s.seq, packet.total_size()));
        s.seq = rcv_nxt_;
    }
    u32 kept = static_cast<u32>(packet.total_size());
    SeqNum right = rcv_adv_;
    if (fin_seen_) right = min(right, peer_fin_seq_);  // nothing comes after a FIN
    const u32 allowed = right > s.seq ? right - s.seq : 0;
    if (kept > allowed) {
        env_.stats.beyond_window += kept - allowed;
        packet.trim_to(allowed);
        kept = allowed;
    }
    const bool whole = s.seq + kept >= claimed_end;
    if (s.has(flag::fin) && whole && claimed_end >= rcv_nxt_ && claimed_end <= rcv_adv_ && !fin_seen_) {
        fin_seen_ = true;
        peer_fin_seq_ = claimed_end;
    }
    bool at_once = !whole;  // RFC 5681 §4.2: out of order, or a hole filled
    if (kept == 0) {
        at_once = true;
    } else if (s.seq != rcv_nxt_) {
        at_once = true;
        keep_ahead(s.seq, packet);
    } else if (!take_in_order(packet)) {
        return refuse_text(s.seq, now);
    } else if (!assembler_.empty()) {
        at_once = true;
        fill_hole();
    }
    account();
    if (fin_seen_ && rcv_nxt_ == peer_fin_seq_)
        consume_fin(now);
    else
        acknowledge_soon(at_once, now);
}

/// How much a segment of the peer's holds.
void Connection::note_unit(const Segment& s) {
    const u16 unit = s.unit != 0 ? s.unit : s.length;
    if (unit > largest_received_) largest_received_ = unit;
}

/// There is no memory for all of the text that began at RCV.NXT = `begin`: an ACK of what was taken, or silence, and
/// the peer backs off.
void Connection::refuse_text(SeqNum begin, Instant now) {
    ++env_.stats.receive_memory;
    assembler_.clear();  // what is in order is worth more
    account();
    if (rcv_nxt_ != begin) acknowledge_soon(true, now);
}

/// What has waited behind a hole that is no more.
void Connection::fill_hole() {
    while (auto next = assembler_.take(rcv_nxt_)) append_in_order(std::move(*next));
    if (const SackBlock d = assembler_.take_duplicate(); !d.empty()) duplicate_ = d;
}

/// RFC 2883 §4: what arrived a second time is the first block of the next ACK's SACK option.
void Connection::note_duplicate(const Segment& s) {
    if (s.length != 0 && s.seq < rcv_nxt_) duplicate_ = {s.seq, min(s.seq + s.length, rcv_nxt_)};
}

/// Text that begins at RCV.NXT, buffer by buffer; false at the first for which there is no memory.
bool Connection::take_in_order(PacketBuffer& packet) {
    for (;;) {
        std::optional<PacketBuffer> rest = packet.take_rest();
        if (packet.size() != 0) {  // an empty buffer in the queue would read as the end of the stream
            const PacketQueue::Ref last = receive_.back();
            if (!may_hold_another() && !(last && last->tailroom() >= packet.size())) return false;
            append_in_order(std::move(packet));
        }
        if (!rest) return true;
        packet = std::move(*rest);
    }
}

/// Text that begins behind a hole.
void Connection::keep_ahead(SeqNum seq, PacketBuffer& packet) {
    bool kept = false;
    for (;;) {
        std::optional<PacketBuffer> rest = packet.take_rest();
        const u32 n = static_cast<u32>(packet.size());
        if (n != 0) {
            if (!may_hold_ahead() || !assembler_.insert(seq, std::move(packet), packet_limit() / 2)) {
                ++env_.stats.receive_memory;
                break;
            }
            kept = true;
            if (const SackBlock d = assembler_.take_duplicate(); !d.empty()) duplicate_ = d;
        }
        seq += n;
        if (!rest) break;
        packet = std::move(*rest);
    }
    if (kept) ++env_.stats.out_of_order;
}

void Connection::append_in_order(PacketBuffer&& p) {
    const u32 n = static_cast<u32>(p.size());
    PacketQueue::Ref last = receive_.back();
    // Small ones are put together, so that a queue of them does not hold a buffer each; larger ones when they must.
    if (last && last->tailroom() >= n && (n <= kWorthJoining || !may_hold_another()))
        std::memcpy(last->append(n).data(), p.data().data(), n);
    else
        receive_.push_back(std::move(p));
    receive_bytes_ += n;
    rcv_nxt_ += n;
    env_.stats.bytes_in += n;
}

bool Connection::may_hold_another() const {
    const u32 mine = receive_.count() + assembler_.count();
    const usize held = env_.packets_held - packets_accounted_ + mine;
    if (held >= env_.packets_hard) return false;
    return mine < (held >= env_.packets_soft ? 2 : packet_limit());
}

/// What is behind a hole may stay there for ever: it leaves room for what can be read.
bool Connection::may_hold_ahead() const {
    return env_.packets_held - packets_accounted_ + receive_.count() + assembler_.count() < env_.packets_soft &&
           may_hold_another();
}

/// §3.10.7.4, eighth: everything before the peer's FIN is here.
void Connection::consume_fin(Instant now) {
    fin_consumed_ = true;
    rcv_nxt_ += 1;
    rcv_adv_ = max(rcv_adv_, rcv_nxt_);
    assembler_.clear();
    account();
    ack_now_ = true;
    switch (state_) {
    case State::established:
        state_ = State::close_wait;
        break;
    case State::fin_wait_1:
        state_ = State::closing;
        break;  // our FIN's ACK, if it came along, was handled before
    case State::fin_wait_2:
        enter_time_wait(now);
        break;
    default:
        break;
    }
}

/// RFC 9293 §3.8.6.3: every second full segment at once, the rest within 40 ms.
void Connection::acknowledge_soon(bool at_once, Instant now) {
    if (at_once || rcv_nxt_ - last_ack_sent_ >= 2u * largest_received_)
        ack_now_ = true;
    else if (timers_[kDelayedAck].is_never())
        timers_[kDelayedAck] = now + kDelayedAckTime;
}

/// An ACK that the segment did not earn: at most four per half second and connection (RFC 5961 §7; not a global limit,
/// which an attacker could measure).
void Connection::challenge(Instant now) {
    if (now - challenge_window_ >= kChallengeWindow) {
        challenge_window_ = now;
        challenges_ = 0;
    }
    if (challenges_ >= kChallengesPerWindow) {
        ++env_.stats.challenge_limited;
        return;
    }
    ++challenges_;
    ++env_.stats.challenge_acks;
    ack_now_ = true;
}

/// RFC 5927: believed only about a segment in flight; hard only while opening (RFC 9293 §3.9.2.2, RFC 5461).
void Connection::on_unreachable(SeqNum seq, Unreachable kind, u16 mtu, Instant now) {
    const bool plausible = snd_max_ > snd_una_ && seq.within(snd_una_, snd_max_ - snd_una_);
    if (!plausible) {
        ++env_.stats.icmp_ignored;
        return;
    }
    ++env_.stats.icmp_accepted;
    if (kind == Unreachable::fragmentation_needed) {  // RFC 1191
        const u32 overhead = 40u + longer_header() + (timestamps_ ? u32{kTimestampBytes} : 0u);
        const u32 narrower = std::max<u32>(mtu, 552) - overhead;
        if (narrower >= mss_ || !sends_data()) return;
        narrow(narrower, now);
        resend_all();
        rearm(now);
        return;
    }
    soft_error_ = Error::unreachable;
    const bool hard = kind == Unreachable::protocol || kind == Unreachable::port || kind == Unreachable::prohibited;
    if (hard && state_ == State::syn_sent)
        finish(kind == Unreachable::port ? Error::connection_refused : Error::unreachable);
}

}  // namespace ringlet::net::tcp
