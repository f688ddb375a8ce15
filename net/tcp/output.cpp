// What to send next (RFC 9293 §3.8): plan() decides without changing anything, next_packet() builds it and remembers.
// What is lost goes first, then a tail probe, then new text. Context: the network monitor.
#include "net/tcp/connection.hpp"

namespace ringlet::net::tcp {
namespace {

constexpr Duration kNarrowTime = Duration::from_s(600);
constexpr u16 kScattered = 4;  ///< pieces: a header, and bytes that begin and end anywhere in buffers of their own

/// The rest goes by itself.
void shorten(Segment& s, u32 length) {
    s.length = static_cast<u16>(length);
    s.flags &= static_cast<u8>(~(flag::fin | flag::psh));
}

}  // namespace

std::optional<Connection::Plan> Connection::plan() const {
    switch (state_) {
    case State::closed:
    case State::listen:
        return std::nullopt;
    case State::syn_sent:
        if (!syn_pending_) return std::nullopt;
        return Plan{.seq = iss_, .flags = flag::syn, .resend = snd_max_ > iss_};
    case State::syn_received:
        if (!syn_pending_) break;
        return Plan{.seq = iss_, .flags = flag::syn | flag::ack, .resend = snd_max_ > iss_};
    default:
        if (ack_now_ && has_sack()) break;  // by itself: SACK blocks would take room from text
        if (!sends_data()) break;
        if (auto p = plan_data()) return p;
    }
    if (ack_now_) return Plan{.seq = snd_nxt_};  // not behind a probe: a closed window would not let it in (§3.10.7.4)
    if (keepalive_pending_) return Plan{.seq = snd_una_ - 1u, .probe = true};  // §3.8.4
    return std::nullopt;
}

std::optional<Connection::Plan> Connection::plan_data() const {
    if (board_.lost() != 0)
        if (auto p = plan_resend()) return p;
    if (recovery_.probe_wanted) return plan_tail_probe();
    const SeqNum data_end = data_start_ + send_.size();
    if (snd_nxt_ > data_end) return std::nullopt;  // the FIN is out
    Plan p{.seq = snd_nxt_, .offset = snd_nxt_ - data_start_};
    const u32 available = data_end - snd_nxt_;
    const bool fin_possible = fin_queued_;
    if (available == 0 && !fin_possible) return std::nullopt;
    const u32 room = send_room();
    p.length = std::min({available, room, sends_urgent_ ? mss_ : segment_limit_});  // a link cannot cut URG
    if (p.length > mss_) round_to_segments(p, available);
    p.resend = snd_nxt_ < snd_max_;
    if (fin_possible && p.length == available) p.flags |= flag::fin;
    if (p.length != 0 && p.length == available) p.flags |= flag::psh;
    if (probe_pending_ && snd_nxt_ == snd_una_) {  // §3.8.6.1
        p.length = std::min({available, std::max(room, 1u), u32{mss_}});
        if (p.length != available) p.flags &= static_cast<u8>(~flag::fin);
        p.probe = p.length > room;  // else the window is open, and what was held back goes like any other
        return p;
    }
    if (p.length == 0) {
        const bool bare_fin = available == 0 && fin_possible;  // takes no buffer at the peer: always
        return bare_fin ? std::optional(p) : std::nullopt;
    }
    // §3.8.6.2.1 (sender's silly window) and §3.7.4 (Nagle)
    if (p.length >= mss_) return p;
    if (options_.cork && !fin_queued_) return std::nullopt;
    const bool idle = snd_nxt_ == snd_una_;
    if (p.length == available && (idle || options_.no_delay || fin_queued_ || p.resend)) return p;
    if (2 * p.length >= max_snd_wnd_) return p;
    return std::nullopt;
}

/// [from, from + length) of what was sent before; the FIN counts.
Connection::Plan Connection::plan_old(SeqNum from, u32 length) const {
    const SeqNum data_end = data_start_ + send_.size(), end = from + length;
    Plan p{.seq = from, .offset = from - data_start_, .resend = true};
    p.length = min(end, data_end) - from;
    if (end >= data_end) p.flags |= flag::psh;
    if (end > data_end) p.flags |= flag::fin;
    return p;
}

/// The first bytes that are lost (RFC 6675 §4, NextSeg rule 1), if the window has room for a segment.
std::optional<Connection::Plan> Connection::plan_resend() const {
    const Scoreboard::Piece lost = board_.first_lost();
    const u32 window = congestion_.window(), in_network = pipe();
    u32 room = window > in_network ? window - in_network : 0;
    if (recovery_.force) room = std::max(room, u32{mss_});
    u32 length = std::min(lost.length(), sends_urgent_ ? mss_ : segment_limit_);
    if (room < std::min(length, u32{mss_})) return std::nullopt;
    length = std::min(length, room);
    if (length > mss_ && length != lost.length()) length -= length % mss_;
    // A peer that takes its window back gets the first segment only, as a probe (§3.8.6).
    if (lost.begin != snd_una_ && lost.begin + length > snd_una_ + snd_wnd_) return std::nullopt;
    return plan_old(lost.begin, length);
}

/// RFC 8985 §7.3: new text if the peer has room for it, else the last segment again.
Connection::Plan Connection::plan_tail_probe() const {
    const SeqNum data_end = data_start_ + send_.size(), edge = snd_una_ + snd_wnd_;
    Plan p;
    if (snd_nxt_ < data_end && edge > snd_nxt_) {
        p = {.seq = snd_nxt_, .offset = snd_nxt_ - data_start_, .flags = flag::ack | flag::psh};
        p.length = std::min({data_end - snd_nxt_, edge - snd_nxt_, u32{mss_}});
    } else {
        const u32 length = std::min(snd_nxt_ - snd_una_, u32{mss_});
        p = plan_old(snd_nxt_ - length, length);
    }
    p.tail = true;
    return p;
}

/// A large segment is whole ones for the link to cut, and a short one behind them only if that could go by itself.
void Connection::round_to_segments(Plan& p, u32 available) const {
    if (p.length == available && ((options_.no_delay && !options_.cork) || fin_queued_)) return;
    p.length -= p.length % mss_;
}

/// On the wire, after the handshake.
u16 Connection::window_field() const {
    const u32 window = window_to_offer();
    const u32 round = window == rcv_adv_ - rcv_nxt_ ? (1u << rcv_scale_) - 1 : 0;  // not to the left
    return static_cast<u16>(std::min((window + round) >> rcv_scale_, 0xffffu));
}

void Connection::fill(Segment& s, Instant now) const {
    s.local = local_;
    s.remote = remote_;
    if ((s.flags & flag::ack) != 0) s.ack = rcv_nxt_;
    if ((s.flags & flag::syn) != 0) {
        s.window = static_cast<u16>(std::min(receive_limit_, 0xffffu));
        s.mss = static_cast<u16>(env_.config.mss - longer_header());
        const bool answering = (s.flags & flag::ack) != 0;  // only what the peer's SYN offered (RFC 7323 §2.2, §3.2)
        if (!answering || rcv_scale_ != 0 || snd_scale_ != 0) s.window_scale = rcv_scale_;
        s.has_timestamp = !answering || timestamps_;
        s.sack_permitted = !answering || sack_;
    } else {
        s.window = window_field();
        s.has_timestamp = timestamps_;
        if (s.length == 0 && has_sack()) fill_sack(s);
        if (sends_urgent_ && snd_up_ > s.seq) {  // §3.8.5
            s.flags |= flag::urg;
            s.urgent = static_cast<u16>(std::min(snd_up_ - s.seq, 0xffffu));
        }
    }
    if (s.has_timestamp) {
        s.timestamp = timestamp_now(now);
        s.timestamp_echo = (s.flags & flag::ack) != 0 ? ts_recent_ : 0;
    }
}

/// RFC 2018 §4, RFC 2883 §4: what arrived twice, then what is ahead, the latest first. After a duplicate ahead of
/// RCV.NXT its whole block follows: the assembler has moved it to the front.
void Connection::fill_sack(Segment& s) const {
    const u32 most = timestamps_ ? kMaxSackBlocks - 1 : kMaxSackBlocks;
    u32 n = 0;
    if (!duplicate_.empty()) s.sack[n++] = duplicate_;
    n += assembler_.blocks(rcv_nxt_, std::span(s.sack).first(most).subspan(n));
    s.sack_count = static_cast<u8>(n);
}

std::optional<PacketBuffer> Connection::next_packet(Instant now) {
    if (snd_nxt_ == snd_una_ && snd_max_ == snd_una_ && now - last_sent_ > RttEstimator::kMinimum && sends_data() &&
        now - last_sent_ > rtt_.rto())
        congestion_.on_idle();  // RFC 5681 §4.1
    if (wide_mss_ != 0 && now >= widen_at_) [[unlikely]]
        widen();
    return is_plain() ? next_plain(now) : next_planned(now);
}

/// Whatever there is to say.
std::optional<PacketBuffer> Connection::next_planned(Instant now) {
    const std::optional<Plan> p = plan();
    if (!p) return std::nullopt;
    Segment s;
    s.seq = p->seq;
    s.flags = p->flags;
    s.length = static_cast<u16>(p->length);
    fill(s, now);
    std::optional<PacketBuffer> packet = build_data(*p, s);
    if (packet)
        sent(*p, s, now);
    else
        ++env_.stats.no_packet;
    return packet;
}

/// Has plan() nothing in mind but what most packets say: the text there is, which one segment holds, with the ACK, or
/// that alone? Then this says so with fewer questions.
bool Connection::is_plain() const {
    const u32 text = data_start_ + send_.size() - snd_nxt_;
    const bool unusual = syn_pending_ | probe_pending_ | keepalive_pending_ | fin_queued_ | sends_urgent_;
    if (unusual || !sends_data() || recovery_.probe_wanted || board_.lost() != 0 || has_sack()) return false;
    if (text == 0) return ack_now_ && snd_nxt_ == snd_max_;
    return text <= mss_ && snd_nxt_ == snd_max_ && !options_.cork && (snd_nxt_ == snd_una_ || options_.no_delay) &&
           send_room() >= text;
}

std::optional<PacketBuffer> Connection::next_plain(Instant now) {
    const u32 text = data_start_ + send_.size() - snd_nxt_, offset = snd_nxt_ - data_start_;
    const Bytes first = text != 0 ? send_.piece_at(offset) : Bytes{};
    if (first.size() < text || (text >= SendBuffer::kWorthLending && env_.config.fragments >= kScattered))
        return next_planned(now);
    PlainSegment s{.local = local_,
                   .remote = remote_,
                   .pseudo = pseudo_,
                   .seq = snd_nxt_,
                   .ack = rcv_nxt_,
                   .window = window_field(),
                   .has_timestamp = timestamps_};
    s.flags = text != 0 ? flag::ack | flag::psh : flag::ack;
    if (timestamps_) {
        s.timestamp = timestamp_now(now);
        s.timestamp_echo = ts_recent_;
    }
    const auto mode = env_.config.tx_checksum_offload ? TxChecksum::partial : TxChecksum::complete;
    std::optional<PacketBuffer> packet = build_plain(env_.pool, s, first.first(text), mode);
    if (!packet) {
        ++env_.stats.no_packet;
        return packet;
    }
    ++env_.stats.segments_out;
    ack_sent(s.window, rcv_scale_);
    if (text == 0) return packet;
    env_.stats.bytes_out += text;
    last_sent_ = now;
    text_sent(snd_nxt_ + text, now);
    return packet;
}

/// Up to one segment is copied into the packet; what is larger, or worth a second descriptor, is lent to it. `s` is
/// cut when that takes more pieces than the link does, down to one segment.
std::optional<PacketBuffer> Connection::build_data(const Plan& p, Segment& s) {
    const bool large = s.length > mss_;
    if (large || (env_.config.fragments >= kScattered && s.length >= SendBuffer::kWorthLending)) {
        std::optional<PacketBuffer> packet = build_header(env_.pool, s);
        if (!packet) return packet;
        const u32 lent = send_.lend(*packet, p.offset, s.length, is_local() ? 0xffff : env_.config.fragments);
        if (lent == s.length) {
            if (!large) return packet;
            packet->meta().gso = longer_header() == 0 ? PacketMeta::Gso::tcp4 : PacketMeta::Gso::tcp6;
            packet->meta().gso_size = mss_;
            ++env_.stats.gso_out;
            return packet;
        }
        if (large) {  // too many pieces, or views are scarce: as many segments as there are
            packet.reset();
            shorten(s, std::max(lent - lent % mss_, u32{mss_}));
            return build_data(p, s);
        }
    }
    const auto mode = env_.config.tx_checksum_offload ? TxChecksum::partial : TxChecksum::complete;
    if (s.length == 0) return build(env_.pool, s, {}, mode);
    if (const Bytes whole = send_.piece_at(p.offset); whole.size() >= s.length) {
        const Bytes payload = whole.first(s.length);
        return build(env_.pool, s, {&payload, 1}, mode);
    }
    const SendBuffer::Pieces payload = send_.at(p.offset, s.length);
    return build(env_.pool, s, payload.all(), mode);
}

/// The path's segment size, and with it the largest multiple that the link (or ourselves, as the peer) takes at once.
void Connection::set_mss(u32 mss) {
    const u32 headers = 20 + longer_header() + u32{kHeaderBytes + kTimestampBytes};
    const u32 offload = longer_header() == 0 ? env_.config.gso_bytes : env_.config.gso_bytes6;
    const u32 most = is_local() ? 0xffff : offload;
    mss_ = static_cast<u16>(mss);
    segment_limit_ = most > headers + 2 * mss ? (most - headers) / mss * mss : mss;
}

/// The path takes smaller segments than it did, for ten minutes at least (RFC 1191 §6.3). What is in flight may all be
/// too large.
void Connection::narrow(u32 mss, Instant now) {
    if (wide_mss_ == 0) wide_mss_ = mss_;
    widen_at_ = now + kNarrowTime;
    set_mss(mss);
    congestion_.set_mss(mss_);
}

void Connection::widen() {
    set_mss(std::exchange(wide_mss_, u16{0}));
    congestion_.set_mss(mss_);
}

/// Whole segments vanish again and again and nobody says why: a router that drops what is too large, silently
/// (RFC 4821 §7.7, RFC 2923 §2.1). First what IPv6 must carry, then what everybody can.
void Connection::suspect_black_hole(Instant now) {
    constexpr u32 kCareful = 1280 - 60 - kTimestampBytes;
    if (mss_ <= kDefaultMss || snd_max_ - snd_una_ < mss_) return;
    ++env_.stats.black_holes;
    narrow(mss_ > kCareful ? kCareful : kDefaultMss, now);
}

/// An ACK is on its way, with a window field of units of 2^scale bytes.
void Connection::ack_sent(u16 window, u8 scale) {
    ack_now_ = false;
    timers_[kDelayedAck] = Instant::never();
    last_ack_sent_ = rcv_nxt_;
    rcv_adv_ = max(rcv_adv_, rcv_nxt_ + (u32{window} << scale));
}

/// Text that was never sent before, up to `end`, is on its way.
void Connection::text_sent(SeqNum end, Instant now) {
    const bool was_idle = snd_nxt_ == snd_una_;  // a timer still running was the persist timer
    note_in_flight(end, now);
    count_sent(end - snd_nxt_, end);
    if (was_idle)  // RFC 6298 (5.1)
        arm_first(now);
    else if (timers_[kRetransmit].is_never())
        arm(now);
}

/// One segment has left, and is all that is in flight. Mostly its ACK comes before any timer could be due, so this does
/// not find out when that is: on_probe_timer() does.
void Connection::arm_first(Instant now) {
    static_assert(kLongestAckDelay <= RttEstimator::kMinimum);
    probe_armed_ = may_probe();
    timers_[kRetransmit] = now + (probe_armed_ ? kLongestAckDelay : rtt_.rto());
}

void Connection::note_in_flight(SeqNum end, Instant now) {
    board_.sent(end, now, run_tolerance());
    const u32 in_network = board_.pipe();
    if (in_network > peak_) peak_ = in_network;
}

void Connection::count_sent(u32 bytes, SeqNum end) {
    if (!recovery_.is_open()) recovery_.rate.sent(bytes);
    recovery_.force = false;
    snd_nxt_ = max(snd_nxt_, end);
    snd_max_ = max(snd_max_, snd_nxt_);
}

/// `s`, built from `p`, is on its way.
void Connection::sent(const Plan& p, const Segment& s, Instant now) {
    const u32 on_the_wire = s.length > mss_ ? (s.length + mss_ - 1u) / mss_ : 1;
    env_.stats.segments_out += on_the_wire;
    if ((s.flags & flag::ack) != 0) {
        if (s.sack_count != 0) duplicate_ = {};
        ack_sent(s.window, (s.flags & flag::syn) != 0 ? 0 : rcv_scale_);
    }
    if (p.probe && p.length == 0 && (p.flags & flag::fin) == 0) {
        keepalive_pending_ = probe_pending_ = false;
        return;
    }
    const u32 length = s.sequence_length();
    if (length == 0) return;
    env_.stats.bytes_out += s.length;
    last_sent_ = now;
    if (p.resend) {
        env_.stats.retransmitted += on_the_wire;
        retransmissions_ += on_the_wire;
    }
    sent_bytes(p, s, s.seq + length, now);
}

void Connection::sent_bytes(const Plan& p, const Segment& s, SeqNum end, Instant now) {
    if (p.probe) {
        // The byte counts as sent, so that its ACK is believed, but the persist timer stays in charge of it.
        probe_pending_ = false;
        ++env_.stats.zero_window_probes;
        snd_max_ = max(snd_max_, end);
        return;
    }
    probe_pending_ = false;
    const bool was_idle = snd_nxt_ == snd_una_;  // a timer still running was the persist timer
    if ((s.flags & flag::syn) != 0) {
        syn_pending_ = false;
    } else if (end <= snd_nxt_) {
        resent_bytes(s.seq, end, now);
    } else {
        note_in_flight(end, now);
    }
    count_sent(end - s.seq, end);
    if (p.tail) {
        ++env_.stats.tail_probes;
        recovery_.probe_wanted = false;
        recovery_.probing = true;
        recovery_.probe_resent = p.resend;
        recovery_.probe_end = snd_nxt_;
    }
    // RFC 6298 (5.1)
    if (timers_[kRetransmit].is_never() || was_idle || (p.resend && s.seq == snd_una_)) rearm(now);
}

void Connection::resent_bytes(SeqNum from, SeqNum to, Instant now) {
    board_.resent(from, to, now, run_tolerance());
    recovery_.resent += to - from;
    if (recovery_.has_resent) return;
    recovery_.has_resent = true;
    recovery_.first_resent = from;
    recovery_.first_resent_at = timestamp_now(now);
}

}  // namespace ringlet::net::tcp
