// How much is said at most in a second, whatever provokes it. Context: the network monitor.
#pragma once

#include "lib/time.hpp"

namespace ringlet::net {

class RateLimit {
public:
    explicit constexpr RateLimit(u32 per_second) : per_second_(per_second), left_(per_second) {}
    bool allow(Instant now) {
        if (now >= window_ + Duration::from_s(1)) {
            window_ = now;
            left_ = per_second_;
        }
        if (left_ == 0) return false;
        --left_;
        return true;
    }

private:
    u32 per_second_, left_;
    Instant window_{};
};

}  // namespace ringlet::net
