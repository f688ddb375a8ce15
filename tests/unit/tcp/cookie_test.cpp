// SYN cookies (RFC 4987 §3.6): a full backlog costs nobody the service, and nobody gets in without an answer.
#include "harness.hpp"
#include "net/tcp/syn_cookie.hpp"

using namespace tcp_test;

namespace {

struct Flooded : Harness {
    static Config small() {
        Config c = defaults();
        c.max_half_open = 4;
        c.receive_buffer_bytes = 128 * 1024;
        return c;
    }
    Flooded() : Harness(small(), 1024) {
        listen();
        for (u16 i = 0; i < 4; ++i) {
            peer_port = static_cast<u16>(1000 + i);
            send(0, 0, S);
            drain();
        }
        REQUIRE(tcp->connections() == 4);
        peer_port = kPeerPort;
    }
    Seen knock(bool stamps, u16 mss = 1460, std::optional<u8> scale = u8{7}, bool sack = true) {
        Segment s = make(0, 0, S);
        s.mss = mss;
        s.window_scale = scale;
        s.sack_permitted = sack;
        s.has_timestamp = stamps;
        s.timestamp = 777;
        send_raw(s);
        const u32 before = tcp->connections();
        const Seen answer = expect(0, 1, S | A);
        CHECK(tcp->connections() == before);
        return answer;
    }
    void answer(const Seen& to, u32 seq = 1, u32 ack = 1, const std::string& data = "") {
        our_isn = to.raw.seq.raw();
        Segment s = make(seq, ack, A, 1000);
        s.has_timestamp = to.raw.has_timestamp;
        s.timestamp = 780;
        s.timestamp_echo = to.raw.timestamp;
        send_raw(s, data);
    }
};

}  // namespace

TEST_CASE("A full backlog still lets in who answers; options survive in the timestamp") {
    for (const bool sack : {true, false}) {
        Flooded t;
        const Seen syn_ack = t.knock(true, 1300, u8{7}, sack);
        CHECK(syn_ack.raw.timestamp_echo == 777);
        CHECK(syn_ack.raw.sack_permitted == sack);
        REQUIRE(syn_ack.raw.window_scale == u8{2});
        t.advance(Duration::from_s(60));
        t.drain();
        t.answer(syn_ack, 1, 1, "GET /");
        CHECK(t.tcp->stats().cookies_accepted == 1);
        auto a = t.tcp->accept(t.listener);
        REQUIRE(a);
        t.h = *a;
        CHECK(t.read() == "GET /");
        CHECK(t.tcp->info(t.h)->mss == 1220 - 12);  // the largest of the table that is not more than 1300
        CHECK(t.tcp->info(t.h)->send_window == 1000u << 7);
        REQUIRE(t.write("200"));
        const Seen reply = t.expect(1, 6, A, 3);
        CHECK(reply.raw.has_timestamp);
        CHECK(static_cast<i32>(reply.raw.timestamp - syn_ack.raw.timestamp) > 0);  // never backwards
        t.answer(syn_ack, 16, 4, "ahead");
        CHECK((t.expect(4, 6, A).raw.sack_count == 1) == sack);
    }
}

TEST_CASE("Without timestamps a cookie keeps the segment size alone") {
    Flooded t;
    const Seen syn_ack = t.knock(false);
    CHECK_FALSE(syn_ack.raw.window_scale);
    CHECK_FALSE(syn_ack.raw.sack_permitted);
    t.answer(syn_ack);
    t.h = *t.tcp->accept(t.listener);
    CHECK(t.tcp->info(t.h)->mss == 1460);
    CHECK(t.tcp->info(t.h)->send_window == 1000);
    REQUIRE(t.write("x"));
    CHECK(t.expect(1, 1, A, 1).window == 0xffff);
}

TEST_CASE("A cookie is good for the connection, the peer's sequence number and two periods") {
    Flooded t;
    const Seen s = t.knock(false);
    SECTION("another port") {
        t.peer_port = 50'000;
        t.answer(s);
    }
    SECTION("another sequence number") {
        t.answer(s, 2);
    }
    SECTION("another acknowledgment") {
        t.answer(s, 1, 2);
    }
    SECTION("too late") {
        t.advance(Duration::from_s(130));
        t.drain();
        (void)t.knock(false);  // cookies are still being given out
        Segment old = t.make(1, 1, A);
        old.ack = s.raw.seq + 1;
        t.send_raw(old);
    }
    CHECK(t.tcp->stats().cookies_rejected == 1);
    CHECK(t.tcp->stats().cookies_accepted == 0);
    auto r = t.next();
    REQUIRE(r);
    CHECK(r->flags == R);
    CHECK(t.tcp->accept(t.listener).error() == Error::would_block);
}

TEST_CASE("Nobody guesses: a flood of ACKs finds no cookie, and costs nothing when none are out") {
    Flooded t;
    (void)t.knock(false);
    for (u32 i = 0; i < 20'000; ++i) {
        t.peer_port = static_cast<u16>(2000 + i % 30'000);
        t.send(1, i * 2'654'435'761u, A);
        t.drain();
    }
    CHECK(t.tcp->stats().cookies_rejected == 20'000);
    CHECK(t.tcp->stats().cookies_accepted == 0);
    t.advance(Duration::from_s(200));
    t.drain();
    t.send(1, 7, A);
    CHECK(t.tcp->stats().cookies_rejected == 20'000);
}

TEST_CASE("A full accept queue drops the answer; the peer's next try gets in") {
    Flooded t;
    for (u16 i = 0; i < 8; ++i) {
        t.peer_port = static_cast<u16>(3000 + i);
        t.answer(t.knock(false));
    }
    t.peer_port = 4000;
    t.send(0, 0, S);  // the queue is full: a SYN is dropped like before
    t.expect_none();
    CHECK(t.tcp->stats().listen_overflow == 1);
    for (int i = 0; i < 8; ++i) CHECK(t.tcp->accept(t.listener));
    t.answer(t.knock(false));
    CHECK(t.tcp->accept(t.listener));
}

TEST_CASE("Marked timestamps never lie in the future and carry every option") {
    for (u32 stamp = 0xffff'ff80; stamp != 0x80; ++stamp)
        for (u8 scale = 0; scale <= 15; ++scale)
            for (const bool sack : {true, false}) {
                Segment syn, back;
                if (scale != 15) syn.window_scale = scale;
                syn.sack_permitted = sack;
                const u32 marked = SynCookie::mark(stamp, syn);
                REQUIRE(stamp - marked < 64);
                SynCookie::read_mark(marked, back);
                REQUIRE(back.window_scale == syn.window_scale);
                REQUIRE(back.sack_permitted == sack);
            }
}
