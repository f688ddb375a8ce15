// Losses seen by a sender whose peer acknowledges selectively: RACK-TLP (RFC 8985), rate reduction (RFC 6937), undo
// (RFC 3522, 3708, 5682), and blocks that cannot be true (RFC 2018 §5).
#include "harness.hpp"

using namespace tcp_test;

namespace {

constexpr u32 kMss = 1000;
using Block = std::pair<u32, u32>;

struct Sender : Harness {
    explicit Sender(bool stamps = false) : Harness(config_for()), timestamps(stamps) {
        listen();
        Segment s = make(0, 0, S, 65535);
        s.sack_permitted = true;
        s.mss = u16(kMss + (stamps ? 12 : 0));
        stamp(s, 0);
        send_raw(s);
        expect(0, 1, S | A);
        step(20);
        ack(1);
        h = *tcp->accept(listener);
        CHECK(tcp->info(h)->smoothed_rtt.ms() == 20);
    }
    static Config config_for() {
        Config c = defaults();
        c.send_buffer_bytes = 65536;
        return c;
    }
    void step(i64 ms) { advance(Duration::from_ms(ms)); }
    u32 clock() const { return static_cast<u32>(now.ns / 1'000'000); }
    void stamp(Segment& s, u32 echo) const {
        s.has_timestamp = timestamps;
        s.timestamp = clock();
        s.timestamp_echo = echo;
    }
    /// An ACK whose blocks are in bytes of our stream, the latest first; `echo` is one of our timestamps.
    void ack(u32 ack, std::vector<Block> blocks = {}, u32 echo = 0) {
        Segment s = make(1, ack, A, 65535);
        stamp(s, echo);
        for (auto [from, to] : blocks) s.sack[s.sack_count++] = {SeqNum(our_isn + from), SeqNum(our_isn + to)};
        send_raw(s);
    }
    /// `n` whole segments leave now, `gap` ms apart; returns the timestamp of the first.
    u32 fly(u32 n, i64 gap = 0) {
        REQUIRE(write(text(n * kMss)));
        u32 first = 0;
        for (u32 i = 0; i < n; ++i) {
            const Seen s = expect(next_out, 1, A, kMss);
            if (i == 0) first = s.raw.timestamp;
            next_out += kMss;
            if (gap != 0) step(gap);
        }
        return first;
    }
    /// Begin of our segment `i`.
    static u32 at(u32 i) { return 1 + i * kMss; }
    Block block(u32 from, u32 to) const { return {at(from), at(to)}; }
    u32 window() { return tcp->info(h)->congestion_window; }
    const Stats& stats() { return tcp->stats(); }
    u32 next_out = 1;
    bool timestamps;
};

}  // namespace

TEST_CASE("Three segments that overtake prove a loss at once; only what is missing goes again") {
    Sender t;
    t.fly(10);
    t.step(20);
    t.ack(1, {t.block(1, 2)});
    t.expect_none();
    t.ack(1, {t.block(1, 3)});
    t.expect_none();
    t.ack(1, {t.block(1, 4)});
    t.expect(1, 1, A, kMss);
    t.expect_none();
    CHECK(t.stats().fast_retransmits == 1);
    // A second hole, further on.
    t.ack(1, {t.block(5, 6), t.block(1, 4)});
    t.expect(Sender::at(4), 1, A, kMss);
    t.ack(1, {t.block(5, 10), t.block(1, 4)});
    t.expect_none();
    t.step(20);
    t.ack(Sender::at(4), {t.block(5, 10)});
    t.expect_none();  // both were sent a round trip ago: nothing is sent twice
    t.ack(Sender::at(10));
    CHECK(t.stats().retransmitted == 2);
    CHECK(t.stats().timeouts == 0);
    CHECK(t.tcp->info(t.h)->send_queue == 0);
}

TEST_CASE("What is lost goes before new text, however little that is") {
    Sender t;
    Options o;
    o.no_delay = true;
    REQUIRE(t.tcp->configure(t.h, o, t.now));
    t.fly(2);
    t.fire();
    t.expect(Sender::at(1), 1, A, kMss);  // the probe
    t.fire();
    CHECK(t.stats().timeouts == 1);
    REQUIRE(t.write("new"));
    t.expect(1, 1, A, kMss);
    t.ack(Sender::at(2));
    t.expect(t.next_out, 1, A, 3);
    t.expect_none();
}

TEST_CASE("A single gap waits a quarter of a round trip for what was reordered (RFC 8985 §6.2)") {
    Sender t;
    t.fly(4);
    t.step(20);
    t.ack(1, {t.block(1, 2)});
    t.step(4);
    t.expect_none();
    t.step(1);  // 20 + 20 / 4
    t.expect(1, 1, A, kMss);
    t.expect_none();

    Sender reordered;
    reordered.fly(4);
    reordered.step(20);
    reordered.ack(1, {reordered.block(1, 2)});
    reordered.step(3);
    reordered.ack(Sender::at(2));
    reordered.step(5);
    reordered.expect_none();
    CHECK(reordered.stats().retransmitted == 0);
    // This path reorders: three that overtake prove nothing any more.
    reordered.fly(6);
    reordered.step(20);
    reordered.ack(Sender::at(4), {reordered.block(5, 9)});
    reordered.expect_none();
    reordered.step(6);
    reordered.expect(Sender::at(4), 1, A, kMss);
}

TEST_CASE("A retransmission that is lost is noticed by what was sent after it (RFC 8985 §3.1)") {
    Sender t;
    t.fly(8);
    t.step(20);
    t.ack(1, {t.block(2, 8)});
    t.expect(1, 1, A, kMss);
    t.expect(Sender::at(1), 1, A, kMss);
    t.step(20);
    t.ack(1, {t.block(1, 8)});  // the second came, the first did not
    t.step(5);                  // sent in one run: the window is nothing in recovery
    t.expect(1, 1, A, kMss);
    t.expect_none();
    CHECK(t.stats().timeouts == 0);
}

TEST_CASE("The window comes down to the threshold, not below (RFC 6937)") {
    Sender t;
    t.fly(10);
    REQUIRE(t.write(Harness::text(30 * kMss)));
    const u32 before = t.window();
    t.step(20);
    u32 sent = 0;
    for (u32 i = 1; i < 10; ++i) {
        t.ack(1, {t.block(1, i + 1)});
        while (t.next()) ++sent;
    }
    // Ten in flight, nine arrived: what is in the network now is the threshold.
    const u32 threshold = t.window();
    CHECK(threshold >= before / 2);
    CHECK(threshold <= before * 8 / 10);
    CHECK(sent * kMss <= threshold + kMss);
    t.step(20);
    t.ack(Sender::at(10));
    CHECK(t.window() == threshold / kMss * kMss);
}

TEST_CASE("A lost tail is asked about after two round trips (RFC 8985 §7)") {
    Sender t;
    t.fly(3);
    t.step(20);
    t.ack(Sender::at(1));  // the last two are lost
    const u32 before = t.window();
    t.step(38);
    t.expect_none();
    t.fire();
    t.expect(Sender::at(2), 1, A, kMss);  // the last one again
    CHECK(t.stats().tail_probes == 1);
    t.step(20);
    t.ack(Sender::at(1), {t.block(2, 3)});
    t.step(10);
    t.expect(Sender::at(1), 1, A, kMss);
    CHECK(t.stats().timeouts == 0);
    CHECK(t.window() < before);
}

TEST_CASE("On a slow path the only segment in flight is asked about no sooner than on the path's own terms") {
    Sender t;
    for (i64 round_trip = 20; round_trip <= 400; round_trip += 10) {
        t.fly(1);
        t.step(round_trip);
        t.expect_none();
        t.ack(t.next_out);
    }
    CHECK(t.stats().tail_probes == 0);
    t.fly(1);
    const Instant sent = t.now;
    const Duration slow = t.tcp->info(t.h)->smoothed_rtt;
    CHECK(slow > Duration::from_ms(300));
    t.fire();
    t.expect(t.next_out - kMss, 1, A, kMss);
    CHECK(t.stats().tail_probes == 1);
    CHECK(t.now - sent >= slow);
    CHECK(t.now - sent <= slow * 2 + Duration::from_ms(200));
}

TEST_CASE("A probe is new text when there is some (RFC 8985 §7.3), and one at a time") {
    Sender t;
    Options o;
    o.no_delay = GENERATE(false, true);
    REQUIRE(t.tcp->configure(t.h, o, t.now));
    t.fly(10);
    REQUIRE(t.write(Harness::text(2 * kMss)));  // beyond the window
    t.expect_none();
    t.fire();
    t.expect(Sender::at(10), 1, A, kMss);
    t.expect_none();
    t.fire();
    CHECK(t.stats().tail_probes == 1);
    CHECK(t.stats().timeouts == 1);
    t.expect(1, 1, A, kMss);
}

TEST_CASE("Text written after the probe's timer is the probe") {
    Sender t;
    Options o;
    o.no_delay = true;
    REQUIRE(t.tcp->configure(t.h, o, t.now));
    t.fly(2);
    t.fire();
    REQUIRE(t.write("new"));
    t.expect(t.next_out, 1, A, 3);
    t.expect_none();
    CHECK(t.stats().tail_probes == 1);
}

TEST_CASE("A probe that repaired the loss counts as one; one that was not needed does not (RFC 8985 §7.4)") {
    for (const bool needed : {true, false}) {
        Sender t;
        t.fly(2);
        t.step(20);
        t.ack(Sender::at(1));
        t.fire();
        t.expect(Sender::at(1), 1, A, kMss);
        const u32 before = t.window();
        t.step(20);
        t.ack(Sender::at(2));
        if (!needed) t.ack(Sender::at(2), {t.block(1, 2)});
        t.fly(1);
        t.step(20);
        t.ack(Sender::at(3));
        CHECK((t.window() < before) == needed);
    }
}

TEST_CASE("A timeout that was too early is undone by timestamps (RFC 3522)") {
    Sender t(true);
    const u32 stamp = t.fly(4);
    const u32 before = t.window();
    t.fire();  // the probe
    t.drain();
    t.fire();
    CHECK(t.stats().timeouts == 1);
    t.expect(1, 1, A, kMss);
    CHECK(t.window() == kMss);
    t.step(10);
    t.ack(Sender::at(2), {}, stamp);  // what was sent first
    CHECK(t.stats().spurious_recoveries == 1);
    CHECK(t.window() >= before);
    t.expect_none();
    t.ack(Sender::at(4), {}, stamp);
    CHECK(t.tcp->info(t.h)->send_queue == 0);
}

TEST_CASE("A timeout with a reason is not undone") {
    Sender t(true);
    t.fly(4);
    t.fire();
    t.drain();
    t.fire();
    const Seen again = t.expect(1, 1, A, kMss);
    t.step(20);
    t.ack(Sender::at(1), {}, again.raw.timestamp);
    CHECK(t.stats().spurious_recoveries == 0);
    CHECK(t.window() < 4 * kMss);
    t.expect(Sender::at(1), 1, A, kMss);
}

TEST_CASE("Without timestamps, the ACK of what was never sent again undoes a timeout (RFC 5682)") {
    Sender t;
    t.fly(4);
    t.fire();
    t.drain();
    t.fire();
    t.expect(1, 1, A, kMss);
    t.ack(Sender::at(3));
    CHECK(t.stats().spurious_recoveries == 1);
    t.expect_none();
}

TEST_CASE("Reports of duplicates undo a reduction when they cover all that was sent again (RFC 3708)") {
    Sender t;
    t.fly(10);
    const u32 before = t.window();
    t.step(20);
    t.ack(1, {t.block(2, 8)});
    t.expect(1, 1, A, kMss);
    t.expect(Sender::at(1), 1, A, kMss);
    t.step(1);
    t.ack(Sender::at(10));  // they were only late
    CHECK(t.window() < before);
    t.step(19);
    t.ack(Sender::at(10), {t.block(0, 1)});
    CHECK(t.window() < before);
    t.ack(Sender::at(10), {t.block(1, 2)});
    CHECK(t.window() >= before);
    CHECK(t.stats().spurious_recoveries == 1);
    CHECK(t.stats().duplicates_reported == 2);
}

TEST_CASE("Blocks that cannot be true change nothing (RFC 2018 §5)") {
    Sender t;
    t.fly(4);
    t.step(20);
    t.ack(1, {t.block(1, 9)});                   // never sent
    t.ack(1, {{Sender::at(3), Sender::at(2)}});  // backwards
    t.ack(1, {{Sender::at(2), Sender::at(2)}});  // empty
    t.ack(1, {{0x8000'0000, 0x8000'1000}});
    t.step(15);
    t.expect_none();
    CHECK(t.stats().retransmitted == 0);
    CHECK(t.stats().bad_sack >= 3);
    t.ack(Sender::at(4));
    CHECK(t.tcp->info(t.h)->send_queue == 0);
}

TEST_CASE("A peer that throws away what it acknowledged selectively gets it again (RFC 2018 §8)") {
    Sender t;
    t.fly(4);
    t.step(20);
    t.ack(1, {t.block(1, 4)});
    t.expect(1, 1, A, kMss);
    t.step(20);
    t.ack(Sender::at(1));  // and no word of the others
    t.fire();
    std::string got;
    for (int i = 0; i < 10 && t.tcp->info(t.h)->send_queue != 0; ++i) {
        while (auto s = t.next()) {
            CHECK(s->seq == Sender::at(1) + got.size());
            got += s->data;
        }
        t.ack(Sender::at(1) + u32(got.size()));
    }
    CHECK(got.size() == 3 * kMss);
}

TEST_CASE("A peer that takes its window back after data was sent is probed, not given up") {
    Sender t;
    t.fly(3);
    Segment s = t.make(1, 1, A, 0);
    for (int i = 0; i < 20; ++i) {
        t.send_raw(s);
        t.drain();
        t.fire();
        t.drain();
    }
    CHECK(t.state() == State::established);
    CHECK(t.stats().zero_window_probes >= 5);
    CHECK(t.now - Instant{1'000'000'000'000} > Duration::from_s(300));
    t.ack(1);
    t.expect(1, 1, A, kMss);
}

TEST_CASE("What is lost beyond a window that has shrunk waits, but for the first segment (RFC 9293 §3.8.6)") {
    Sender t;
    t.fly(8);
    t.step(20);
    Segment s = t.make(1, 1, A, kMss + 500);
    s.sack[s.sack_count++] = {SeqNum(t.our_isn + Sender::at(3)), SeqNum(t.our_isn + Sender::at(8))};
    t.send_raw(s);
    t.expect(1, 1, A, kMss);
    t.expect_none();
    t.ack(1, {t.block(3, 8)});  // open again
    t.expect(Sender::at(1), 1, A, kMss);
}
