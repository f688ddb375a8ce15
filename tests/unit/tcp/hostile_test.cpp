// What a malicious or broken peer sends: random bytes, mutated segments in every state, hoards, floods. Nothing may
// crash, leak, hang, or hold more memory than it should.
#include <random>

#include "harness.hpp"

using namespace tcp_test;

namespace {

constexpr u32 kSeed = 20'261'122;

void input_bytes(Harness& t, const std::vector<std::byte>& bytes, bool trusted) {
    auto p = t.buffers.pool.allocate();
    if (!p) return;
    const usize n = std::min(bytes.size(), p->tailroom());
    if (n != 0) std::memcpy(p->append(n).data(), bytes.data(), n);
    if (trusted) p->meta().checksum = PacketMeta::Checksum::verified;
    t.tcp->input(kPeer, kUs, std::move(*p), t.now);
}

void check_bounds(Harness& t) {
    CHECK(t.tcp->packets_held() <= t.buffers.pool.total() / 4 * 3);
    CHECK(t.buffers.pool.free() + t.tcp->packets_held() == t.buffers.pool.total());
}

}  // namespace

TEST_CASE("Random bytes in every state") {
    std::mt19937 random(kSeed);
    for (State s : kAllStates) {
        Harness t;
        t.to(s);
        for (int i = 0; i < 2000; ++i) {
            std::vector<std::byte> b(random() % 90);
            for (auto& x : b) x = std::byte(random());
            if (b.size() > 13) {
                b[0] = std::byte(kPeerPort >> 8), b[1] = std::byte(kPeerPort & 0xff);
                b[2] = std::byte(0), b[3] = std::byte(kPort);
                if (random() % 2) b[12] = std::byte(0x50 + (random() % 3 << 4));
            }
            input_bytes(t, b, random() % 8 != 0);
            if (i % 64 == 0) t.drain();
        }
        t.drain();
        check_bounds(t);
    }
}

TEST_CASE("Mutated segments near the window in every state, with time passing and an application at work") {
    std::mt19937 random(kSeed);
    for (State s : kAllStates) {
        for (int round = 0; round < 12; ++round) {
            Harness t;
            t.to(s);
            for (int i = 0; i < 400; ++i) {
                Segment x =
                    t.make(u32(random() % 3000 - 200), u32(random() % 60 - 5), u8(random() & 0x3f), u16(random()));
                if (random() % 4 != 0) x.flags |= A;
                if (random() % 4 != 0) x.flags &= u8(~(R | S));
                if (random() % 3 == 0) x.mss = u16(random());
                if (random() % 3 == 0) x.window_scale = u8(random());
                x.has_timestamp = random() % 2;
                x.timestamp = u32(random());
                t.send_raw(x, Harness::text(random() % 3 == 0 ? random() % 1000 : random() % 10));
                switch (random() % 12) {
                case 0:
                    t.read(random() % 500 + 1);
                    break;
                case 1:
                    (void)t.write(Harness::text(random() % 3000));
                    break;
                case 2:
                    t.advance(Duration::from_ms(i64(random() % 3000)));
                    break;
                case 3:
                    if (i > 300) (void)t.tcp->shutdown_write(t.h, t.now);
                    break;
                case 4:
                    if (i > 350) t.tcp->close(t.h, t.now);
                    break;
                case 5:
                    if (auto a = t.tcp->accept(t.listener)) t.h = *a;
                    break;
                case 6:
                    t.tcp->on_unreachable({kUs, kPort}, {kPeer, kPeerPort}, SeqNum(t.our_isn + random() % 4),
                                          Unreachable(random() % 7), u16(random()), t.now);
                    break;
                default:
                    break;
                }
                // A peer must not make us talk without end.
                int said = 0;
                while (t.tcp->output(t.now) && said < 200) ++said;
                REQUIRE(said < 200);
                CHECK(t.tcp->packets_held() <= t.buffers.pool.total() / 4 * 3);
            }
            check_bounds(t);
        }
    }
}

TEST_CASE("Wrong checksums are dropped unless the device vouches") {
    Harness t;
    t.to_established();
    const std::string data = "payload";
    const Bytes bytes = std::as_bytes(std::span(data));
    auto p = build(t.buffers.pool, t.make(1, 1, A), {&bytes, 1}, TxChecksum::complete);
    p->data()[22] ^= std::byte{1};
    t.tcp->input(kPeer, kUs, std::move(*p), t.now);
    CHECK(t.tcp->stats().bad_checksum == 1);
    CHECK(t.read_result().error() == Error::would_block);
}

TEST_CASE("Sources that cannot be") {
    Harness t;
    t.listen();
    for (Ipv4Addr from : {Ipv4Addr{}, Ipv4Addr::of(255, 255, 255, 255), Ipv4Addr::of(224, 1, 1, 1), kUs}) {
        Segment s = t.make(0, 0, S);
        s.local = {from, kPort};
        s.remote = {kUs, kPort};
        t.send_raw(s);
        t.expect_none();
    }
    CHECK(t.tcp->stats().bad_address == 4);
    CHECK(t.tcp->connections() == 0);
}

TEST_CASE("A hoard of one-byte segments out of order holds few buffers") {
    Harness t;
    t.to_established();
    for (u32 i = 0; i < 3000; ++i) {
        t.send(3 + 2 * i, 1, A, "x");
        t.drain();
    }
    CHECK(t.tcp->packets_held() <= 16);
    CHECK(t.tcp->stats().receive_memory != 0);
    t.send(1, 1, A, "ab");  // what is in order still gets through
    CHECK(t.read().substr(0, 2) == "ab");
}

TEST_CASE("One-byte segments in order share buffers") {
    Harness t;
    t.to_established();
    std::string want;
    for (u32 i = 0; i < 5000; ++i) {
        const std::string c(1, char('a' + i % 26));
        t.send(1 + i, 1, A, c);
        want += c;
        t.drain();
    }
    CHECK(t.tcp->packets_held() <= 4);
    CHECK(t.read() == want);
}

TEST_CASE("Many connections that are not read leave the pool its quarter") {
    Config c = Harness::defaults();
    Harness t(c, 64);
    t.listen(64);
    std::vector<Handle> hs;
    std::vector<u32> isn;
    for (u16 i = 0; i < 40; ++i) {
        t.peer_port = u16(1000 + i);
        t.send(0, 0, S);
        t.drain();
        isn.push_back(t.our_isn);
        t.send(1, 1, A);
        hs.push_back(*t.tcp->accept(t.listener));
    }
    for (int round = 0; round < 10; ++round)
        for (u16 i = 0; i < 40; ++i) {
            t.peer_port = u16(1000 + i);
            t.our_isn = isn[i];
            t.send(u32(1 + round * 1460), 1, A, Harness::text(1460));
            t.drain();
        }
    CHECK(t.tcp->packets_held() <= 48);
    CHECK(t.tcp->stats().receive_memory != 0);
    for (Handle h : hs) t.tcp->close(h, t.now);
    t.drain();
    CHECK(t.tcp->packets_held() == 0);
}

TEST_CASE("What is out of order leaves room for what can be read") {
    Harness t(Harness::defaults(), 64);
    t.listen(64);
    for (u16 i = 0; i < 40; ++i) {
        t.peer_port = u16(1000 + i);
        t.send(0, 0, S);
        t.drain();
        t.send(1, 1, A);
        t.h = *t.tcp->accept(t.listener);
        if (i == 39) break;
        for (u32 hole = 0; hole < 3; ++hole) t.send(1002 + hole * 1500, 1, A, Harness::text(1400));
        t.drain();
    }
    CHECK(t.tcp->packets_held() <= 24);
    t.send(1, 1, A, Harness::text(1400));
    CHECK(t.read() == Harness::text(1400));
}

TEST_CASE("Peers that take nothing give back the memory that others need to write") {
    Harness t(Harness::defaults(), 64);
    t.listen(64);
    std::vector<Handle> hs;
    const auto open = [&](u16 port) {
        t.peer_port = port;
        t.send(0, 0, S);
        t.drain();
        t.send(1, 1, A);
        t.h = *t.tcp->accept(t.listener);
        return t.write("x");
    };
    usize writers = 0;
    for (u16 i = 0; i < 40; ++i) writers += open(u16(1000 + i)).has_value();
    CHECK(writers == 24);
    const Handle waiting = t.h;
    const auto tried_for = [&](int tenths) {  // as whoever is told again and again that it may
        bool written = false;
        for (int i = 0; i < tenths && !written; ++i) {
            t.advance(Duration::from_ms(100));
            t.drain();
            if (t.tcp->readiness(waiting).writable) written = t.write("x").has_value();
        }
        return written;
    };
    CHECK_FALSE(tried_for(48));
    CHECK(t.tcp->stats().stalled_evicted == 0);
    CHECK(tried_for(5));
    CHECK(t.tcp->stats().stalled_evicted == 24);
    CHECK(t.tcp->connections() == 16);
    for (int i = 0; i < 200; ++i) t.advance(Duration::from_ms(100)), t.drain();
    CHECK(t.tcp->stats().stalled_evicted == 24);  // nobody is in need any more
}

TEST_CASE("Who takes a buffer in five seconds has not stalled, though its memory comes back as a run") {
    Config config = Harness::defaults();
    config.send_buffer_bytes = 64 * 1024;
    Harness t(config, 64);
    t.listen(64);
    const auto open = [&](u16 port, const std::string& text) {
        t.peer_port = port;
        t.send(0, 0, S);
        t.drain();
        t.send(1, 1, A);
        t.h = *t.tcp->accept(t.listener);
        return t.write(text).has_value();
    };
    REQUIRE(open(999, std::string(40'000, 'x')));
    const Handle slow = t.h;
    const u32 slow_isn = t.our_isn;
    u16 writers = 0;
    while (open(u16(1000 + writers), "x")) ++writers;
    CHECK(writers == 24 - PacketBuffer::kRun);
    for (int i = 0; i < 52; ++i) {
        t.advance(Duration::from_ms(100));
        t.drain();
        if (i == 30) t.peer_port = 999, t.our_isn = slow_isn, t.send(1, 1 + 4100, A);
        (void)t.write("x");
    }
    CHECK(t.tcp->stats().stalled_evicted == writers);
    CHECK_FALSE(t.tcp->readiness(slow).error);
    for (int i = 0; i < 52; ++i) {
        t.advance(Duration::from_ms(100));
        t.drain();
        for (u16 w = 0; w < writers; ++w) (void)open(u16(2000 + i * writers + w), "x");
    }
    CHECK(t.tcp->readiness(slow).error == Error::timed_out);
}

TEST_CASE("Challenge ACKs are limited: an ACK ping-pong dies out") {
    Harness t;
    t.to_established();
    int answers = 0;
    for (int i = 0; i < 100; ++i) {
        t.send(1, 5000, A);
        while (t.next()) ++answers;
    }
    CHECK(answers == 4);
    CHECK(t.tcp->stats().challenge_limited == 96);
    t.advance(Duration::from_ms(600));
    t.send(1, 5000, A);
    t.expect(1, 1, A);
}

TEST_CASE("A flood of segments for nobody is answered only as fast as output is drained") {
    Harness t;
    for (u32 i = 0; i < 1000; ++i) t.send(i, 1, A);
    int answers = 0;
    while (t.next()) ++answers;
    CHECK(answers == 64);
    CHECK(t.tcp->stats().reply_overflow == 936);
}
