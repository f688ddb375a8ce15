// The scoreboard against a model that keeps one entry per byte, RACK's rules by themselves (RFC 8985 §6.2), and
// proportional rate reduction (RFC 6937 §3).
#include <deque>
#include <random>

#include "harness.hpp"
#include "net/tcp/rack.hpp"
#include "net/tcp/recovery.hpp"

using namespace tcp_test;

namespace {

using Fate = Scoreboard::Fate;
using Piece = Scoreboard::Piece;

struct Byte {
    Fate fate = Fate::in_flight;
    bool resent = false;
};

/// Counters and runs must say the same.
void check_counters(const Scoreboard& b, const std::deque<Byte>& model) {
    u32 sacked = 0, lost = 0;
    for (const Byte& x : model) {
        sacked += x.fate == Fate::sacked;
        lost += x.fate == Fate::lost;
    }
    REQUIRE(b.end() - b.begin() == model.size());
    REQUIRE(b.sacked() == sacked);
    REQUIRE(b.lost() == lost);
    REQUIRE(b.pipe() == model.size() - sacked - lost);
}

Instant at_ms(i64 ms) {
    return Instant{0} + Duration::from_ms(ms);
}
constexpr Duration kZero{};

}  // namespace

TEST_CASE("The scoreboard equals a model byte by byte") {
    std::mt19937 source(5);
    const auto random = [&] { return static_cast<u32>(source()); };
    for (int round = 0; round < 60; ++round) {
        Scoreboard b;
        SeqNum una(0xffff'ff00);
        b.start(una);
        std::deque<Byte> model;
        for (int i = 0; i < 150; ++i) {
            const u32 n = static_cast<u32>(model.size());
            const u32 from = n == 0 ? 0 : random() % n, len = n == 0 ? 0 : 1 + random() % (n - from);
            switch (random() % 6) {
            case 0:
            case 1: {
                const u32 more = 1 + random() % 40;
                b.sent(b.end() + more, at_ms(i), Duration::from_ms(random() % 3));
                model.resize(n + more);
                break;
            }
            case 2: {
                if (n == 0) break;
                u32 fresh = 0, expected = 0;
                b.sack(una + from, una + from + len, [&](const Piece& p) { fresh += p.length(); });
                for (u32 k = from; k < from + len; ++k) expected += model[k].fate != Fate::sacked;
                for (u32 k = from; k < from + len; ++k) model[k].fate = Fate::sacked;
                REQUIRE(fresh == expected);
                break;
            }
            case 3:
                if (n == 0) break;
                b.lose(una + from, una + from + len);
                for (u32 k = from; k < from + len; ++k)
                    if (model[k].fate == Fate::in_flight) model[k].fate = Fate::lost;
                break;
            case 4: {
                if (b.lost() == 0) break;
                const Piece p = b.first_lost();
                u32 first = 0;
                while (model[first].fate != Fate::lost) ++first;
                REQUIRE(p.begin == una + first);
                const u32 part = 1 + random() % p.length();
                b.resent(p.begin, p.begin + part, at_ms(i), Duration::from_ms(1));
                for (u32 k = first; k < first + part; ++k) {
                    REQUIRE(model[k].fate == Fate::lost);
                    model[k] = {.fate = Fate::in_flight, .resent = true};
                }
                break;
            }
            default: {
                const u32 gone = n == 0 ? 0 : random() % (n / 4 + 1);
                u32 fresh = 0, expected = 0;
                b.acked(una + gone, [&](const Piece& p) {
                    fresh += p.length();
                    REQUIRE(p.resent == model[p.begin - una].resent);
                });
                for (u32 k = 0; k < gone; ++k) expected += model[k].fate != Fate::sacked;
                model.erase(model.begin(), model.begin() + gone);
                una += gone;
                REQUIRE(fresh == expected);
            }
            }
            check_counters(b, model);
            REQUIRE(b.runs() <= Scoreboard::kMost);
        }
        b.forgive();
        CHECK(b.lost() == 0);
        b.forget_sacks();
        CHECK(b.pipe() == model.size());
    }
}

TEST_CASE("A hostile peer that acknowledges every other byte makes the scoreboard forget, never grow") {
    Scoreboard b;
    b.start(SeqNum(0));
    b.sent(SeqNum(100'000), at_ms(1), kZero);
    const auto ignore = [](const Piece&) {};
    for (u32 i = 1; i + 1 < 100'000; i += 2) {
        b.sack(SeqNum(i), SeqNum(i + 1), ignore);
        REQUIRE(b.runs() <= Scoreboard::kMost);
        REQUIRE(b.pipe() + b.sacked() + b.lost() == 100'000);
    }
    CHECK(b.sacked() >= 100);  // what is kept is true
    for (u32 i = 0; i < 50'000 && b.lost() == 0; i += 7) b.lose(SeqNum(i), SeqNum(i + 1));
    while (b.lost() != 0) {
        const Piece p = b.first_lost();
        b.resent(p.begin, p.begin + 1, at_ms(2), kZero);
    }
    CHECK(b.pipe() + b.sacked() == 100'000);
    b.acked(SeqNum(100'000), ignore);
    CHECK(b.pipe() == 0);
    CHECK(b.is_clean());
}

TEST_CASE("Runs are joined within the tolerance, and only while nothing happened to them") {
    Scoreboard b;
    b.start(SeqNum(0));
    b.sent(SeqNum(10), at_ms(100), Duration::from_ms(5));
    b.sent(SeqNum(20), at_ms(105), Duration::from_ms(5));
    CHECK(b.runs() == 1);
    b.sent(SeqNum(30), at_ms(106), Duration::from_ms(5));
    CHECK(b.runs() == 2);
    b.lose(SeqNum(0), SeqNum(30));
    CHECK(b.runs() == 1);  // when what is lost was sent matters no longer
    b.sent(SeqNum(40), at_ms(106), Duration::from_ms(5));
    CHECK(b.runs() == 2);
    b.resent(SeqNum(0), SeqNum(10), at_ms(107), Duration::from_ms(5));
    b.resent(SeqNum(10), SeqNum(20), at_ms(108), Duration::from_ms(5));
    CHECK(b.runs() == 3);
    CHECK(b.first_lost().begin == SeqNum(20));
}

TEST_CASE("RACK: what was sent before something that arrived is lost after its reordering window (§6.2 step 5)") {
    Scoreboard b;
    Rack r;
    b.start(SeqNum(0));
    r.start(SeqNum(0));
    const Duration rtt = Duration::from_ms(40);
    for (u32 i = 0; i < 4; ++i) b.sent(SeqNum(100 * (i + 1)), at_ms(1 + i), kZero);
    const auto arrive = [&](u32 from, u32 to, Instant now) {
        b.sack(SeqNum(from), SeqNum(to), [&](const Piece& p) { r.delivered(p, now, rtt, false); });
    };
    arrive(200, 300, at_ms(43));
    CHECK(r.window(false, rtt, rtt).ms() == 10);
    CHECK(r.window(true, rtt, rtt).ms() == 0);
    // [0, 100) left at 1, [100, 200) at 2: their times are 1 + 40 + 10 and 2 + 40 + 10.
    CHECK(r.detect(b, at_ms(43), Duration::from_ms(10)) == at_ms(51));
    CHECK(b.lost() == 0);
    CHECK(r.detect(b, at_ms(51), Duration::from_ms(10)) == at_ms(52));
    CHECK(b.lost() == 100);
    CHECK(r.detect(b, at_ms(52), Duration::from_ms(10)).is_never());
    CHECK(b.lost() == 200);  // [300, 400) was sent after what arrived
    // What was sent again counts from then.
    b.resent(SeqNum(0), SeqNum(100), at_ms(60), kZero);
    CHECK(r.detect(b, at_ms(80), kZero).is_never());
    arrive(300, 400, at_ms(81));
    CHECK(b.lost() == 100);
    CHECK_FALSE(r.has_reordered());
    arrive(100, 200, at_ms(82));  // never sent again, and behind others: reordering (step 3)
    CHECK(r.has_reordered());
    CHECK(r.window(true, rtt, rtt).ms() == 10);
}

TEST_CASE("RACK: an ACK too early to be of the second transmission is not (§6.2 step 2)") {
    for (const bool stale : {false, true}) {
        Scoreboard b;
        Rack r;
        b.start(SeqNum(0));
        r.start(SeqNum(0));
        b.sent(SeqNum(100), at_ms(1), kZero);
        b.sent(SeqNum(200), at_ms(2), kZero);
        b.lose(SeqNum(0), SeqNum(100));
        b.resent(SeqNum(0), SeqNum(100), at_ms(50), kZero);
        const Instant now = at_ms(stale ? 95 : 60);
        b.acked(SeqNum(100), [&](const Piece& p) { r.delivered(p, now, Duration::from_ms(40), stale); });
        r.detect(b, at_ms(1000), kZero);
        CHECK(b.lost() == 0);  // [100, 200) left before the second transmission, but that proves nothing
    }
}

TEST_CASE("RACK: duplicates widen the window once per round trip, for sixteen recoveries (§6.2 step 4)") {
    Rack r;
    const Duration rtt = Duration::from_ms(40);
    r.start(SeqNum(0));
    r.on_duplicate(SeqNum(10), SeqNum(100));
    r.on_duplicate(SeqNum(50), SeqNum(200));
    CHECK(r.window(false, rtt, Duration::from_s(1)).ms() == 20);
    r.on_duplicate(SeqNum(100), SeqNum(200));
    CHECK(r.window(false, rtt, Duration::from_s(1)).ms() == 30);
    CHECK(r.window(false, rtt, Duration::from_ms(25)).ms() == 25);  // never more than SRTT
    for (int i = 0; i < 15; ++i) r.on_recovered();
    CHECK(r.window(false, rtt, Duration::from_s(1)).ms() == 30);
    r.on_recovered();
    CHECK(r.window(false, rtt, Duration::from_s(1)).ms() == 10);
}

TEST_CASE("RACK: at a timeout the first segment is lost, and what is old enough (§6.3)") {
    Scoreboard b;
    Rack r;
    b.start(SeqNum(0));
    r.start(SeqNum(0));
    b.sent(SeqNum(10), at_ms(0), kZero);
    b.acked(SeqNum(10), [&](const Piece& p) { r.delivered(p, at_ms(40), Duration::from_ms(40), false); });
    b.sent(SeqNum(100), at_ms(100), kZero);
    b.sent(SeqNum(200), at_ms(110), kZero);
    b.sent(SeqNum(300), at_ms(290), kZero);
    r.on_timeout(b, at_ms(300), Duration::from_ms(10));
    CHECK(b.lost() == 190);
}

TEST_CASE("Rate reduction comes down to the threshold in step with what arrives (RFC 6937 §3)") {
    // 20 segments of 1000, one lost, threshold 14: for every 10 that arrive 7 leave.
    RateReduction r;
    r.start(20'000);
    u32 pipe = 19'000, out = 0;
    for (int i = 0; i < 18; ++i) {
        pipe -= 1000;
        const u32 may = r.on_ack(1000, pipe, 14'000, false, 1000) / 1000 * 1000;
        r.sent(may);
        out += may;
        pipe += may;
    }
    CHECK(out == 13'000);
    CHECK(pipe == 14'000);
    // Below the threshold: as many as arrive; one more in slow start, when it is safe.
    RateReduction few;
    few.start(20'000);
    CHECK(few.on_ack(1000, 5'000, 14'000, false, 1000) == 1000);
    few.sent(1000);
    CHECK(few.on_ack(2000, 4'000, 14'000, true, 1000) == 3000);
    CHECK(few.on_ack(2000, 13'500, 14'000, true, 1000) == 500);
}
