// What ACKs tell about losses, and what follows: the scoreboard kept (RFC 2018 §5), RACK (RFC 8985), duplicate ACKs
// from peers without SACK (RFC 6582), the window during repair (RFC 6937), tail loss probes (RFC 8985 §7), and episodes
// that turn out to have had no reason (RFC 3522, 3708, 5682). Context: the network monitor.
#include "net/tcp/ack.hpp"

namespace ringlet::net::tcp {
namespace {

constexpr u8 kDuplicateThreshold = 3;                       // RFC 5681 §3.2
constexpr Duration kShortestProbe = Duration::from_ms(10);  // a probe sooner is worth less than the timer it costs

}  // namespace

/// RFC 2018 §5, with RFC 2883 §5 for the first block. A block that is not about what is in flight says nothing.
void Connection::take_sacks(const Segment& s, News& news, Instant now) {
    u32 i = 0;
    const SackBlock &d = s.sack[0], &whole = s.sack[1];
    const bool inside = s.sack_count > 1 && whole.begin <= d.begin && d.end <= whole.end;
    if (d.begin < d.end && (d.end <= snd_una_ || inside)) {
        news.reported = d.end - d.begin;
        news.reported_end = d.end;
        ++env_.stats.duplicates_reported;
        i = 1;
    }
    for (; i < s.sack_count; ++i) {
        const SackBlock b{max(s.sack[i].begin, board_.begin()), s.sack[i].end};
        if (!(s.sack[i].begin < s.sack[i].end) || b.end > board_.end())
            ++env_.stats.bad_sack;
        else if (b.begin < b.end)
            board_.sack(b.begin, b.end, [&](const Scoreboard::Piece& p) { arrived(p, s, news, now); });
    }
}

/// A duplicate ACK of a peer that does not acknowledge selectively.
void Connection::count_duplicate(News& news) {
    ++env_.stats.duplicate_acks_in;
    if (sack_ || recovery_.phase == Recovery::Phase::timeout || recovery_.duplicates == 0xff) return;
    ++recovery_.duplicates;
    news.delivered += mss_;
}

/// After the scoreboard knows what `s` said: what is lost, and how much may be sent now.
void Connection::recover(const Segment& s, News news, Instant now) {
    if (news.reported != 0) note_reported(news);
    finish_probe(s, news);
    const bool was_open = recovery_.is_open();
    const u32 before = board_.lost();
    detect_losses(news, now);
    const bool safe = news.acked != 0 && board_.lost() <= before;
    if (!was_open) {
        if (is_spurious(s, news))
            undo();
        else if (snd_una_ >= recovery_.point)
            leave_recovery();
    }
    if (recovery_.is_open() && board_.lost() != 0) enter_fast_recovery();
    switch (recovery_.phase) {
    case Recovery::Phase::open:
        if (was_open && news.acked != 0) grow_window(news, now);  // the ACK that ends an episode earns nothing
        break;
    case Recovery::Phase::fast:
        reduce_window(news.delivered, safe);
        break;
    case Recovery::Phase::timeout:  // RFC 3465 §2.3: carefully, for an ACK may be of much that had arrived before
        if (news.acked != 0) congestion_.on_ack(growth(std::min(news.acked, 2u * mss_), news.latest, now));
        break;
    }
    rearm(now);
}

void Connection::detect_losses(const News& news, Instant now) {
    if (sack_) {
        timers_[kReorder] = board_.pipe() == 0 ? Instant::never() : rack_.detect(board_, now, reordering_window());
        return;
    }
    if (news.acked != 0) {  // RFC 6582 §3.2 step 3; of the duplicates one was the hole, the others are acknowledged now
        const u32 segments = std::max(news.acked / mss_, 1u) - 1;
        recovery_.duplicates -= static_cast<u8>(std::min<u32>(recovery_.duplicates, segments));
        if (recovery_.is_open() || snd_una_ >= recovery_.point) recovery_.duplicates = 0;
    }
    const bool partial = recovery_.phase == Recovery::Phase::fast && news.acked != 0 && snd_una_ < recovery_.point;
    const bool third = recovery_.is_open() && recovery_.duplicates == kDuplicateThreshold;
    if (partial) ++env_.stats.partial_acks;
    // Step 1: duplicates below `point` are of what a timeout has sent again.
    if (partial || (third && snd_una_ > recovery_.point)) {
        board_.lose(snd_una_, min(snd_una_ + mss_, board_.end()));
        recovery_.force = true;
    }
}

/// RFC 8985 §6.2 step 4.
Duration Connection::reordering_window() const {
    const bool certain = !recovery_.is_open() || board_.sacked() > 2u * mss_;  // RFC 6675 §4: IsLost, by bytes
    return rack_.window(certain, rtt_.minimum(), rtt_.smoothed());
}

void Connection::begin_episode(Recovery::Phase phase) {
    if (recovery_.is_open()) {
        recovery_.undoable = true;
        recovery_.has_resent = false;
        recovery_.resent = 0;
        recovery_.prior_window = congestion_.window();
        recovery_.prior_threshold = congestion_.threshold();
    }
    recovery_.phase = phase;
    recovery_.point = snd_max_;
    recovery_.probing = recovery_.probe_wanted = false;
    recovery_.force = true;
}

/// Everything in flight goes again, and not because of congestion: the window stays.
void Connection::resend_all() {
    begin_episode(Recovery::Phase::timeout);
    recovery_.undoable = false;
    board_.lose(board_.begin(), board_.end());
}

void Connection::enter_fast_recovery() {
    ++env_.stats.fast_retransmits;
    begin_episode(Recovery::Phase::fast);
    congestion_.on_loss(snd_max_ - snd_una_);
    recovery_.rate.start(snd_max_ - snd_una_);
}

void Connection::leave_recovery() {
    if (recovery_.phase == Recovery::Phase::fast) congestion_.set_window(congestion_.threshold());
    recovery_.phase = Recovery::Phase::open;
    recovery_.force = false;
    recovery_.duplicates = 0;
    rack_.on_recovered();
}

void Connection::reduce_window(u32 delivered, bool safe) {
    const u32 in_network = pipe();
    congestion_.set_window(in_network +
                           recovery_.rate.on_ack(delivered, in_network, congestion_.threshold(), safe, mss_));
}

Congestion::Ack Connection::growth(u32 acked, Duration rtt, Instant now) const {
    return {acked, snd_una_, snd_nxt_, rtt, rtt_.smoothed(), now};
}

/// The window was used, and `acked` bytes of it have arrived, the last of them after `rtt`.
void Connection::widen_window(u32 acked, Duration rtt, Instant now) {
    congestion_.on_ack(growth(acked, rtt, now));
    const u64 twice = u64{congestion_.window()} * 2;
    if (twice > send_.bound()) send_.grow(static_cast<u32>(std::min<u64>(twice, env_.config.send_buffer_most)));
}

// --- no loss after all ----------------------------------------------------------------------------------------------

/// The peer had bytes twice (RFC 2883): those sent again for nothing, or a path that duplicates.
void Connection::note_reported(const News& news) {
    rack_.on_duplicate(snd_una_, snd_nxt_);
    recovery_.resent -= std::min(recovery_.resent, news.reported);
    if (recovery_.undoable && recovery_.has_resent && recovery_.resent == 0) undo();  // RFC 3708 §2
}

bool Connection::is_spurious(const Segment& s, const News& news) const {
    if (!recovery_.undoable || news.acked == 0) return false;
    if (timestamps_)  // RFC 3522 §3.2: the ACK of what was sent again echoes what was sent first
        return recovery_.has_resent && s.ack > recovery_.first_resent && s.timestamp_echo != 0 &&
               SeqNum(s.timestamp_echo) < SeqNum(recovery_.first_resent_at);
    // RFC 5682 §3.1: after a timeout, something arrived that was lost and never sent again.
    return sack_ && recovery_.phase == Recovery::Phase::timeout && news.original;
}

void Connection::undo() {
    ++env_.stats.spurious_recoveries;
    congestion_.restore(recovery_.prior_window, recovery_.prior_threshold);
    board_.forgive();
    recovery_.phase = Recovery::Phase::open;
    recovery_.force = recovery_.undoable = false;
    recovery_.duplicates = 0;
}

// --- timers
// -----------------------------------------------------------------------------------------------------------

/// Starts the retransmission timer for what is in flight, or in its place the one that asks about the tail
/// (RFC 8985 §7.2).
void Connection::arm(Instant now) {
    probe_armed_ = may_probe();
    timers_[kRetransmit] = now + (probe_armed_ ? probe_timeout() : rtt_.rto());
}

Duration Connection::probe_timeout() const {
    Duration wait = std::max(rtt_.smoothed() * 2, kShortestProbe);
    if (snd_nxt_ - snd_una_ <= mss_) wait = wait + kLongestAckDelay;
    return std::min(wait, rtt_.rto());
}

/// Nothing was heard for two round trips: one segment provokes an answer that says what is missing.
void Connection::on_probe_timer(Instant now) {
    if (const Instant due = last_sent_ + probe_timeout(); due > now) {  // text has left since, or arm_first() guessed
        timers_[kRetransmit] = due;
        return;
    }
    recovery_.probe_wanted = true;
    probe_armed_ = false;
    timers_[kRetransmit] = now + rtt_.rto();
}

/// A gap has waited for its reordering window (RFC 8985 §6.2 step 5).
void Connection::on_reorder_timer(Instant now) {
    detect_losses({}, now);
    if (board_.lost() == 0) return;
    if (recovery_.is_open()) enter_fast_recovery();
    if (recovery_.phase == Recovery::Phase::fast) reduce_window(0, false);
    rearm(now);
}

/// RFC 8985 §7.4: did the probe repair a loss that nobody else would notice?
void Connection::finish_probe(const Segment& s, const News& news) {
    if (news.acked != 0) recovery_.probe_wanted = false;
    if (!recovery_.probing || s.ack < recovery_.probe_end) return;
    const bool seen_twice = news.reported != 0 && news.reported_end == recovery_.probe_end;
    const bool repaired = recovery_.probe_resent && !seen_twice && s.ack > recovery_.probe_end;
    const bool bare_duplicate = news.acked == 0 && s.sack_count == 0 && s.length == 0;
    if (recovery_.probe_resent && !seen_twice && !repaired && !bare_duplicate) return;
    recovery_.probing = false;
    if (!repaired || !recovery_.is_open()) return;
    congestion_.on_loss(snd_max_ - snd_una_);
    congestion_.set_window(congestion_.threshold());
}

}  // namespace ringlet::net::tcp
