// Segments of one batch, joined: what is, what is not, and that a connection cannot tell but by its counters.
#include "harness.hpp"

using namespace tcp_test;

namespace {

struct Batch : Harness {
    Batch() { to_established(); }
    void receive(Segment s, const std::string& data, PacketMeta::Checksum vouch = PacketMeta::Checksum::none) {
        const Bytes bytes = std::as_bytes(std::span(data));
        auto p = build(buffers.pool, s, {&bytes, 1}, TxChecksum::complete);
        REQUIRE(p);
        if (damaged) p->data().back() ^= std::byte{1};
        p->meta().checksum = vouch;
        tcp->input_of_batch(s.local.address, s.remote.address, std::move(*p), now);
    }
    void receive(u32 seq, const std::string& data, u8 flags = A) { receive(make(seq, 1, flags), data); }
    u64 joined() const { return tcp->stats().joined_in; }
    bool damaged = false;
    const std::string piece = text(600);
};

}  // namespace

TEST_CASE("Consecutive segments are one; each counts, one ACK answers, no byte is lost") {
    Batch t;
    const u64 before = t.tcp->stats().segments_in;
    for (u32 i = 0; i < 5; ++i) t.receive(1 + i * 600, t.piece);
    t.receive(3001, t.text(100), A | P);  // the short end: looked at now, though poll() has not run
    CHECK(t.joined() == 4);               // it is too short for itself, and ends what is held
    CHECK(t.tcp->stats().segments_in == before + 6);
    CHECK(t.tcp->stats().fast_path_data == 2);
    t.expect(1, 3101, A);
    t.expect_none();
    CHECK(t.read() == t.piece + t.piece + t.piece + t.piece + t.piece + t.text(100));
}

TEST_CASE("What is held is looked at by poll() and by output(), and ends with its Tcp") {
    Batch t;
    t.receive(1, t.piece);
    CHECK(t.tcp->deadline() == Instant{});
    CHECK(t.tcp->has_output());
    CHECK(t.tcp->buffers_held() == 1);
    t.tcp->poll(t.now);
    CHECK(t.read() == t.piece);
    t.receive(601, t.piece);
    t.expect(1, 1201, A);
    CHECK(t.read() == t.piece);
    t.receive(1201, t.piece);
}

TEST_CASE("PSH or a shorter one ends a joined segment") {
    Batch t;
    t.receive(1, t.piece);
    t.receive(601, t.piece, A | P);
    CHECK(t.read() == t.piece + t.piece);
    t.receive(1201, t.piece);
    t.receive(1801, t.text(550));
    CHECK(t.read() == t.piece + t.text(550));
    CHECK(t.joined() == 2);
}

TEST_CASE("What a connection would notice is not joined") {
    for (int kind = 0; kind < 9; ++kind) {
        INFO(kind);
        Batch t;
        t.receive(1, t.piece);
        Segment s = t.make(601, 1, A);
        std::string data = t.piece;
        if (kind == 0) s.seq += 1;
        if (kind == 1) s.seq = s.seq - 1u;
        if (kind == 2) s.window = 77;
        if (kind == 3) s.ack = s.ack - 1u;
        if (kind == 4) s.flags |= F;
        if (kind == 5) s.flags |= flag::urg;
        if (kind == 6) s.local.port = 7777;
        if (kind == 7) data += "longer";
        if (kind == 8) t.damaged = true;
        t.receive(s, data);
        CHECK(t.joined() == 0);
        if (kind == 8) CHECK(t.tcp->stats().bad_checksum == 1);
        t.tcp->poll(t.now);
        while (t.next()) {
        }
        CHECK(t.read().substr(0, 600) == t.piece);
    }
}

TEST_CASE("Timestamps may go on within a joined segment, not back") {
    Merger m;
    TestPool pool(8);
    const std::string data(600, 'd');
    const Bytes bytes = std::as_bytes(std::span(data));
    const auto packet = [&](u32 seq, u32 timestamp) {
        Segment s;
        s.local = {kPeer, 9};
        s.remote = {kUs, 80};
        s.seq = SeqNum(seq);
        s.flags = A;
        s.has_timestamp = true;
        s.timestamp = timestamp;
        return *build(pool.pool, s, {&bytes, 1}, TxChecksum::complete);
    };
    auto p = packet(1, 100);
    REQUIRE(m.begin(kPeer, kUs, p));
    p = packet(601, 105);
    CHECK(m.join(kPeer, kUs, p));
    p = packet(1201, 104);
    CHECK_FALSE(m.join(kPeer, kUs, p));
    p = packet(1201, 105);
    CHECK_FALSE(m.join(kUs, kUs, p));
    CHECK(m.join(kPeer, kUs, p));
    const auto held = m.take();
    REQUIRE(held);
    CHECK(held->packet.total_size() == 32 + 1800);
    CHECK(held->packet.meta().gso_size == 600);
    CHECK(parse(kPeer, kUs, held->packet.data(), held->packet.total_size())->timestamp == 100);
}

TEST_CASE("No more is joined than a batch has, or 64 KiB") {
    TestPool pool(80);
    for (const usize each : {600, 1448}) {
        Merger m;
        const std::string data(each, 'd');
        const Bytes bytes = std::as_bytes(std::span(data));
        Segment s;
        s.local = {kPeer, 9};
        s.remote = {kUs, 80};
        s.flags = A;
        u32 joined = 0;
        for (; joined < 100; ++joined) {
            auto p = *build(pool.pool, s, {&bytes, 1}, TxChecksum::complete);
            s.seq += u32(each);
            if (joined == 0 ? !m.begin(kPeer, kUs, p) : !m.join(kPeer, kUs, p)) break;
            if (m.is_full()) break;
        }
        CHECK(joined == (each == 600 ? Merger::kMost - 1 : 45u));
        CHECK(m.take()->packet.total_size() <= 0xffff);
    }
}
