// What is in flight and what became of it: RFC 6675's scoreboard and RFC 8985's transmission times, as runs of bytes
// with one fate. Runs, not segments: what is sent within a sixteenth of a round trip shares one, so a connection
// without losses has a handful. At kMost runs it forgets, always to the safe side: what was selectively acknowledged
// is in flight again, what was in flight is lost. A value. Context: the network monitor.
#pragma once

#include "lib/time.hpp"
#include "net/tcp/seq.hpp"

namespace ringlet::net::tcp {

class Scoreboard {
public:
    static constexpr u32 kInside = 4, kMost = 256;
    enum class Fate : u8 { in_flight, sacked, lost };
    struct Run {
        SeqNum end;  ///< it begins where the one before ends
        Fate fate = Fate::in_flight;
        bool resent = false;  ///< sent more than once: its ACK measures nothing (Karn)
        Instant sent;         ///< the last time
    };
    /// A run, or the part of it that an ACK was about.
    struct Piece {
        SeqNum begin, end;
        Fate fate;  ///< before the ACK
        bool resent;
        Instant sent;
        u32 length() const { return end - begin; }
    };

    Scoreboard() = default;
    ~Scoreboard() { release(); }
    Scoreboard(const Scoreboard&) = delete;
    Scoreboard& operator=(const Scoreboard&) = delete;

    /// Nothing is in flight; the next byte sent is `una`.
    void start(SeqNum una);
    /// Gives back what it has allocated.
    void release();

    SeqNum begin() const { return begin_; }
    SeqNum end() const { return end_; }
    /// RFC 6675 §4: bytes that are thought to be in the network.
    u32 pipe() const { return end_ - begin_ - sacked_ - lost_; }
    u32 sacked() const { return sacked_; }
    u32 lost() const { return lost_; }  ///< and not sent again since
    bool is_clean() const { return (sacked_ | lost_) == 0; }
    u32 runs() const { return count_; }

    /// New bytes up to `until` left at `now`; they may join a run up to `tolerance` older.
    void sent(SeqNum until, Instant now, Duration tolerance) {
        if (count_ != 0) {
            Run& last = runs_[head_ + count_ - 1];
            if (last.fate == Fate::in_flight && !last.resent && now - last.sent <= tolerance) {
                last.end = end_ = until;
                return;
            }
        }
        if (u32{head_} + count_ == capacity_) reserve(1);
        runs_[head_ + count_++] = {.end = until, .sent = now};
        end_ = until;
    }
    /// Everything below `una` has arrived. visit(const Piece&): what was not known yet, in order.
    template <class F> [[gnu::always_inline]] void acked(SeqNum una, F visit) {
        while (count_ != 0 && begin_ < una) {
            const Run r = runs_[head_];
            const Piece p{begin_, min(r.end, una), r.fate, r.resent, r.sent};
            count_off(r.fate, p.length(), false);
            begin_ = p.end;
            if (p.end == r.end) {
                ++head_;
                --count_;
            }
            if (p.fate != Fate::sacked) visit(p);
        }
        if (count_ == 0) head_ = 0;
        begin_ = una;
        end_ = max(end_, una);
    }
    /// [from, to) has arrived; the caller has checked that it lies within [begin, end). visit as above.
    template <class F> void sack(SeqNum from, SeqNum to, F visit) {
        Range range = range_of(from, to, Fate::sacked);
        SeqNum at = range.from;
        for (u32 i = range.first; i < range.last; ++i) {
            Run& r = runs_[head_ + i];
            const Piece p{at, r.end, r.fate, r.resent, r.sent};
            at = r.end;
            set(r, Fate::sacked, p.length());
            if (p.fate != Fate::sacked) visit(p);
        }
        join(range);
    }
    /// Of what is in flight, lose(const Piece&) says what is lost.
    template <class F> void lose_if(F lose) {
        SeqNum at = begin_;
        bool any = false;
        for (u32 i = 0; i < count_; ++i) {
            Run& r = runs_[head_ + i];
            const Piece p{at, r.end, r.fate, r.resent, r.sent};
            at = r.end;
            if (r.fate != Fate::in_flight || !lose(p)) continue;
            set(r, Fate::lost, p.length());
            any = true;
        }
        if (any) join({.first = 0, .last = count_, .from = begin_});
    }
    /// [from, to) is lost, as far as it is in flight.
    void lose(SeqNum from, SeqNum to);
    /// The first bytes that are lost; lost() != 0.
    Piece first_lost() const;
    /// [from, to), which was lost, left again at `now`.
    void resent(SeqNum from, SeqNum to, Instant now, Duration tolerance);
    /// None of it is lost after all.
    void forgive();
    /// The peer has thrown away what it had acknowledged selectively (RFC 2018 §8).
    void forget_sacks();
    /// The peer acknowledged the first byte selectively and yet does not acknowledge it.
    bool is_reneged() const { return count_ != 0 && runs_[head_].fate == Fate::sacked; }

private:
    /// Runs [first, last) and where the first begins.
    struct Range {
        u32 first, last;
        SeqNum from;
    };
    void reserve(u32 more);
    void crowd();
    void erase(u32 i);
    u32 split(SeqNum at);
    Range range_of(SeqNum from, SeqNum to, Fate fate);
    void join(Range range);
    SeqNum begin_of(u32 i) const { return i == 0 ? begin_ : runs_[head_ + i - 1].end; }
    void count_off(Fate f, u32 bytes, bool more) {
        u32& counter = f == Fate::sacked ? sacked_ : lost_;
        if (f != Fate::in_flight) counter = more ? counter + bytes : counter - bytes;
    }
    void set(Run& r, Fate fate, u32 length) {
        count_off(r.fate, length, false);
        count_off(fate, length, true);
        r.fate = fate;
    }

    SeqNum begin_, end_;
    u32 sacked_ = 0, lost_ = 0;
    u16 head_ = 0, count_ = 0, capacity_ = kInside;
    Run* runs_ = inside_;
    Run inside_[kInside];
};

}  // namespace ringlet::net::tcp
