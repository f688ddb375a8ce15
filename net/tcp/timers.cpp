// What time does to a connection: RFC 6298 §5 (retransmission), RFC 9293 §3.8.6.1 (persist), §3.8.4 (keepalive),
// §3.8.3 (giving up) and TIME-WAIT. Context: the network monitor.
#include "net/tcp/connection.hpp"

namespace ringlet::net::tcp {
namespace {

constexpr u8 kSynAckRetries = 5;
constexpr u8 kMaxPersistShift = 10;
constexpr u8 kPatience = 2;  ///< timeouts in a row before large segments are suspected
constexpr Duration kMaxPersist = Duration::from_s(60);

}  // namespace

void Connection::on_time(Instant now) {
    auto due = [&](Timer t) {
        if (timers_[t] > now) return false;
        timers_[t] = Instant::never();
        return true;
    };
    if (due(kLifetime)) on_lifetime_timer();
    if (state_ == State::closed) return;
    if (due(kDelayedAck)) {
        ++env_.stats.delayed_acks;
        ack_now_ = true;
    }
    if (due(kRetransmit)) {
        const bool opening = state_ == State::syn_sent || state_ == State::syn_received;
        if (!opening && snd_nxt_ > snd_una_ && probe_armed_)
            on_probe_timer(now);
        else if (opening || snd_nxt_ > snd_una_)
            on_retransmit_timer(now);
        else
            on_persist_timer(now);
    }
    if (state_ != State::closed && due(kReorder)) on_reorder_timer(now);
    if (state_ != State::closed && due(kKeepalive)) on_keepalive_timer(now);
}

void Connection::on_link_restored(Instant now) {
    stalled_since_ = {};
    rtt_.progress();
    probe_armed_ = false;
    if (!timers_[kRetransmit].is_never()) timers_[kRetransmit] = now;
}

void Connection::on_lifetime_timer() {
    switch (state_) {
    case State::syn_sent:
        ++env_.stats.timed_out;
        finish(soft_error_.value_or(Error::timed_out));
        break;
    case State::time_wait:
        finish(std::nullopt);
        break;
    default:  // an orphan whose peer makes no progress
        ++env_.stats.orphans_expired;
        finish(std::nullopt);
    }
}

void Connection::on_retransmit_timer(Instant now) {
    ++env_.stats.timeouts;
    if (stalled_since_.ns == 0) stalled_since_ = now;
    if (now - stalled_since_ >= env_.config.give_up ||
        (state_ == State::syn_received && passive_ && rtt_.backoffs() >= kSynAckRetries)) {
        ++env_.stats.timed_out;
        finish(soft_error_.value_or(Error::timed_out));
        return;
    }
    if (state_ == State::syn_sent || state_ == State::syn_received) {
        rtt_.back_off();
        syn_pending_ = true;
        return;  // sending it arms the timer again
    }
    if (snd_wnd_ == 0 && send_.size() != 0) {  // the peer took its window back: what it dropped was never sent
        rtt_.back_off();
        stalled_since_ = {};
        board_.start(snd_una_);
        snd_nxt_ = snd_una_;
        leave_recovery();
        return;
    }
    if (rtt_.backoffs() >= kPatience) suspect_black_hole(now);
    const bool first = rtt_.backoffs() == 0;  // RFC 5681 §3.1: once per loss
    rtt_.back_off();
    if (board_.is_reneged()) board_.forget_sacks();  // RFC 2018 §8
    begin_episode(Recovery::Phase::timeout);
    recovery_.duplicates = 0;
    if (first) congestion_.on_timeout(snd_max_ - snd_una_);
    if (sack_)
        rack_.on_timeout(board_, now, reordering_window());
    else
        board_.lose(board_.begin(), board_.end());
    if (!board_.is_clean()) timers_[kReorder] = Instant::never();
}

void Connection::on_persist_timer(Instant now) {
    // The peer may keep its window closed as long as it answers (§3.8.6.1); a silent one is gone.
    if (persist_shift_ >= 4 && now - last_heard_ >= env_.config.give_up) {
        ++env_.stats.timed_out;
        finish(soft_error_.value_or(Error::timed_out));
        return;
    }
    if (persist_shift_ < kMaxPersistShift) ++persist_shift_;
    probe_pending_ = true;
}

bool Connection::update_plan(Instant now) {
    if (plan()) return true;
    const bool pending = send_.size() != 0 || (fin_queued_ && snd_una_ <= fin_seq());
    if (sends_data() && pending && snd_nxt_ == snd_una_ && timers_[kRetransmit].is_never())
        timers_[kRetransmit] = now + std::min(rtt_.rto() * (i64{1} << persist_shift_), kMaxPersist);
    return false;
}

void Connection::on_keepalive_timer(Instant now) {
    if (!options_.keepalive || !is_synchronized() || state_ == State::time_wait) return;
    const Instant idle_until = last_heard_ + *options_.keepalive;
    if (idle_until > now) {
        timers_[kKeepalive] = idle_until;
        return;
    }
    if (keepalive_sent_ >= options_.keepalive_probes) {
        ++env_.stats.timed_out;
        finish(Error::timed_out);
        return;
    }
    timers_[kKeepalive] = now + options_.keepalive_interval;
    if (in_flight() != 0) return;  // retransmission is asking already
    ++keepalive_sent_;
    ++env_.stats.keepalive_probes;
    keepalive_pending_ = true;
}

void Connection::enter_time_wait(Instant now) {
    state_ = State::time_wait;
    timers_.fill(Instant::never());
    timers_[kLifetime] = now + env_.config.time_wait;
    send_.release();
    board_.release();
}

}  // namespace ringlet::net::tcp
