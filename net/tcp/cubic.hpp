// CUBIC's window in congestion avoidance (RFC 9438 §4): a cubic of the time since the last reduction, flat where that
// loss was, never less than what NewReno would have. Integers only. A value: bytes, milliseconds. Context: any.
#pragma once

#include <algorithm>

#include "lib/time.hpp"

namespace ringlet::net::tcp {

/// floor(cbrt(x)).
constexpr u32 cube_root(u64 x) {
    u64 root = 0;
    for (int shift = 63; shift >= 0; shift -= 3) {
        root *= 2;
        const u64 step = 3 * root * (root + 1) + 1;
        if ((x >> shift) >= step) {
            x -= step << shift;
            ++root;
        }
    }
    return static_cast<u32>(root);
}
static_assert(cube_root(0) == 0 && cube_root(26) == 2 && cube_root(27) == 3 && cube_root(~u64{0}) == 2'642'245);

class Cubic {
public:
    /// beta = 0.7 (§4.6).
    static constexpr u32 reduced(u32 window) { return static_cast<u32>(u64{window} * 7 / 10); }

    /// The window was `window` when a loss was detected.
    constexpr void on_loss(u32 window) {
        previous_max_ = max_;
        max_ = window < max_ ? static_cast<u32>(u64{window} * 17 / 20) : window;  // §4.7 fast convergence
        prior_ = window;
        epoch_ = Instant::never();
    }
    /// §4.8: after a timeout the next epoch begins at its own top.
    constexpr void on_timeout() {
        max_ = 0;
        epoch_ = Instant::never();
    }
    /// §4.9: there was no loss.
    constexpr void undo() {
        max_ = previous_max_;
        epoch_ = Instant::never();
    }
    /// The window after `acked` more bytes in congestion avoidance.
    constexpr u32 on_ack(u32 window, u32 acked, u32 mss, Instant now, Duration rtt) {
        if (epoch_.is_never()) begin(window, mss, now);
        const Duration gap = now - last_;
        if (gap > rtt) epoch_ = epoch_ + (gap - rtt);  // §5.8: time in which nothing was to be sent does not count
        last_ = now;
        // §4.3: alpha is 9/17 until the window is what it was, then 1.
        const u64 slope = (estimate_ >> kShift) < prior_ ? 9 : 17;
        estimate_ += slope * acked * mss * (u64{1} << kShift) / (u64{17} * window);
        const u32 reno = static_cast<u32>(std::min<u64>(estimate_ >> kShift, 1u << 30));
        const i64 elapsed = (now - epoch_).ms();
        if (at(elapsed, mss) < reno) return std::max(window, reno);
        const u64 target = std::clamp<u64>(at(elapsed + rtt.ms(), mss), window, u64{window} * 3 / 2);
        return window + static_cast<u32>((target - window) * acked / window);  // §4.4, §4.5
    }

private:
    static constexpr u32 kShift = 10;

    constexpr void begin(u32 window, u32 mss, Instant now) {
        epoch_ = last_ = now;
        estimate_ = u64{window} << kShift;
        // K = cbrt((max - window) / (C * mss)) seconds, C = 0.4 (figure 2).
        k_ms_ = max_ > window ? cube_root(u64{max_ - window} * 2'500'000'000 / mss) : 0;
        if (max_ < window) max_ = window;
    }
    /// W_cubic(t) = C * (t - K)^3 + max, in bytes (figure 1).
    constexpr u64 at(i64 ms, u32 mss) const {
        const i64 t = std::clamp<i64>(ms - k_ms_, -1'000'000, 1'000'000);
        const i64 change = t * t * t / 1'000'000 * mss / 2'500;
        const i64 window = i64{max_} + change;
        return window < 0 ? 0 : static_cast<u64>(window);
    }

    u32 max_ = 0, previous_max_ = 0;
    u32 prior_ = 0;  ///< the window before the last reduction
    u32 k_ms_ = 0;
    u64 estimate_ = 0;  ///< what NewReno would have, in 1/1024 byte
    Instant epoch_ = Instant::never();
    Instant last_{};
};

}  // namespace ringlet::net::tcp
