// Congestion windows by themselves: slow start, NewReno, CUBIC against the formulas of RFC 9438 in floating point,
// HyStart++ (RFC 9406); and that an application which does not use its window does not earn a larger one.
#include <cmath>

#include "harness.hpp"

using namespace tcp_test;

namespace {

constexpr u32 kMss = 1000;

Congestion::Ack of(u32 bytes, Instant now = {}, Duration rtt = {}) {
    return {.acked = bytes, .una = {}, .nxt = {}, .rtt = rtt, .smoothed = rtt, .now = now};
}
Instant at_ms(i64 ms) {
    return Instant{1'000'000'000} + Duration::from_ms(ms);
}

/// RFC 9438 figures 1 to 3, in segments and seconds.
struct Formula {
    double max, start, k;
    Formula(double w_max, double cwnd) : max(w_max), start(cwnd), k(std::cbrt((w_max - cwnd) / 0.4)) {}
    double cubic(double t) const { return 0.4 * std::pow(t - k, 3) + max; }
};

}  // namespace

TEST_CASE("Slow start, NewReno, loss, timeout (RFC 5681)") {
    Congestion c;
    c.select(CongestionControl::new_reno);
    c.start(kMss, false, {});
    CHECK(c.window() == 10'000);  // RFC 6928 §2
    c.on_ack(of(500));
    CHECK(c.window() == 10'500);
    c.on_ack(of(1'000));
    CHECK(c.window() == 11'500);
    Congestion merged = c;
    merged.on_ack(of(64'000));  // one ACK for a merged frame opens the window as its segments would have
    CHECK(merged.window() == 75'500);
    c.on_loss(10'000);
    CHECK(c.threshold() == 5000);
    CHECK(c.window() == 11'500);  // comes down step by step: RFC 6937
    c.set_window(c.threshold());
    for (int i = 0; i < 5; ++i) c.on_ack(of(1000));
    CHECK(c.window() == 6000);  // one segment per window
    c.on_timeout(3000);
    CHECK(c.window() == kMss);
    CHECK(c.threshold() == 2000);
    c.on_ack(of(5000));  // slow start ends at the threshold
    CHECK(c.window() == 3000);
    c.restore(6000, 5000);
    CHECK(c.window() == 6000);
    CHECK(c.threshold() == 5000);
    c.on_loss(1'000'000);  // never more than half of the window, whatever is in flight
    CHECK(c.threshold() == 3000);
    c.set_window(0);
    CHECK(c.window() == kMss);
    Congestion lost_syn;
    lost_syn.start(kMss, true, {});
    CHECK(lost_syn.window() == kMss);  // RFC 5681 §3.1
}

TEST_CASE("CUBIC follows its formula: concave, flat at the last maximum, convex (RFC 9438 §4.2, §4.4, §4.5)") {
    Cubic c;
    c.on_loss(1000 * kMss);
    u32 window = Cubic::reduced(1000 * kMss);
    CHECK(window == 700 * kMss);
    const Formula f(1000, 700);
    const Duration rtt = Duration::from_ms(100);  // long: NewReno would be far behind
    for (i64 ms = 0; ms < 14'000; ms += 10) {
        window = c.on_ack(window, window / 10, kMss, at_ms(ms), rtt);
        const double want = f.cubic(double(ms) / 1000);
        if (ms > 500) CHECK(std::abs(window / double(kMss) - want) < 0.02 * want + 1);
    }
    CHECK(window > 1040 * kMss);
}

TEST_CASE("CUBIC is never slower than NewReno (RFC 9438 §4.3)") {
    Cubic c;
    c.on_loss(20 * kMss);
    u32 window = 14 * kMss;
    const Duration rtt = Duration::from_ms(5);
    i64 ms = 0;
    for (int round = 0; round < 40; ++round, ms += 5)
        for (u32 sent = 0, goal = window; sent < goal; sent += kMss)
            window = c.on_ack(window, kMss, kMss, at_ms(ms), rtt);
    // 6 segments at 9/17 per round trip, then one per round trip.
    const double want = 20 + (40 - 6 * 17.0 / 9);
    CHECK(std::abs(window / double(kMss) - want) < 2);
}

TEST_CASE("CUBIC: fast convergence, timeouts, idle time, and what was no loss (RFC 9438 §4.7 to §4.9, §5.8)") {
    const Duration rtt = Duration::from_ms(100);
    const auto after = [&](Cubic c, u32 window, i64 from, i64 until) {
        for (i64 ms = from; ms < until; ms += 20) window = c.on_ack(window, window / 5, kMss, at_ms(ms), rtt);
        return window;
    };
    Cubic again;
    again.on_loss(1000 * kMss);
    again.on_loss(800 * kMss);  // below the last maximum: gives way, to 680
    CHECK(after(again, 560 * kMss, 0, 8000) < 690 * kMss);
    Cubic undone = again;
    undone.undo();
    CHECK(after(undone, 560 * kMss, 0, 9000) > 900 * kMss);
    Cubic expired = again;
    expired.on_timeout();  // K is 0: convex at once
    const u32 grown = after(expired, 400 * kMss, 0, 4000);
    CHECK(std::abs(grown / double(kMss) - Formula(400, 400).cubic(4.0)) < 12);
    // Ten seconds without growth are no reason to jump.
    Cubic idle = again;
    u32 window = 560 * kMss;
    window = idle.on_ack(window, kMss, kMss, at_ms(0), rtt);
    const u32 before = window;
    window = idle.on_ack(window, window / 5, kMss, at_ms(10'000), rtt);
    CHECK(window - before < 5 * kMss);
}

TEST_CASE("HyStart++ slows down when round trips grow, and stops five rounds later (RFC 9406 §4.2)") {
    HyStart h;
    h.start(SeqNum(100));
    u32 end = 100;
    const auto round = [&](i64 ms) {
        HyStart::Pace p{};
        for (int i = 0; i < 10; ++i) p = h.on_ack(SeqNum(end - 10 + i), SeqNum(end + 100), Duration::from_ms(ms));
        h.on_ack(SeqNum(end), SeqNum(end + 100), {});
        end += 100;
        return p;
    };
    CHECK(round(40) == HyStart::Pace::full);
    CHECK(round(44) == HyStart::Pace::full);     // less than an eighth of 40 ms more
    CHECK(round(50) == HyStart::Pace::careful);  // 44 + 5.5
    HyStart mistaken = h;
    CHECK(round(51) == HyStart::Pace::careful);
    for (int i = 0; i < 3; ++i) CHECK(round(55) == HyStart::Pace::careful);
    round(60);
    CHECK(h.on_ack(SeqNum(end), SeqNum(end + 100), {}) == HyStart::Pace::over);
    h = mistaken;
    CHECK(round(45) == HyStart::Pace::full);  // shorter again
}

TEST_CASE("HyStart++ thresholds: at least 4 ms, at most 16 (RFC 9406 §4.3)") {
    for (const auto& [before, after, grows] :
         {std::tuple{1, 4, false}, std::tuple{1, 6, true}, std::tuple{400, 415, false}, std::tuple{400, 417, true}}) {
        HyStart h;
        h.start(SeqNum(1));
        for (int i = 0; i < 9; ++i) h.on_ack(SeqNum(0), SeqNum(2), Duration::from_ms(before));
        h.on_ack(SeqNum(1), SeqNum(2), {});
        HyStart::Pace p{};
        for (int i = 0; i < 8; ++i) p = h.on_ack(SeqNum(1), SeqNum(2), Duration::from_ms(after));
        CHECK((p == HyStart::Pace::careful) == grows);
    }
}

TEST_CASE("A window that is not used does not grow (RFC 7661); an idle one is forgotten (RFC 5681 §4.1)") {
    Harness t;
    t.to_established();
    const u32 first = t.tcp->info(t.h)->congestion_window;
    u32 at = 1;
    for (int i = 0; i < 50; ++i) {  // one segment per round trip
        REQUIRE(t.write(Harness::text(500)));
        t.expect(at, 1, A, 500);
        at += 500;
        t.advance(Duration::from_ms(20));
        t.send(1, at, A);
    }
    CHECK(t.tcp->info(t.h)->congestion_window == first);
    for (int i = 0; i < 10; ++i) {  // all of it
        (void)t.write(Harness::text(16'000));
        while (auto s = t.next()) at = s->seq + u32(s->data.size());
        t.advance(Duration::from_ms(20));
        t.send(1, at, A, "", 65535);
    }
    CHECK(t.tcp->info(t.h)->congestion_window > 2 * first);
    while (auto s = t.next()) at = s->seq + u32(s->data.size());
    t.send(1, at, A, "", 65535);
    t.advance(Duration::from_s(5));
    REQUIRE(t.write(Harness::text(16'000)));
    u32 burst = 0;
    while (auto s = t.next()) burst += u32(s->data.size());
    CHECK(burst <= first);
    CHECK(burst + 536 > first);
}

TEST_CASE("In congestion avoidance, too, only a window that is used grows (RFC 7661)") {
    Harness t;
    t.to_established();
    Options o;
    o.congestion = CongestionControl::new_reno;
    REQUIRE(t.tcp->configure(t.h, o, t.now));
    REQUIRE(t.write(Harness::text(10 * 536)));
    t.drain();
    for (int i = 0; i < 3; ++i) t.send(1, 1, A);
    t.drain();
    u32 at = 1 + 10 * 536;
    t.send(1, at, A);
    const u32 window = t.tcp->info(t.h)->congestion_window;
    CHECK(window == 5 * 536);
    const auto rounds = [&](u32 segments) {
        for (int i = 0; i < 6; ++i) {
            t.advance(Duration::from_ms(20));
            REQUIRE(t.write(Harness::text(segments * 536)));
            while (auto s = t.next()) at = s->seq + u32(s->data.size());
            t.advance(Duration::from_ms(20));
            t.send(1, at, A);
        }
    };
    rounds(3);
    rounds(3);
    CHECK(t.tcp->info(t.h)->congestion_window == window + 536);  // for the flight that was lost from
    rounds(5);
    CHECK(t.tcp->info(t.h)->congestion_window > window + 2 * 536);
}

TEST_CASE("The algorithm is chosen per socket") {
    for (const CongestionControl c : {CongestionControl::cubic, CongestionControl::new_reno}) {
        Harness t;
        t.to_established();
        Options o;
        o.congestion = c;
        REQUIRE(t.tcp->configure(t.h, o, t.now));
        REQUIRE(t.write(Harness::text(10 * 536)));
        t.drain();
        for (int i = 0; i < 3; ++i) t.send(1, 1, A);
        t.drain();
        t.send(1, 1 + 10 * 536, A);
        CHECK(t.tcp->info(t.h)->congestion_window == (c == CongestionControl::cubic ? 7 * 536 : 5 * 536));
    }
}
