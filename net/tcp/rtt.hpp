// Round-trip time and the retransmission timeout (RFC 6298), and the shortest round trip of late (RFC 8985 §6.2 step
// 1). A value: samples in, RTO out. Context: any.
#pragma once

#include <algorithm>

#include "lib/time.hpp"

namespace ringlet::net::tcp {

class RttEstimator {
public:
    static constexpr Duration kInitial = Duration::from_s(1);       // RFC 6298 (2.1)
    static constexpr Duration kAfterLostSyn = Duration::from_s(3);  // (5.7)
    /// RFC 6298 (2.4) says one second; every stack in use takes less, and 200 ms still covers a delayed ACK.
    static constexpr Duration kMinimum = Duration::from_ms(200);
    static constexpr Duration kMaximum = Duration::from_s(60);  // (2.5)
    static constexpr Duration kWindow = Duration::from_s(150);  ///< half of how long the shortest round trip counts

    /// One measured round trip, never of a retransmitted segment (Karn, RFC 6298 §3).
    constexpr void sample(Duration r) {
        r = std::max(r, Duration{1});
        if (srtt_.ns == 0) {  // (2.2)
            srtt_ = r;
            rttvar_ = r / 2;
        } else {  // (2.3)
            const Duration error = srtt_ > r ? srtt_ - r : r - srtt_;
            rttvar_ = Duration{rttvar_.ns + ((error.ns - rttvar_.ns) >> 2)};
            srtt_ = Duration{srtt_.ns + ((r.ns - srtt_.ns) >> 3)};
        }
        backoff_ = 0;
    }
    /// A round trip for minimum() alone: one that no delayed ACK has lengthened.
    constexpr void note_minimum(Duration r, Instant now) {
        r = std::max(r, Duration{1});
        if (now - minimum_since_ >= kWindow) {  // the older half is forgotten
            previous_minimum_ = minimum_;
            minimum_ = r;
            minimum_since_ = now;
        }
        if (minimum_.ns == 0 || r < minimum_) minimum_ = r;
    }
    /// (5.5) the timer expired: twice as long next time.
    constexpr void back_off() {
        if (backoff_ < 16) ++backoff_;
    }
    /// The handshake is over. One whose SYN had to be sent again says that the path may be slower than kInitial, as
    /// long as nothing was measured.
    constexpr void established() {
        if (backoff_ != 0) initial_ = kAfterLostSyn;
        backoff_ = 0;
    }
    /// New data was acknowledged: the path works again.
    constexpr void progress() { backoff_ = 0; }
    constexpr u8 backoffs() const { return backoff_; }
    /// Zero before the first sample.
    constexpr Duration smoothed() const { return srtt_; }
    constexpr Duration minimum() const {
        return previous_minimum_.ns != 0 ? std::min(minimum_, previous_minimum_) : minimum_;
    }
    constexpr Duration rto() const {
        const Duration base = srtt_.ns == 0 ? initial_ : std::clamp(srtt_ + rttvar_ * 4, kMinimum, kMaximum);
        if (backoff_ == 0) return base;
        return std::min(base * (i64{1} << std::min<u8>(backoff_, 10)), kMaximum);
    }

private:
    Duration srtt_{}, rttvar_{}, initial_ = kInitial;
    Duration minimum_{}, previous_minimum_{};
    Instant minimum_since_{};
    u8 backoff_ = 0;
};

}  // namespace ringlet::net::tcp
