// The wall clock as a value: an offset to monotonic time, and a small correction under way that is spread over time, so
// that the clock neither jumps nor runs backwards. Context: the owner's lock.
#pragma once

#include <algorithm>

#include "lib/time.hpp"

namespace ringlet::kernel {

class WallClock {
public:
    static constexpr i64 kSlowness = 2000;  ///< a correction of 1 ns takes so many: 500 millionths

    constexpr bool is_set() const { return offset_ != 0; }
    /// Nanoseconds since 1970; 0: unknown.
    constexpr u64 at(Instant now) const { return is_set() ? offset_ + now.ns + static_cast<u64>(corrected(now)) : 0; }
    /// From now on it is `unix_ns`. Something before our own start: unknown.
    constexpr void step(u64 unix_ns, Instant now) {
        offset_ = unix_ns > now.ns ? unix_ns - now.ns : 0;
        correction_ = 0;
    }
    /// Adds `offset_ns` in the end; what was left of an earlier correction is dropped.
    constexpr void slew(i64 offset_ns, Instant now) {
        if (!is_set()) return;
        offset_ += static_cast<u64>(corrected(now));
        correction_ = offset_ns;
        since_ = now;
    }

private:
    constexpr i64 corrected(Instant now) const {
        const i64 most = (now - since_).ns / kSlowness;
        return correction_ < 0 ? std::max(correction_, -most) : std::min(correction_, most);
    }
    u64 offset_ = 0;  // 0: unknown
    i64 correction_ = 0;
    Instant since_;
};

}  // namespace ringlet::kernel
