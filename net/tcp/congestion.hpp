// Congestion control: how much may be in flight. CUBIC (RFC 9438) or NewReno (RFC 5681) in congestion avoidance, slow
// start with HyStart++ (RFC 9406), appropriate byte counting (RFC 3465). Which bytes are lost and how the window comes
// down to the threshold is the connection's affair (recovery.cpp). Values: bytes and the time. Context: any.
#pragma once

#include <algorithm>

#include "lib/time.hpp"
#include "net/tcp/seq.hpp"
#include "net/tcp/types.hpp"

namespace ringlet::net::tcp {

class Congestion {
public:
    static constexpr u32 kMaximum = 1u << 30;

    /// Segment size in bytes, at establishment. `syn_lost`: begin with one segment (RFC 5681 §3.1).
    void start(u32 mss, bool syn_lost) {
        mss_ = mss;
        window_ = syn_lost ? mss : initial();
    }
    void set_mss(u32 mss) { mss_ = mss; }
    /// New data was acknowledged, nothing is lost, and the window was used.
    void on_ack(u32 acked, Instant) {
        if (window_ < threshold_) {
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
    /// A loss: the threshold comes down (RFC 5681 §3.1 (4)), the window follows by set_window(). `flight`: bytes.
    void on_loss(u32 flight, Instant) {
        threshold_ = std::max(std::min(flight, window_) / 2, 2 * mss_);
        credit_ = 0;
    }
    /// The retransmission timer has expired, for the first time: one segment, then slow start.
    void on_timeout(u32 flight, Instant now) {
        on_loss(flight, now);
        window_ = mss_;
    }
    /// Nothing was sent for longer than an RTO (RFC 5681 §4.1).
    void on_idle() { window_ = std::min(window_, initial()); }
    void set_window(u32 bytes) { window_ = std::clamp(bytes, mss_, kMaximum); }
    /// There was no loss.
    void restore(u32 window, u32 threshold) {
        window_ = std::max(window_, window);
        threshold_ = std::max(threshold_, threshold);
    }
    bool in_slow_start() const { return window_ < threshold_; }
    u32 window() const { return window_; }
    u32 threshold() const { return threshold_; }

private:
    u32 initial() const { return std::min(10 * mss_, std::max(2 * mss_, 14'600u)); }  // RFC 6928 §2
    u32 mss_ = 536;
    u32 window_ = 536;
    u32 threshold_ = kMaximum;
    u32 credit_ = 0;
};

}  // namespace ringlet::net::tcp
