// Congestion control (RFC 5681) behind one interface, and NewReno (RFC 6582). Which segment to resend is the
// connection's affair; how much may be in flight is decided here. Values: bytes and the time. Context: any.
#pragma once

#include <algorithm>
#include <concepts>

#include "lib/time.hpp"
#include "net/tcp/seq.hpp"

namespace ringlet::net::tcp {

template <class C>
concept CongestionControl = requires(C c, const C k, u32 bytes, Instant now) {
    { c.start(bytes) } -> std::same_as<void>;              // segment size in bytes, at establishment
    { c.on_ack(bytes, now) } -> std::same_as<void>;        // newly acknowledged, not in recovery, window was used
    { c.on_loss(bytes, now) } -> std::same_as<void>;       // third duplicate ACK; bytes in flight
    { c.on_duplicate_ack() } -> std::same_as<void>;        // a further one, in recovery
    { c.on_partial_ack(bytes) } -> std::same_as<void>;     // in recovery; newly acknowledged
    { c.on_recovered(bytes, now) } -> std::same_as<void>;  // recovery is over; bytes in flight
    { c.on_timeout(bytes, now) } -> std::same_as<void>;    // first expiry of the retransmission timer
    { c.on_idle() } -> std::same_as<void>;                 // nothing sent for longer than an RTO (§4.1)
    { c.set_mss(bytes) } -> std::same_as<void>;            // the path became narrower
    { k.window() } -> std::same_as<u32>;
};

class NewReno {
public:
    static constexpr u32 kMaximum = 1u << 30;
    constexpr void start(u32 mss) {
        mss_ = mss;
        window_ = initial();
    }
    constexpr void set_mss(u32 mss) { mss_ = mss; }
    constexpr void on_ack(u32 acked, Instant) {
        if (window_ < ssthresh_) {
            // §3.1 slow start, by all that was acknowledged (RFC 3465 without its limit L): a peer that takes merged
            // frames sends one ACK for tens of segments, and counting it as one or two would never open the window.
            window_ += acked;
        } else {  // congestion avoidance, by bytes (RFC 3465)
            credit_ += acked;
            if (credit_ >= window_) {
                credit_ -= window_;
                window_ += mss_;
            }
        }
        window_ = std::min(window_, kMaximum);
    }
    constexpr void on_loss(u32 flight, Instant) {  // §3.2 steps 2, 3
        ssthresh_ = std::max(flight / 2, 2 * mss_);
        window_ = ssthresh_ + 3 * mss_;
    }
    constexpr void on_duplicate_ack() { window_ = std::min(window_ + mss_, kMaximum); }  // step 4
    constexpr void on_partial_ack(u32 acked) {  // RFC 6582 §3.2 step 3, partial
        window_ -= std::min(window_, acked);
        if (acked >= mss_) window_ += mss_;
        window_ = std::max(window_, mss_);
    }
    constexpr void on_recovered(u32 flight, Instant) {  // full: option 1, which avoids a burst
        window_ = std::min(ssthresh_, std::max(flight, mss_) + mss_);
        credit_ = 0;
    }
    constexpr void on_timeout(u32 flight, Instant) {  // §3.1 (4): one segment, then slow start
        ssthresh_ = std::max(flight / 2, 2 * mss_);
        window_ = mss_;
        credit_ = 0;
    }
    constexpr void on_idle() { window_ = std::min(window_, initial()); }
    constexpr u32 window() const { return window_; }
    constexpr u32 slow_start_threshold() const { return ssthresh_; }

private:
    constexpr u32 initial() const { return std::min(10 * mss_, std::max(2 * mss_, 14'600u)); }  // RFC 6928 §2
    u32 mss_ = 536;
    u32 window_ = 536;
    u32 ssthresh_ = kMaximum;
    u32 credit_ = 0;
};
static_assert(CongestionControl<NewReno>);

using Congestion = NewReno;

/// Fast recovery (RFC 6582 §3.2): where it ends, and the duplicate ACKs that start it.
struct Recovery {
    SeqNum recover;  ///< highest sequence number sent when the last recovery or timeout began
    u8 duplicates = 0;
    bool active = false;
    bool guarded = false;  ///< `recover` holds after a timeout: duplicate ACKs below it start nothing (step 1)
};

}  // namespace ringlet::net::tcp
