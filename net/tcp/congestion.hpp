// Congestion control: how much may be in flight. CUBIC (RFC 9438) or NewReno (RFC 5681) in congestion avoidance, slow
// start with HyStart++ (RFC 9406), appropriate byte counting (RFC 3465). Which bytes are lost and how the window comes
// down to the threshold is the connection's affair (recovery.cpp). Values: bytes and the time. Context: any.
#pragma once

#include <algorithm>

#include "lib/time.hpp"
#include "net/tcp/cubic.hpp"
#include "net/tcp/hystart.hpp"
#include "net/tcp/types.hpp"

namespace ringlet::net::tcp {

class Congestion {
public:
    static constexpr u32 kMaximum = 1u << 30;

    /// An ACK of new data while nothing is lost.
    struct Ack {
        u32 acked = 0;  ///< bytes
        SeqNum una, nxt;
        Duration rtt{}, smoothed{};  ///< of the last segment, 0 when not measured; and the average
        Instant now{};
    };

    /// Segment size in bytes, at establishment. `syn_lost`: begin with one segment (RFC 5681 §3.1).
    void start(u32 mss, bool syn_lost, SeqNum nxt) {
        mss_ = mss;
        window_ = syn_lost ? mss : initial();
        hystart_.start(nxt);
    }
    void select(CongestionControl c) { control_ = c; }
    void set_mss(u32 mss) { mss_ = mss; }
    /// The window was used. §3.1 slow start goes by all that was acknowledged (RFC 3465 without its limit L): a peer
    /// that takes merged frames sends one ACK for tens of segments, and counting it as one or two would never open the
    /// window.
    void on_ack(const Ack& a) {
        if (!in_slow_start())
            avoid(a);
        else if (threshold_ != kMaximum)
            window_ += std::min(a.acked, threshold_ - window_ + mss_);
        else
            begin_slowly(a);
        window_ = std::min(window_, kMaximum);
    }
    /// A loss: the threshold comes down (RFC 5681 §3.1 (4), RFC 9438 §4.6), the window follows by set_window().
    /// `flight`: bytes.
    void on_loss(u32 flight) {
        const u32 used = std::min(flight, window_);
        cubic_.on_loss(used);
        threshold_ = std::max(control_ == CongestionControl::cubic ? Cubic::reduced(used) : used / 2, 2 * mss_);
        credit_ = 0;
    }
    /// The retransmission timer has expired, for the first time: one segment, then slow start.
    void on_timeout(u32 flight) {
        on_loss(flight);
        cubic_.on_timeout();
        window_ = mss_;
    }
    /// Nothing was sent for longer than an RTO (RFC 5681 §4.1).
    void on_idle() { window_ = std::min(window_, initial()); }
    void set_window(u32 bytes) { window_ = std::clamp(bytes, mss_, kMaximum); }
    /// There was no loss.
    void restore(u32 window, u32 threshold) {
        window_ = std::max(window_, window);
        threshold_ = std::max(threshold_, threshold);
        cubic_.undo();
    }
    bool in_slow_start() const { return window_ < threshold_; }
    u32 window() const { return window_; }
    u32 threshold() const { return threshold_; }

private:
    void begin_slowly(const Ack& a) {
        switch (hystart_.on_ack(a.una, a.nxt, a.rtt)) {
        case HyStart::Pace::full:
            window_ += a.acked;
            break;
        case HyStart::Pace::careful:
            window_ += a.acked / 4;
            break;
        case HyStart::Pace::over:
            threshold_ = window_;
            break;
        }
    }
    void avoid(const Ack& a) {
        if (control_ == CongestionControl::cubic) {
            window_ = cubic_.on_ack(window_, a.acked, mss_, a.now, a.smoothed);
            return;
        }
        credit_ += a.acked;  // by bytes (RFC 3465)
        if (credit_ < window_) return;
        credit_ -= window_;
        window_ += mss_;
    }
    u32 initial() const { return std::min(10 * mss_, std::max(2 * mss_, 14'600u)); }  // RFC 6928 §2
    u32 mss_ = 536;
    u32 window_ = 536;
    u32 threshold_ = kMaximum;
    u32 credit_ = 0;
    CongestionControl control_ = CongestionControl::cubic;
    HyStart hystart_;
    Cubic cubic_;
};

}  // namespace ringlet::net::tcp
