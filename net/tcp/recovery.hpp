// A loss episode: where it ends, proportional rate reduction (RFC 6937), the tail loss probe (RFC 8985 §7), and what it
// takes to notice that nothing was lost and to undo it (RFC 3522, RFC 3708, RFC 5682). Values. Context: any.
#pragma once

#include <algorithm>

#include "net/tcp/seq.hpp"

namespace ringlet::net::tcp {

/// RFC 6937 §3: how much may be sent for what the peer has received, so that the window shrinks smoothly to the
/// threshold.
class RateReduction {
public:
    void start(u32 flight) { *this = {.flight_ = flight}; }
    /// `delivered`: by this ACK. `safe`: it acknowledged new data and found no further loss, so slow start may be used
    /// to come back up to the threshold. Returns the bytes that may be sent now.
    u32 on_ack(u32 delivered, u32 pipe, u32 threshold, bool safe, u32 mss) {
        delivered_ += delivered;
        if (pipe > threshold) {
            const u64 share = (u64{delivered_} * threshold + flight_ - 1) / std::max(flight_, 1u);
            return share > sent_ ? static_cast<u32>(share - sent_) : 0;
        }
        u32 limit = delivered_ > sent_ ? delivered_ - sent_ : 0;
        if (safe) limit = std::max(limit, delivered) + mss;
        return std::min(threshold - pipe, limit);
    }
    void sent(u32 bytes) { sent_ += bytes; }

    u32 flight_ = 0;  ///< RecoverFS
    u32 delivered_ = 0, sent_ = 0;
};

struct Recovery {
    enum class Phase : u8 {
        open,
        fast,    ///< a loss was detected by ACKs
        timeout  ///< the retransmission timer expired
    };
    Phase phase = Phase::open;
    u8 duplicates = 0;   ///< ACKs, when the peer does not acknowledge selectively (RFC 6582)
    bool force = false;  ///< one segment may go, whatever the window
    SeqNum point;        ///< SND.NXT when the last episode began: it ends when that is acknowledged
    RateReduction rate;

    // undo
    bool undoable = false;
    bool has_resent = false;
    SeqNum first_resent;      ///< of this episode, with the timestamp it carried
    u32 first_resent_at = 0;  ///< milliseconds
    u32 resent = 0;           ///< bytes sent again and not yet reported as duplicates
    u32 prior_window = 0, prior_threshold = 0;

    // tail loss probe
    bool probing = false;       ///< one is out
    bool probe_resent = false;  ///< it carried old bytes
    bool probe_wanted = false;
    SeqNum probe_end;

    bool is_open() const { return phase == Phase::open; }
    /// An ACK of new data means nothing but that.
    bool is_quiet() const { return (static_cast<u8>(phase) | duplicates | u8{probing} | u8{probe_wanted}) == 0; }
};

}  // namespace ringlet::net::tcp
