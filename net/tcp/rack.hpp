// RACK (RFC 8985 §6): a byte is lost when one sent sufficiently later has arrived. "Sufficiently" is the reordering
// window: nothing on a path that has never reordered and shows a loss, else a quarter of the shortest round trip, more
// when duplicates prove that it was too little. A value. Context: the network monitor.
#pragma once

#include <algorithm>

#include "net/tcp/scoreboard.hpp"

namespace ringlet::net::tcp {

class Rack {
public:
    using Piece = Scoreboard::Piece;

    void start(SeqNum una) {
        *this = {};
        end_ = fack_ = una;
    }
    /// §6.2 steps 2 and 3: `p` has arrived just now. `stale`: by its timestamp the ACK is about an earlier
    /// transmission.
    void delivered(const Piece& p, Instant now, Duration min_rtt, bool stale) {
        if (!p.resent && p.end < fack_) reordered_ = true;
        fack_ = max(fack_, p.end);
        const Duration rtt = now - p.sent;
        if (p.resent && (stale || rtt < min_rtt)) return;
        rtt_ = rtt;
        if (!sent_after(p.sent, p.end, sent_, end_)) return;
        sent_ = p.sent;
        end_ = p.end;
    }
    /// Step 4, DSACK: the window was too small; once per round trip, remembered for 16 recoveries.
    void on_duplicate(SeqNum snd_una, SeqNum snd_nxt) {
        if (in_round_ && snd_una < round_end_) return;
        in_round_ = true;
        round_end_ = snd_nxt;
        if (factor_ < 64) ++factor_;
        persist_ = 16;
    }
    void on_recovered() {
        if (persist_ != 0 && --persist_ == 0) factor_ = 1;
    }
    /// `certain`: a loss is being repaired, or three segments have overtaken.
    Duration window(bool certain, Duration min_rtt, Duration srtt) const {
        if (!reordered_ && certain) return {};
        return std::min(min_rtt * factor_ / 4, srtt);
    }
    /// Step 5. Marks what is lost; returns when to look again, never() when nothing waits for its window to pass.
    Instant detect(Scoreboard& board, Instant now, Duration window) const {
        Instant again = Instant::never();
        board.lose_if([&](const Piece& p) {
            if (!sent_after(sent_, end_, p.sent, p.end)) return false;
            const Instant limit = p.sent + rtt_ + window;
            if (limit <= now) return true;
            again = std::min(again, limit);
            return false;
        });
        return again;
    }
    /// §6.3, the retransmission timer: the first segment is lost, and what is older than a round trip and the window.
    void on_timeout(Scoreboard& board, Instant now, Duration window) const {
        board.lose_if([&](const Piece& p) { return p.begin == board.begin() || p.sent + rtt_ + window <= now; });
    }
    bool has_reordered() const { return reordered_; }

private:
    static bool sent_after(Instant a, SeqNum a_end, Instant b, SeqNum b_end) {
        return a > b || (a == b && a_end > b_end);
    }
    Instant sent_{};  ///< of the latest transmission that has arrived
    SeqNum end_;      ///< where that ended
    SeqNum fack_;     ///< the highest byte that has arrived
    SeqNum round_end_;
    Duration rtt_{};
    bool reordered_ = false, in_round_ = false;
    u8 factor_ = 1, persist_ = 0;
};

}  // namespace ringlet::net::tcp
