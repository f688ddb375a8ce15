// HyStart++ (RFC 9406): leaves slow start when round trips grow longer, before the queue overflows. A value: round
// trips in, what to do out. Context: any.
#pragma once

#include <algorithm>

#include "lib/time.hpp"
#include "net/tcp/seq.hpp"

namespace ringlet::net::tcp {

class HyStart {
public:
    enum class Pace : u8 {
        full,     ///< slow start
        careful,  ///< conservative slow start: a quarter of it
        over      ///< congestion avoidance from here
    };
    void start(SeqNum snd_nxt) { *this = HyStart(snd_nxt); }

    /// §4.2, one ACK up to `una` whose last segment took `rtt` (0: not measured); the round ends at `nxt`.
    Pace on_ack(SeqNum una, SeqNum nxt, Duration rtt) {
        if (rtt.ns != 0) {
            const u32 us = static_cast<u32>(std::min<i64>(rtt.us(), kUnknown - 1));
            current_ = std::min(current_, us);
            if (samples_ < kSamples) ++samples_;
        }
        if (samples_ == kSamples) {
            if (baseline_ != kUnknown) {
                if (current_ < baseline_) baseline_ = kUnknown;  // it was a mistake
            } else if (last_ != kUnknown && current_ >= last_ + std::clamp(last_ / 8, 4'000u, 16'000u)) {
                baseline_ = current_;
                rounds_ = 0;
            }
        }
        if (una >= round_end_) {
            last_ = std::exchange(current_, kUnknown);
            samples_ = 0;
            round_end_ = nxt;
            if (baseline_ != kUnknown && ++rounds_ > kRounds) return Pace::over;
        }
        return baseline_ == kUnknown ? Pace::full : Pace::careful;
    }

    HyStart() = default;

private:
    static constexpr u32 kUnknown = ~u32{0};
    static constexpr u8 kSamples = 8, kRounds = 5;
    explicit HyStart(SeqNum end) : round_end_(end) {}

    SeqNum round_end_;
    u32 last_ = kUnknown, current_ = kUnknown;  ///< shortest of the round before and of this one, in microseconds
    u32 baseline_ = kUnknown;                   ///< what was too long; known: slow start is careful
    u8 samples_ = 0, rounds_ = 0;
};

}  // namespace ringlet::net::tcp
