// The scoreboard's rare moments: losses, resends, growth. Context: the network monitor.
#include "net/tcp/scoreboard.hpp"

#include <algorithm>
#include <new>

#include "lib/assert.hpp"

namespace ringlet::net::tcp {

void Scoreboard::start(SeqNum una) {
    begin_ = end_ = una;
    sacked_ = lost_ = 0;
    head_ = count_ = 0;
}

void Scoreboard::release() {
    if (runs_ != inside_) delete[] runs_;
    runs_ = inside_;
    capacity_ = kInside;
    start(end_);
}

/// Room for `more` further runs: at the end, in a larger array, or by forgetting.
void Scoreboard::reserve(u32 more) {
    if (u32{head_} + count_ + more <= capacity_) return;
    if (u32{count_} + more > capacity_ && capacity_ < kMost) {
        const u32 larger = capacity_ * 4u;
        if (Run* runs = new (std::nothrow) Run[larger]) {
            std::copy_n(runs_ + head_, count_, runs);
            if (runs_ != inside_) delete[] runs_;
            runs_ = runs;
            head_ = 0;
            capacity_ = static_cast<u16>(larger);
            return;
        }
    }
    std::copy_n(runs_ + head_, count_, runs_);
    head_ = 0;
    while (u32{count_} + more > capacity_) crowd();
}

/// One run fewer. First times are blurred, then a selective acknowledgment is forgotten, then more is lost than was.
void Scoreboard::crowd() {
    ASSERT(head_ == 0 && count_ >= 2);
    for (u32 i = 0; i + 1 < count_; ++i) {
        const Run &a = runs_[i], &b = runs_[i + 1];
        if (a.fate != b.fate || a.resent != b.resent) continue;
        runs_[i + 1].sent = std::max(a.sent, b.sent);
        return erase(i);
    }
    u32 i = count_;
    while (i-- != 0)
        if (runs_[i].fate == Fate::sacked) break;
    const bool found = i < count_;
    if (!found) i = count_ - 1u;
    const u32 other = i == 0 ? 1 : i - 1;
    const Fate fate = found ? runs_[other].fate : Fate::lost;
    for (u32 k : {i, other}) set(runs_[k], fate, runs_[k].end - begin_of(k));
    const u32 low = std::min(i, other);
    runs_[low + 1].resent |= runs_[low].resent;
    runs_[low + 1].sent = std::max(runs_[low].sent, runs_[low + 1].sent);
    erase(low);
}

/// Run `i` becomes the front of the one behind it.
void Scoreboard::erase(u32 i) {
    std::copy(runs_ + head_ + i + 1, runs_ + head_ + count_, runs_ + head_ + i);
    --count_;
}

/// The run that begins at `at`, after cutting one in two if need be; there is room.
u32 Scoreboard::split(SeqNum at) {
    u32 i = 0;
    while (i < count_ && runs_[head_ + i].end <= at) ++i;
    if (i == count_ || begin_of(i) == at) return i;
    Run* const here = runs_ + head_ + i;
    std::copy_backward(here, runs_ + head_ + count_, runs_ + head_ + count_ + 1);
    here->end = at;
    ++count_;
    return i + 1;
}

/// The runs that make up [from, to); ends that have `fate` already are left whole.
Scoreboard::Range Scoreboard::range_of(SeqNum from, SeqNum to, Fate fate) {
    reserve(2);
    for (u32 i = 0; i < count_; ++i) {
        const Run& r = runs_[head_ + i];
        if (r.fate != fate) continue;
        if (begin_of(i) <= from && from < r.end) from = r.end;
        if (begin_of(i) < to && to <= r.end) to = begin_of(i);
    }
    if (!(from < to)) return {0, 0, begin_};
    const u32 first = split(from);
    const u32 last = split(to);
    return {first, last, from};
}

/// Joins what has become alike in and around `range`.
void Scoreboard::join(Range range) {
    u32 i = range.first == 0 ? 0 : range.first - 1;
    u32 end = std::min<u32>(range.last + 1, count_);
    while (i + 1 < end) {
        const Run &a = runs_[head_ + i], &b = runs_[head_ + i + 1];
        const bool alike = a.fate == b.fate && (a.fate == Fate::sacked ||
                                                (a.resent == b.resent && (a.fate == Fate::lost || a.sent == b.sent)));
        if (alike) {
            erase(i);
            --end;
        } else {
            ++i;
        }
    }
}

void Scoreboard::lose(SeqNum from, SeqNum to) {
    const Range range = range_of(from, to, Fate::lost);
    SeqNum at = range.from;
    for (u32 i = range.first; i < range.last; ++i) {
        Run& r = runs_[head_ + i];
        if (r.fate == Fate::in_flight) set(r, Fate::lost, r.end - at);
        at = r.end;
    }
    join(range);
}

Scoreboard::Piece Scoreboard::first_lost() const {
    u32 i = 0;
    while (i < count_ && runs_[head_ + i].fate != Fate::lost) ++i;
    ASSERT(i < count_);
    const Run& r = runs_[head_ + i];
    return {begin_of(i), r.end, r.fate, r.resent, r.sent};
}

void Scoreboard::resent(SeqNum from, SeqNum to, Instant now, Duration tolerance) {
    const Range range = range_of(from, to, Fate::sacked);
    if (range.first != 0) {  // right behind the one before: one run
        const Run& before = runs_[head_ + range.first - 1];
        if (before.fate == Fate::in_flight && before.resent && now - before.sent <= tolerance) now = before.sent;
    }
    SeqNum at = range.from;
    for (u32 i = range.first; i < range.last; ++i) {
        Run& r = runs_[head_ + i];
        if (r.fate != Fate::sacked) {
            set(r, Fate::in_flight, r.end - at);
            r.resent = true;
            r.sent = now;
        }
        at = r.end;
    }
    join(range);
}

void Scoreboard::forgive() {
    for (u32 i = 0; i < count_; ++i)
        if (runs_[head_ + i].fate == Fate::lost) runs_[head_ + i].fate = Fate::in_flight;
    lost_ = 0;
}

void Scoreboard::forget_sacks() {
    for (u32 i = 0; i < count_; ++i)
        if (runs_[head_ + i].fate == Fate::sacked) runs_[head_ + i].fate = Fate::in_flight;
    sacked_ = 0;
}

}  // namespace ringlet::net::tcp
