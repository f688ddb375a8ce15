// Round-trip time and the retransmission timeout (RFC 6298). A value: samples in, RTO out. Context: any.
#pragma once

#include <algorithm>

#include "lib/time.hpp"

namespace ringlet::net::tcp {

class RttEstimator {
public:
    static constexpr Duration kInitial = Duration::from_s(1);  // RFC 6298 (2.1)
    /// RFC 6298 (2.4) says one second; every stack in use takes less, and 200 ms still covers a delayed ACK.
    static constexpr Duration kMinimum = Duration::from_ms(200);
    static constexpr Duration kMaximum = Duration::from_s(60);  // (2.5)

    /// One measured round trip, never of a retransmitted segment (Karn, RFC 6298 §3).
    constexpr void sample(Duration r) {
        r = std::max(r, Duration{1});
        if (srtt_.ns == 0) {  // (2.2)
            srtt_ = r;
            rttvar_ = r / 2;
        } else {  // (2.3)
            const Duration error = srtt_ > r ? srtt_ - r : r - srtt_;
            rttvar_ = (rttvar_ * 3 + error) / 4;
            srtt_ = (srtt_ * 7 + r) / 8;
        }
        backoff_ = 0;
    }
    /// (5.5) the timer expired: twice as long next time.
    constexpr void back_off() {
        if (backoff_ < 16) ++backoff_;
    }
    /// New data was acknowledged: the path works again.
    constexpr void progress() { backoff_ = 0; }
    constexpr u8 backoffs() const { return backoff_; }
    constexpr Duration smoothed() const { return srtt_; }
    constexpr Duration rto() const {
        const Duration base = srtt_.ns == 0 ? kInitial : std::clamp(srtt_ + rttvar_ * 4, kMinimum, kMaximum);
        const u8 shift = std::min<u8>(backoff_, 10);
        return std::min(base * (i64{1} << shift), kMaximum);
    }

private:
    Duration srtt_{}, rttvar_{};
    u8 backoff_ = 0;
};

}  // namespace ringlet::net::tcp
