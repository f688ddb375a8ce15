// Data in both directions: order, windows, retransmission, Nagle, delayed ACK, probes, timestamps (RFC 9293 §3.7, §3.8;
// RFC 5681, 6298, 6582, 7323).
#include "harness.hpp"

using namespace tcp_test;

namespace {

constexpr u32 kMss = 536;  // the harness's peer announces none

struct Established : Harness {
    explicit Established(Config c = defaults(), usize packets = 128) : Harness(c, packets) { to_established(); }
};

}  // namespace

TEST_CASE("In-order data is read once, across the sequence wrap") {
    Established t;  // the peer's ISN is 256 bytes below the wrap
    const std::string all = Harness::text(1000);
    t.send(1, 1, A, all.substr(0, 200));
    t.send(201, 1, A, all.substr(200, 200));
    t.send(401, 1, A, all.substr(400));
    CHECK(t.read(5) == all.substr(0, 5));
    CHECK(t.read() == all.substr(5));
    CHECK(t.read_result().error() == Error::would_block);
    CHECK(t.tcp->packets_held() == 0);
    CHECK(t.tcp->stats().fast_path_data == 3);
}

TEST_CASE("Delayed ACK: every second full segment at once, otherwise within 40 ms") {
    Established t;
    t.send(1, 1, A, Harness::text(kMss));
    t.expect_none();
    t.advance(Duration::from_ms(39));
    t.expect_none();
    t.advance(Duration::from_ms(1));
    t.expect(1, 1 + kMss, A);
    t.send(1 + kMss, 1, A, Harness::text(kMss));
    t.expect_none();
    t.send(1 + 2 * kMss, 1, A, Harness::text(kMss));
    t.expect(1, 1 + 3 * kMss, A);
    t.send(1 + 3 * kMss, 1, A, "x");
    REQUIRE(t.write("answer"));
    t.expect(1, 2 + 3 * kMss, A, 6);  // the ACK rides along
    t.advance(Duration::from_ms(50));
    t.expect_none();
}

TEST_CASE("Out of order, overlapping and duplicate segments") {
    Established t;
    const std::string all = Harness::text(300);
    t.send(101, 1, A, all.substr(100, 100));
    t.expect(1, 1, A);                        // duplicate ACK at once
    t.send(151, 1, A, all.substr(150, 100));  // overlaps
    t.expect(1, 1, A);
    t.send(101, 1, A, all.substr(100, 100));  // duplicate
    t.expect(1, 1, A);
    t.send(1, 1, A, all.substr(0, 120));  // fills the hole and overlaps
    t.expect(1, 251, A);
    t.send(201, 1, A, all.substr(200, 100));  // half old
    CHECK(t.read() == all);
    CHECK(t.tcp->packets_held() == 0);
}

TEST_CASE("What fills a hole brings its window along: the right edge is the peer's to move (§3.10.7.4)") {
    Established t;
    t.send(1, 1, A, "", 1200);
    REQUIRE(t.write(Harness::text(3000)));
    t.expect(1, 1, A, kMss);
    t.expect(1 + kMss, 1, A, kMss);
    t.expect_none();                              // 128 bytes more would be a silly window
    t.send(101, 1, A, Harness::text(100), 1200);  // text beyond a hole; SEQ 101 has brought a window
    t.expect(1 + 2 * kMss, 1, A);
    t.send(1, 1 + kMss, A, Harness::text(100), u16(1200 - kMss));  // the hole, later: up to 1201 as before
    while (auto s = t.next()) CHECK(s->seq + s->data.size() <= 1201);
    t.send(201, 1 + 2 * kMss, A, "", 2000);  // and now it moves
    t.expect(1 + 2 * kMss, 201, A, kMss);
}

TEST_CASE("Data beyond the window is cut off; the window closes and opens by useful steps (§3.8.6.2.2)") {
    Established t;
    const usize window = 16384;
    usize sent = 0;
    const std::string chunk = Harness::text(1460);
    while (sent + chunk.size() <= window) {
        t.send(u32(1 + sent), 1, A, chunk);
        sent += chunk.size();
        t.drain();
    }
    t.send(u32(1 + sent), 1, A, chunk);  // 320 bytes fit
    auto last = t.next();
    REQUIRE(last);
    CHECK(last->ack == 1 + window);
    CHECK(last->window == 0);
    CHECK(t.tcp->stats().beyond_window == chunk.size() - (window - sent));
    t.send(1 + window, 1, A, "z");  // a zero-window probe
    CHECK(t.expect(1, 1 + window, A).window == 0);
    t.read(100);
    t.expect_none();  // 100 bytes are not worth an announcement
    t.read(8192);
    CHECK(t.expect(1, 1 + window, A).window == 8292);
    t.send(1 + window, 1, A, "z");
    t.read();
    t.drain();
    CHECK(t.tcp->packets_held() == 0);
}

TEST_CASE("Writes are cut into segments; Nagle holds back a small tail, NODELAY does not") {
    SECTION("Nagle") {
        Established t;
        REQUIRE(*t.write(Harness::text(kMss + 10)) == kMss + 10);
        t.expect(1, 1, A, kMss);
        t.expect_none();
        t.send(1, 1 + kMss, A);
        t.expect(1 + kMss, 1, A, 10);
    }
    SECTION("Nagle, with one short write after the other") {
        Established t;
        REQUIRE(t.write(Harness::text(10)));
        t.expect(1, 1, A, 10);
        for (int i = 0; i < 2; ++i) {
            REQUIRE(t.write(Harness::text(5)));
            t.expect_none();
        }
        t.send(1, 11, A);
        t.expect(11, 1, A, 10);
    }
    SECTION("NODELAY") {
        Established t;
        REQUIRE(t.tcp->configure(t.h, {.no_delay = true, .keepalive = {}}, t.now));
        REQUIRE(t.write(Harness::text(kMss + 10)));
        t.expect(1, 1, A, kMss);
        t.expect(1 + kMss, 1, A, 10);
    }
    SECTION("FIN goes with the last text") {
        Established t;
        REQUIRE(t.write(Harness::text(10)));
        REQUIRE(t.tcp->shutdown_write(t.h, t.now));
        t.expect(1, 1, F | A, 10);
        t.expect_none();
    }
    SECTION("FIN with data does not wait") {
        Established t;
        REQUIRE(t.write(Harness::text(kMss + 10)));
        REQUIRE(t.tcp->shutdown_write(t.h, t.now));
        t.expect(1, 1, A, kMss);
        t.expect(1 + kMss, 1, F | A, 10);
        t.send(1, 1 + kMss + 11, A);
        CHECK(t.state() == State::fin_wait_2);
    }
}

TEST_CASE("The send buffer is bounded, wraps, and its bytes survive") {
    Established t;
    std::string sent, got;
    u32 acked = 0;
    for (int round = 0; round < 40; ++round) {
        const std::string piece = Harness::text(700 + usize(round) * 13, char('A' + round % 20));
        auto n = t.write(piece);
        if (n) sent += piece.substr(0, *n);
        while (auto s = t.next()) {
            CHECK(s->seq == 1 + got.size());
            got += s->data;
        }
        acked = u32(got.size());
        t.send(1, 1 + acked, A);
    }
    while (auto s = t.next()) got += s->data;
    CHECK(got == sent);
    Established full;
    CHECK(*full.write(Harness::text(100'000)) == 16384);
    CHECK(full.write("x").error() == Error::would_block);
    CHECK_FALSE(full.tcp->readiness(full.h).writable);
}

TEST_CASE("Retransmission timeout: backoff, one segment, then give up (RFC 6298 §5)") {
    Established t;
    REQUIRE(t.write("lost"));
    t.expect(1, 1, A, 4);
    i64 last = 0;
    for (int i = 0; i < 5; ++i) {
        const Instant before = t.now;
        t.fire();
        t.expect(1, 1, A, 4);
        t.expect_none();
        const i64 waited = (t.now - before).ms();
        CHECK(waited >= 200);
        if (i > 0) CHECK(waited == 2 * last);
        last = waited;
    }
    while (t.state() == State::established) {
        REQUIRE_FALSE(t.tcp->deadline().is_never());
        t.now = t.tcp->deadline();
        t.tcp->poll(t.now);
        t.drain();
    }
    CHECK(t.tcp->readiness(t.h).error == Error::timed_out);
    CHECK(t.tcp->connections() == 0);
}

TEST_CASE("Three duplicate ACKs resend one segment; a partial ACK the next hole (RFC 6582)") {
    Established t;
    REQUIRE(t.write(Harness::text(kMss * 8)));
    for (u32 i = 0; i < 8; ++i) t.expect(1 + i * kMss, 1, A, kMss);
    // segments 0 and 3 are lost
    t.send(1, 1, A);
    t.send(1, 1, A);
    t.expect_none();
    t.send(1, 1, A);
    t.expect(1, 1, A, kMss);
    t.expect_none();
    CHECK(t.tcp->stats().fast_retransmits == 1);
    t.send(1, 1, A);
    t.send(1, 1, A);
    t.expect_none();
    t.send(1, 1 + 3 * kMss, A);  // partial
    t.expect(1 + 3 * kMss, 1, A, kMss);
    t.expect_none();
    t.send(1, 1 + 8 * kMss, A);  // full
    t.expect_none();
    CHECK(t.tcp->stats().partial_acks == 1);
    CHECK(t.tcp->stats().timeouts == 0);
    CHECK(t.tcp->info(t.h)->send_queue == 0);
}

TEST_CASE("After a timeout everything unacknowledged goes again, the window grown from one segment") {
    Established t;
    REQUIRE(t.write(Harness::text(kMss * 4)));
    for (u32 i = 0; i < 4; ++i) t.expect(1 + i * kMss, 1, A, kMss);
    t.now = t.tcp->deadline();
    t.tcp->poll(t.now);
    t.expect(1, 1, A, kMss);
    t.expect_none();
    t.send(1, 1 + kMss, A);
    t.expect(1 + kMss, 1, A, kMss);
    t.expect(1 + 2 * kMss, 1, A, kMss);
    t.expect_none();
    t.send(1, 1 + 4 * kMss, A);
    t.expect_none();
    CHECK(t.tcp->info(t.h)->send_queue == 0);
}

TEST_CASE("Duplicate ACKs of our own go-back are not taken for a new loss (RFC 6582 §3.2 step 1)") {
    Established t;
    REQUIRE(t.write(Harness::text(kMss * 6)));
    t.drain();
    t.fire();
    t.expect(1, 1, A, kMss);
    for (int i = 0; i < 4; ++i) t.send(1, 1, A);
    t.drain();
    CHECK(t.tcp->stats().duplicate_acks_in == 4);
    CHECK(t.tcp->stats().fast_retransmits == 0);
}

TEST_CASE("A running persist timer does not become the retransmission timer") {
    Established t;
    t.send(1, 1, A, "", 20);
    REQUIRE(t.write(Harness::text(500)));
    t.expect_none();
    t.advance(Duration::from_ms(150));
    t.send(1, 1, A, "", 600);
    t.expect(1, 1, A, 500);
    t.advance(Duration::from_ms(199));
    t.expect_none();
    t.advance(Duration::from_ms(1));
    t.expect(1, 1, A, 500);
}

TEST_CASE("A closed window is probed, with backoff, as long as the peer answers (§3.8.6.1)") {
    Established t;
    t.send(1, 1, A, "q", 0);
    CHECK(t.read() == "q");
    REQUIRE(t.write("answer"));
    t.expect_none();
    t.advance(Duration::from_ms(40));
    t.expect(1, 2, A);  // the ACK only
    i64 last = 0;
    for (int i = 0; i < 6; ++i) {
        const Instant before = t.now;
        t.fire();
        t.expect(1, 2, A, 1);
        CHECK((t.now - before).ms() >= last);
        last = (t.now - before).ms();
        t.send(2, 1, A, "", 0);
        t.expect_none();
    }
    CHECK(last >= 1000);
    CHECK(t.tcp->stats().fast_retransmits == 0);
    t.send(2, 1, A, "", 4000);
    t.expect(1, 2, A, 6);
    t.send(2, 7, A, "", 4000);
    CHECK(t.tcp->info(t.h)->send_queue == 0);
    CHECK(t.tcp->deadline() >= t.now);
}

TEST_CASE("ACKs do not go behind a probe: into a closed window only RCV.NXT gets (§3.10.7.4)") {
    Established t;
    t.send(1, 1, A, "q", 0);
    REQUIRE(t.write("answer"));
    t.drain();
    t.fire();
    t.drain();
    t.fire();
    t.expect(1, 2, A, 1);  // the probe
    t.send(2, 1, A, std::string(kMss, 'r'), 0);
    t.send(2 + kMss, 1, A, std::string(kMss, 's'), 0);
    t.expect(1, 2 + 2 * kMss, A);
    CHECK(t.read().size() == 1 + 2 * kMss);
}

TEST_CASE("A probe's byte may be accepted; a silent peer with a closed window is given up") {
    Established t;
    t.send(1, 1, A, "q", 0);
    t.read();
    REQUIRE(t.write("answer"));
    t.advance(Duration::from_ms(40));
    t.drain();
    t.fire();
    t.expect(1, 2, A, 1);
    t.send(2, 2, A, "", 0);
    CHECK(t.tcp->info(t.h)->send_queue == 5);
    for (int i = 0; i < 100 && t.state() == State::established; ++i) {
        REQUIRE_FALSE(t.tcp->deadline().is_never());
        t.now = t.tcp->deadline();
        t.tcp->poll(t.now);
        t.drain();
    }
    CHECK(t.tcp->readiness(t.h).error == Error::timed_out);
}

TEST_CASE("The sender avoids silly windows (§3.8.6.2.1)") {
    Established t;
    REQUIRE(t.write(Harness::text(kMss * 2)));
    t.expect(1, 1, A, kMss);
    t.expect(1 + kMss, 1, A, kMss);
    REQUIRE(t.write(Harness::text(kMss * 2)));
    t.drain();
    t.send(1, 1 + 4 * kMss, A, "", 8192);
    t.drain();
    t.send(1, 1 + 4 * kMss, A, "", 20);
    REQUIRE(t.write(Harness::text(500)));
    t.expect_none();  // 20 bytes are not worth a segment
    t.send(1, 1 + 4 * kMss, A, "", 600);
    t.expect(1 + 4 * kMss, 1, A, 500);
}

TEST_CASE("Keepalive (§3.8.4)") {
    Established t;
    REQUIRE(t.tcp->configure(t.h,
                             {.no_delay = false,
                              .keepalive = Duration::from_s(10),
                              .keepalive_interval = Duration::from_s(1),
                              .keepalive_probes = 3},
                             t.now));
    t.advance(Duration::from_s(9));
    t.expect_none();
    t.advance(Duration::from_s(1));
    t.expect(0, 1, A);  // SND.NXT - 1, no data
    t.send(1, 1, A);
    t.advance(Duration::from_ms(9500));
    t.expect_none();
    for (int i = 0; i < 3; ++i) {
        t.advance(Duration::from_ms(1000));
        t.expect(0, 1, A);
    }
    t.advance(Duration::from_s(1));
    CHECK(t.tcp->readiness(t.h).error == Error::timed_out);
}

TEST_CASE("Window scaling and timestamps are agreed in the SYN and used (RFC 7323)") {
    Config c = Harness::defaults();
    c.receive_buffer_bytes = 256 * 1024;
    Harness t(c, 2048);
    t.listen();
    Segment s = t.make(0, 0, S, 1000);
    s.mss = 1460;
    s.window_scale = 7;
    s.has_timestamp = true;
    s.timestamp = 5000;
    t.send_raw(s);
    Seen syn_ack = t.expect(0, 1, S | A);
    REQUIRE(syn_ack.raw.window_scale == u8{3});
    REQUIRE(syn_ack.raw.has_timestamp);
    CHECK(syn_ack.raw.timestamp_echo == 5000);
    CHECK(syn_ack.raw.mss == 1460);
    CHECK(syn_ack.window == 0xffff);  // a SYN's window is not scaled
    auto stamped = [&](u32 seq, u32 ack, u8 flags, u32 ts, const std::string& data = "") {
        Segment x = t.make(seq, ack, flags, 1000);
        x.has_timestamp = true;
        x.timestamp = ts;
        x.timestamp_echo = syn_ack.raw.timestamp;
        t.send_raw(x, data);
    };
    t.now = t.now + Duration::from_ms(30);
    stamped(1, 1, A, 5030);
    t.h = *t.tcp->accept(t.listener);
    CHECK(t.tcp->info(t.h)->send_window == 128'000);
    CHECK(t.tcp->info(t.h)->mss == 1448);
    CHECK(t.tcp->info(t.h)->smoothed_rtt.ms() == 30);
    stamped(1, 1, A, 5040, "new");
    stamped(4, 1, A, 5039, "old");  // PAWS
    Seen a = t.expect(1, 4, A);
    CHECK(a.raw.timestamp_echo == 5040);
    CHECK(u32{a.window} << 3 >= 256 * 1024 - 16);
    CHECK(t.tcp->stats().paws == 1);
    CHECK(t.read() == "new");
    t.send(4, 1, A, "without");  // RFC 7323 §3.2
    CHECK(t.tcp->stats().paws == 2);
    CHECK(t.read_result().error() == Error::would_block);
    t.send(4, 0, R);  // an RST needs no timestamp
    CHECK(t.tcp->readiness(t.h).error == Error::connection_reset);
}

TEST_CASE("A path that became narrower (RFC 1191)") {
    Established t;
    t.send(1, 1, A, "", 60000);
    Harness wide;
    wide.to_syn_sent();
    Segment s = wide.make(0, 1, S | A, 60000);
    s.mss = 1460;
    wide.send_raw(s);
    wide.expect(1, 1, A);
    REQUIRE(wide.write(Harness::text(1460)));
    wide.expect(1, 1, A, 1460);
    wide.tcp->on_unreachable({kUs, kPort}, {kPeer, kPeerPort}, SeqNum(wide.our_isn + 1),
                             Unreachable::fragmentation_needed, 1000, wide.now);
    wide.expect(1, 1, A, 960);
    wide.expect(961, 1, A, 500);
}

TEST_CASE("Output is fair: connections take turns") {
    Harness t;
    t.listen();
    std::vector<Handle> hs;
    for (u16 i = 0; i < 3; ++i) {
        t.peer_port = static_cast<u16>(1000 + i);
        t.send(0, 0, S);
        t.drain();
        t.send(1, 1, A);
        hs.push_back(*t.tcp->accept(t.listener));
    }
    for (Handle h : hs) {
        const std::string s = Harness::text(kMss * 3);
        REQUIRE(t.tcp->write(h, std::as_bytes(std::span(s.data(), s.size())), t.now));
    }
    std::vector<u16> order;
    while (auto s = t.next()) order.push_back(s->raw.local.port);
    CHECK(order == std::vector<u16>{1000, 1001, 1002, 1000, 1001, 1002, 1000, 1001, 1002});
}

TEST_CASE("Checksum offload leaves the pseudo-header sum") {
    Config c = Harness::defaults();
    c.tx_checksum_offload = true;
    TestPool buffers(16);
    Tcp tcp(c, buffers.pool);
    REQUIRE(tcp.connect({kUs, 0}, {kPeer, 80}, {}));
    auto o = tcp.output({});
    REQUIRE(o);
    CHECK(o->packet.meta().checksum == PacketMeta::Checksum::partial);
    CHECK(o->packet.meta().csum_offset == 16);
    CHECK(o->packet.headroom() >= 60);
    // What the device does: the sum over the segment, the field included, becomes the checksum.
    auto d = o->packet.data();
    be16 field = internet_checksum(d);
    std::memcpy(d.data() + 16, &field, 2);
    CHECK(checksum_ok(o->source, o->destination, d));
}

TEST_CASE("An empty pool delays output and loses nothing") {
    Config c = Harness::defaults();
    Harness t(c, 64);
    t.to_established();
    REQUIRE(t.write("hello"));
    {
        PacketQueue hoard;
        while (auto p = t.buffers.pool.allocate()) hoard.push_back(std::move(*p));
        t.expect_none();
        CHECK(t.tcp->has_output());
        CHECK(t.tcp->deadline() <= t.now + Duration::from_ms(2));
        t.tcp->poll(t.now);
        CHECK(t.tcp->deadline() <= t.now + Duration::from_ms(2));
        CHECK(t.tcp->stats().no_packet == 1);
    }
    t.expect(1, 1, A, 5);
}

TEST_CASE("Who finds no memory to write, with nothing in flight, is asked again soon") {
    Config c = Harness::defaults();
    Harness t(c, 64);
    t.to_established();
    PacketQueue hoard;
    while (auto p = t.buffers.pool.allocate()) hoard.push_back(std::move(*p));
    CHECK(t.write("hello").error() == Error::would_block);
    CHECK_FALSE(t.tcp->readiness(t.h).writable);
    CHECK(t.tcp->deadline() <= t.now + Duration::from_ms(10));
    t.advance(Duration::from_ms(10));
    CHECK(t.tcp->readiness(t.h).writable);
}
