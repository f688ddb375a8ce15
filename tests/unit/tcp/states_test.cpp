// The state machine as tables: a state, a segment, what comes back, the state afterwards (RFC 9293 §3.10.7).
#include "harness.hpp"

using namespace tcp_test;

namespace {

/// SND.NXT relative to our ISN and RCV.NXT relative to the peer's, in each state as Harness::to() leaves it.
u32 snd_nxt(State s) {
    switch (s) {
    case State::closed:
    case State::listen:
        return 0;
    case State::syn_sent:
    case State::syn_received:
    case State::established:
    case State::close_wait:
        return 1;
    default:
        return 2;
    }
}
u32 rcv_nxt(State s) {
    switch (s) {
    case State::closing:
    case State::time_wait:
    case State::close_wait:
    case State::last_ack:
        return 2;
    default:
        return 1;
    }
}
bool synchronized(State s) {
    return s >= State::established;
}

}  // namespace

TEST_CASE("An exact RST ends every state as §3.10.7 says") {
    for (State s : kAllStates) {
        CAPTURE(to_string(s));
        Harness t;
        t.to(s);
        if (s == State::syn_sent)
            t.send(0, 1, R | A);
        else
            t.send(rcv_nxt(s), 0, R);
        t.expect_none();  // never an answer to a reset
        CHECK(t.state() == State::closed);
        if (s == State::syn_sent) CHECK(t.tcp->readiness(t.h).error == Error::connection_refused);
        const bool reported =
            s == State::established || s == State::fin_wait_1 || s == State::fin_wait_2 || s == State::close_wait;
        if (reported) {
            CHECK(t.tcp->readiness(t.h).error == Error::connection_reset);
            CHECK(t.read_result().error() == Error::connection_reset);
        }
        if (s == State::last_ack || s == State::closing || s == State::time_wait)
            CHECK_FALSE(t.tcp->readiness(t.h).error);
    }
}

TEST_CASE("RFC 5961 §3.2: an RST inside the window but not exact gets a challenge ACK; one outside is dropped") {
    for (State s : kAllStates) {
        if (!synchronized(s)) continue;
        CAPTURE(to_string(s));
        Harness t;
        t.to(s);
        t.send(rcv_nxt(s) + 5, 0, R);
        t.expect(snd_nxt(s), rcv_nxt(s), A);
        CHECK(t.state() == s);
        t.send(rcv_nxt(s) + 100'000, 0, R);
        t.expect_none();
        t.send(rcv_nxt(s) - 1, 0, R);
        t.expect_none();
        CHECK(t.state() == s);
        CHECK(t.tcp->stats().bad_reset == 3);
    }
}

TEST_CASE("RFC 5961 §4.2: a SYN on a synchronized connection gets a challenge ACK") {
    for (State s : kAllStates) {
        if (!synchronized(s) || s == State::time_wait) continue;
        CAPTURE(to_string(s));
        Harness t;
        t.to(s);
        t.send(rcv_nxt(s) + 10, 0, S);
        t.expect(snd_nxt(s), rcv_nxt(s), A);
        t.send(rcv_nxt(s), 1, S | A);
        t.expect(snd_nxt(s), rcv_nxt(s), A);
        CHECK(t.state() == s);
    }
}

TEST_CASE("RFC 5961 §5.2: an ACK of what was never sent is answered and ignored") {
    for (State s : kAllStates) {
        if (!synchronized(s)) continue;
        CAPTURE(to_string(s));
        Harness t;
        t.to(s);
        t.send(rcv_nxt(s), snd_nxt(s) + 1000, A);
        t.expect(snd_nxt(s), rcv_nxt(s), A);
        CHECK(t.state() == s);
        CHECK(t.tcp->stats().bad_ack == 1);
        t.send(rcv_nxt(s), snd_nxt(s) - 100'000, A);  // far too old
        t.expect(snd_nxt(s), rcv_nxt(s), A);
        CHECK(t.tcp->stats().bad_ack == 2);
    }
}

TEST_CASE("A segment without ACK is dropped in every synchronized state (§3.10.7.4, fifth)") {
    for (State s : kAllStates) {
        if (!synchronized(s)) continue;
        CAPTURE(to_string(s));
        Harness t;
        t.to(s);
        t.send(rcv_nxt(s), 0, 0, "text");
        t.expect_none();
        CHECK(t.state() == s);
        CHECK(t.tcp->stats().missing_ack == 1);
    }
}

TEST_CASE("Segments outside the window are answered with an ACK (§3.10.7.4, first)") {
    for (State s : kAllStates) {
        if (!synchronized(s)) continue;
        CAPTURE(to_string(s));
        Harness t;
        t.to(s);
        t.send(rcv_nxt(s) + 200'000, snd_nxt(s), A, "far ahead");
        t.expect(snd_nxt(s), rcv_nxt(s), A);
        t.send(rcv_nxt(s) - 5, snd_nxt(s), A, "old");
        t.expect(snd_nxt(s), rcv_nxt(s), A);
        CHECK(t.state() == s);
        CHECK(t.tcp->stats().unacceptable == 2);
    }
}

TEST_CASE("A retransmitted FIN is acknowledged again in every state that has seen it") {
    for (State s : {State::close_wait, State::closing, State::last_ack, State::time_wait}) {
        CAPTURE(to_string(s));
        Harness t;
        t.to(s);
        t.send(1, s == State::closing || s == State::last_ack ? 1 : snd_nxt(s), F | A);
        t.expect(snd_nxt(s), 2, A);
        CHECK(t.state() == s);
    }
}

TEST_CASE("Data after the peer's FIN is ignored (§3.10.7.4, seventh)") {
    for (State s : {State::close_wait, State::closing, State::last_ack, State::time_wait}) {
        CAPTURE(to_string(s));
        Harness t;
        t.to(s);
        t.send(2, s == State::closing || s == State::last_ack ? 1 : snd_nxt(s), A, "more");
        t.drain();
        CHECK(t.state() == s);
        CHECK(t.read() == "");
    }
}

TEST_CASE("CLOSED answers everything but RST with RST (§3.10.7.1)") {
    Harness t;
    t.send(10, 0, S);
    t.expect(0 - t.our_isn, 11, R | A);
    t.send(10, 55, A, "abc");
    t.expect(55, 0, R);
    t.send(10, 0, F, "abc");
    t.expect(0 - t.our_isn, 14, R | A);
    t.send(10, 0, R);
    t.expect_none();
    CHECK(t.tcp->stats().no_connection == 4);
    CHECK(t.tcp->stats().resets_out == 3);
}

TEST_CASE("LISTEN (§3.10.7.2)") {
    Harness t;
    t.listen();
    t.send(0, 0, R);
    t.expect_none();
    t.send(0, 77, A);
    t.expect(77, 0, R);
    t.send(0, 77, S | A);
    t.expect(77, 0, R);
    t.send(0, 0, F);
    t.expect_none();
    t.send(0, 0, S | F);
    t.expect_none();
    CHECK(t.tcp->connections() == 0);
    CHECK(t.tcp->accept(t.listener).error() == Error::would_block);
    t.send(0, 0, S, "early text is left to be retransmitted");
    t.expect(0, 1, S | A);
    CHECK(t.state() == State::syn_received);
}

TEST_CASE("SYN-SENT (§3.10.7.3)") {
    SECTION("SYN-ACK establishes; MSS and window are learnt") {
        Harness t;
        t.to_syn_sent();
        Segment s = t.make(0, 1, S | A, 5000);
        s.mss = 1000;
        t.send_raw(s);
        t.expect(1, 1, A);
        CHECK(t.state() == State::established);
        CHECK(t.tcp->readiness(t.h).writable);
        CHECK(t.tcp->info(t.h)->mss == 1000);
        CHECK(t.tcp->info(t.h)->send_window == 5000);
    }
    SECTION("an unacceptable ACK is reset, the attempt goes on") {
        Harness t;
        t.to_syn_sent();
        t.send(0, 500, S | A);
        t.expect(500, 0, R);
        t.send(0, 0, A);
        t.expect(0, 0, R);
        t.send(0, 500, R | A);  // a reset with a wrong ACK is nothing
        t.expect_none();
        CHECK(t.state() == State::syn_sent);
    }
    SECTION("RST without ACK is dropped") {
        Harness t;
        t.to_syn_sent();
        t.send(0, 0, R);
        t.expect_none();
        CHECK(t.state() == State::syn_sent);
    }
    SECTION("simultaneous open (figure 8)") {
        Harness t;
        t.to_syn_sent();
        t.send(0, 0, S);
        t.expect(0, 1, S | A);
        CHECK(t.state() == State::syn_received);
        t.send(0, 1, S | A);
        CHECK(t.state() == State::established);
        t.drain();
        t.send(1, 1, A, "hi");
        CHECK(t.read() == "hi");
    }
    SECTION("the SYN is retransmitted with backoff, then timed_out") {
        Harness t;
        t.to_syn_sent();
        t.advance(Duration::from_ms(999));
        t.expect_none();
        t.advance(Duration::from_ms(1));
        t.expect(0, 0, S);
        t.advance(Duration::from_ms(1999));
        t.expect_none();
        t.advance(Duration::from_ms(1));
        t.expect(0, 0, S);
        while (t.state() == State::syn_sent) {
            REQUIRE_FALSE(t.tcp->deadline().is_never());
            t.now = t.tcp->deadline();
            t.tcp->poll(t.now);
            t.drain();
        }
        CHECK(t.tcp->readiness(t.h).error == Error::timed_out);
        CHECK(t.tcp->take_error(t.h).error() == Error::timed_out);
        CHECK(t.tcp->take_error(t.h).has_value());
        CHECK(t.write("x").error() == Error::timed_out);
        CHECK(t.tcp->deadline().is_never());
    }
}

TEST_CASE("An answer to a SYN that was sent again later is no round trip: it may have waited for the peer's timer") {
    const bool to_first = GENERATE(false, true);
    Harness t;
    const u32 first = t.to_syn_sent().raw.timestamp;
    t.advance(Duration::from_s(1));
    const u32 second = t.expect(0, 0, S).raw.timestamp;
    t.advance(Duration::from_ms(100));
    Segment s = t.make(0, 1, S | A);
    s.has_timestamp = true;
    s.timestamp = 1;
    s.timestamp_echo = to_first ? first : second;
    t.send_raw(s);
    REQUIRE(t.state() == State::established);
    t.drain();
    CHECK(t.tcp->info(t.h)->smoothed_rtt.ms() == (to_first ? 0 : 100));
}

TEST_CASE("RFC 6298 (5.7): after a SYN that had to be sent again, three seconds until something was measured") {
    for (const bool lost : {false, true}) {
        CAPTURE(lost);
        Harness t;
        t.to_syn_sent();
        if (lost) {
            t.advance(Duration::from_s(1));
            t.expect(0, 0, S);
            t.send(0, 1, S | A);
        } else {
            t.advance(Duration::from_ms(100));
            t.send(0, 1, S | A);
        }
        REQUIRE(t.state() == State::established);
        t.drain();
        CHECK(t.write("x"));
        t.drain();
        t.advance(Duration::from_ms(lost ? 2999 : 150));
        if (lost) t.expect_none();
        t.advance(Duration::from_ms(lost ? 1 : 300));
        CHECK(t.next().has_value());
        t.drain();
        t.send(1, 2, A);  // measured or not, what is acknowledged ends the back-off
    }
}

TEST_CASE("SYN-RECEIVED (§3.10.7.4)") {
    SECTION("the SYN again: SYN-ACK again") {
        Harness t;
        t.to_syn_received();
        t.send(0, 0, S);
        t.expect(0, 1, S | A);
        CHECK(t.tcp->connections() == 1);
    }
    SECTION("a wrong ACK is reset, the half-open connection stays") {
        Harness t;
        t.to_syn_received();
        t.send(1, 99, A);
        t.expect(99, 0, R);
        CHECK(t.state() == State::syn_received);
    }
    SECTION("data with the last ACK of the handshake") {
        Harness t;
        t.to_syn_received();
        t.send(1, 1, A | P, "GET /");
        auto a = t.tcp->accept(t.listener);
        REQUIRE(a);
        t.h = *a;
        CHECK(t.read() == "GET /");
    }
    SECTION("data and FIN with the last ACK: CLOSE-WAIT at once") {
        Harness t;
        t.to_syn_received();
        t.send(1, 1, A | F, "GET /");
        t.expect(1, 7, A);
        CHECK(t.state() == State::close_wait);
        t.h = *t.tcp->accept(t.listener);
        CHECK(t.read() == "GET /");
        CHECK(t.read_result() == 0u);
    }
    SECTION("an in-window SYN returns a passive one to LISTEN (fourth)") {
        Harness t;
        t.to_syn_received();
        t.send(5, 0, S);
        CHECK(t.tcp->connections() == 0);
    }
    SECTION("SYN-ACK is retransmitted, then the half-open connection is dropped") {
        Harness t;
        t.to_syn_received();
        int sent = 0;
        while (t.tcp->connections() != 0) {
            REQUIRE_FALSE(t.tcp->deadline().is_never());
            t.now = t.tcp->deadline();
            t.tcp->poll(t.now);
            while (t.next()) ++sent;
        }
        CHECK(sent == 5);
    }
}

TEST_CASE("Closing, our side first: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT (figure 12)") {
    Harness t;
    t.to_time_wait();
    CHECK(t.tcp->deadline() == t.now + t.config.time_wait);  // and nobody is woken for timers that are over
    CHECK(t.tcp->readiness(t.h).closed);
    t.tcp->close(t.h, t.now);
    CHECK(t.state() == State::time_wait);
    t.advance(Duration::from_s(30));
    t.send(1, 2, F | A);  // eighth: restart the 2 MSL
    t.expect(2, 2, A);
    t.advance(Duration::from_s(59));
    CHECK(t.state() == State::time_wait);
    t.advance(Duration::from_s(1));
    CHECK(t.tcp->connections() == 0);
    CHECK(t.tcp->deadline().is_never());
}

TEST_CASE("Closing, the peer first: CLOSE-WAIT, LAST-ACK, CLOSED") {
    Harness t;
    t.to_close_wait();
    REQUIRE(t.write("bye"));
    t.expect(1, 2, A, 3);
    t.tcp->close(t.h, t.now);
    t.expect(4, 2, F | A);
    t.send(2, 5, A);
    CHECK(t.tcp->connections() == 0);
    CHECK(t.tcp->readiness(t.h).error == Error::invalid);  // the handle died with close()
}

TEST_CASE("Simultaneous close (figure 13): CLOSING, TIME-WAIT") {
    Harness t;
    t.to_closing();
    t.send(2, 2, A);
    CHECK(t.state() == State::time_wait);
}

TEST_CASE("FIN-WAIT-1: FIN that acknowledges our FIN goes straight to TIME-WAIT") {
    Harness t;
    t.to_fin_wait_1();
    t.send(1, 2, F | A);
    t.expect(2, 2, A);
    CHECK(t.state() == State::time_wait);
}

TEST_CASE("Half-close: FIN-WAIT-2 still receives, CLOSE-WAIT still sends") {
    SECTION("receive") {
        Harness t;
        t.to_fin_wait_2();
        t.send(1, 2, A, "late answer");
        CHECK(t.read() == "late answer");
        CHECK(t.write("x").error() == Error::closed);
        t.send(12, 2, A | F);
        CHECK(t.read_result() == 0u);
        CHECK(t.state() == State::time_wait);
    }
    SECTION("send") {
        Harness t;
        t.to_close_wait();
        REQUIRE(t.write("still here"));
        t.expect(1, 2, A, 10);
    }
}

TEST_CASE("An out-of-order FIN waits for what is missing") {
    Harness t;
    t.to_established();
    t.send(4, 1, F | A, "def");
    t.expect(1, 1, A);
    CHECK(t.state() == State::established);
    t.send(1, 1, A, "abc");
    t.expect(1, 8, A);
    CHECK(t.state() == State::close_wait);
    CHECK(t.read() == "abcdef");
    CHECK(t.read_result() == 0u);
}

TEST_CASE("close() with unread data resets (§3.6.1); data after close() resets") {
    SECTION("unread") {
        Harness t;
        t.to_established();
        t.send(1, 1, A, "unread");
        t.tcp->close(t.h, t.now);
        t.expect(1, 7, R | A);
        CHECK(t.tcp->connections() == 0);
    }
    SECTION("afterwards") {
        Harness t;
        t.to_established();
        t.tcp->close(t.h, t.now);
        t.expect(1, 1, F | A);
        t.send(1, 2, A, "nobody reads this");
        t.expect(2, 0, R);
        CHECK(t.tcp->connections() == 0);
        CHECK(t.tcp->stats().data_after_close == 1);
    }
    SECTION("abort") {
        Harness t;
        t.to_established();
        t.tcp->abort(t.h, t.now);
        t.expect(1, 1, R | A);
        CHECK(t.tcp->connections() == 0);
    }
}

TEST_CASE("Orphans do not live for ever") {
    SECTION("FIN-WAIT-2 after close()") {
        Harness t;
        t.to_fin_wait_2();
        t.tcp->close(t.h, t.now);
        t.advance(Duration::from_s(61));
        CHECK(t.tcp->connections() == 0);
        CHECK(t.tcp->stats().orphans_expired == 1);
    }
    SECTION("a peer with a closed window") {
        Harness t;
        t.to_established();
        t.send(1, 1, A, "x", 0);
        t.read();
        REQUIRE(t.write("stuck"));
        t.tcp->close(t.h, t.now);
        for (int i = 0; i < 200 && t.tcp->connections() != 0; ++i) {
            t.advance(Duration::from_ms(500));
            if (t.next() && t.tcp->connections() != 0) t.send(2, 1, A, "", 0);
        }
        CHECK(t.tcp->connections() == 0);
    }
}

TEST_CASE("TIME-WAIT: a newer SYN opens the connection again (RFC 6191)") {
    Harness t;
    t.to_time_wait();
    t.tcp->close(t.h, t.now);
    t.send(50, 0, S);
    t.expect(0, 51, S | A);
    CHECK(t.state() == State::syn_received);
    CHECK(t.tcp->connections() == 1);
}
