// An ACK of new data: what it is about leaves the scoreboard and the send buffer, its round trip is measured, and the
// window grows (RFC 9293 §3.10.7.4, fifth). Inline, for input.cpp and recovery.cpp: most of what the usual segment
// costs. Context: the network monitor.
#pragma once

#include "net/tcp/connection.hpp"

namespace ringlet::net::tcp {

/// `p` has arrived, and no ACK said so before.
inline void Connection::arrived(const Scoreboard::Piece& p, const Segment& s, News& news, Instant now) {
    news.delivered += p.length();
    bool stale = false;
    Duration shortest{};  // counts only for what was sent again
    if (p.resent) {
        stale = echoes_earlier(s, p.sent);  // RFC 8985 §6.2 step 2
        shortest = rtt_.minimum();
    } else {
        news.latest = std::max(now - p.sent, Duration{1});
        if (news.earliest.ns == 0) news.earliest = news.latest;
        if (p.fate == Scoreboard::Fate::lost) news.original = true;
    }
    if (sack_) rack_.delivered(p, now, shortest, stale);
}

/// RFC 6298 §3: one sample per ACK, of the first segment it is about; by timestamps when all of it was sent again.
inline void Connection::measure(const Segment& s, const News& news, Instant now) {
    if (news.latest.ns != 0 && (sack_ || recovery_.is_open())) {
        rtt_.sample(news.earliest);
        rtt_.note_minimum(news.latest, now);
    } else if (timestamps_ && s.timestamp_echo != 0) {
        const u32 elapsed = timestamp_now(now) - s.timestamp_echo;
        if (elapsed < 3'600'000) rtt_.sample(Duration::from_ms(elapsed));  // an echo we never sent is no measurement
    }
}

/// SND.UNA < SEG.ACK <= SND.MAX.
inline void Connection::acknowledge(const Segment& s, News& news, Instant now) {
    const SeqNum ack = s.ack;
    const bool our_fin = fin_sent() && ack == fin_seq() + 1;
    news.acked = ack - snd_una_;
    board_.acked(ack, [&] [[gnu::always_inline]] (const Scoreboard::Piece& p) { arrived(p, s, news, now); });
    measure(s, news, now);
    const u32 data = std::min(ack - data_start_, send_.size());
    if (data != 0) {
        send_.drop(data);
        held_taken_ += data;
        if (held_taken_ >= PacketBuffer::kSize || send_.buffers() == 0) {
            held_taken_ = 0;
            held_since_ = now;
        }
        write_refused_ = false;
    }
    data_start_ += data;
    snd_una_ = ack;
    snd_nxt_ = max(snd_nxt_, ack);
    if (sends_urgent_ && ack >= snd_up_) sends_urgent_ = false;
    rtt_.progress();
    stalled_since_ = {};
    if (orphan_ && state_ != State::time_wait) timers_[kLifetime] = now + env_.config.orphan_timeout;
    if (our_fin) on_our_fin_acked(now);
}

/// New data was acknowledged and nothing is lost. RFC 7661: a window that was not used proves nothing.
inline void Connection::grow_window(const News& news, Instant now) {
    const u32 peak = std::max(peak_, previous_peak_);
    const u32 window = congestion_.window();
    const bool used = congestion_.in_slow_start() ? peak * 2 >= window : peak + 2u * mss_ >= window;
    if (used) widen_window(news.acked, news.latest, now);
    if (snd_una_ < peak_round_) return;
    previous_peak_ = std::exchange(peak_, board_.pipe());
    peak_round_ = snd_nxt_;
}

}  // namespace ringlet::net::tcp
