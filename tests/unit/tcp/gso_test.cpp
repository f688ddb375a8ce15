// Segments larger than the MTU, sent and received: what is cut where, Nagle, FIN and PSH, parts sent again, memory.
#include "harness.hpp"
#include "tests/unit/net/cut.hpp"

using namespace tcp_test;

namespace {

constexpr u32 kMss = 536;

struct Large : Harness {
    static Config offloading(u32 gso = 65535) {
        Config c = defaults();
        c.send_buffer_bytes = 65536;
        c.gso_bytes = gso;
        c.tx_checksum_offload = true;
        c.fragments = 36;
        return c;
    }
    explicit Large(Config c = offloading(), usize packets = 256) : Harness(c, packets) { to_established(); }

    struct Sent {
        u32 seq;
        usize length;
        u8 flags;
        u16 fragments, gso_size;
        std::string data;
    };
    std::optional<Sent> out() {
        auto o = tcp->output(now);
        if (!o) return std::nullopt;
        CHECK(o->packet.headroom() >= 60);
        const auto pieces = test::cut(o->packet, 0, o->source, o->destination);
        Sent r{};
        for (const auto& bytes : pieces) {
            CHECK(checksum_ok(o->source, o->destination, bytes));
            const auto s = parse(o->source, o->destination, bytes);
            REQUIRE(s);
            if (r.length == 0) r.seq = s->seq.raw() - our_isn;
            CHECK(s->seq.raw() - our_isn == r.seq + r.length);
            CHECK(s->length <= kMss);
            r.length += s->length;
            r.flags = s->flags;
            r.data.append(reinterpret_cast<const char*>(bytes.data()) + s->header_bytes, s->length);
        }
        r.fragments = o->packet.fragments();
        r.gso_size = o->packet.meta().gso_size;
        return r;
    }
    /// Acknowledges all there is until the congestion window is `bytes` or more.
    void open_window(u32 bytes) {
        u32 at = 1, turns = 0;
        while (tcp->info(h)->congestion_window < bytes) {
            REQUIRE(turns++ < 100);
            (void)write(text(30 * kMss));
            while (auto s = out()) at = s->seq + u32(s->length);
            send(1, at, A, "", 65535);
        }
        start = at;
        while (auto s = out()) start = s->seq + u32(s->length);
        send(1, start, A, "", 65535);
        REQUIRE_FALSE(out());
    }
    u32 start = 1;

    void receive(u32 seq, const std::string& data, u16 unit, usize first = 700, u8 flags = A) {
        const Segment s = make(seq, start, flags, 65535);
        auto whole = build(buffers.pool, s, {}, TxChecksum::complete);
        std::vector<std::byte> bytes(whole->data().begin(), whole->data().end());
        for (char c : data) bytes.push_back(std::byte(c));
        InternetSum sum = InternetSum::pseudo_header(kPeer, kUs, 6, bytes.size());
        const be16 zero = 0;
        std::memcpy(bytes.data() + 16, &zero, 2);
        sum.add(bytes);
        const be16 checksum = sum.checksum();
        std::memcpy(bytes.data() + 16, &checksum, 2);
        if (corrupt) bytes[bytes.size() / 2] ^= std::byte(1);
        auto p = test::scatter(buffers.pool, bytes, first, 2048);
        REQUIRE(p);
        p->meta().gso_size = unit;
        p->meta().checksum = vouch;
        tcp->input(kPeer, kUs, std::move(*p), now);
    }
    PacketMeta::Checksum vouch = PacketMeta::Checksum::none;
    bool corrupt = false;
};

}  // namespace

TEST_CASE("A large segment carries whole segments, bounded by the congestion window") {
    Large t;
    t.open_window(30 * kMss);
    const u32 window = t.tcp->info(t.h)->congestion_window;
    const std::string all = Harness::text(60'000, 'A');
    REQUIRE(*t.write(all) == all.size());
    const auto s = t.out();
    REQUIRE(s);
    CHECK(s->seq == t.start);
    CHECK(s->length == window / kMss * kMss);
    CHECK(s->gso_size == kMss);
    CHECK((s->flags & P) == 0);  // there is more
    CHECK(s->data == all.substr(0, s->length));
    CHECK(s->fragments == 2);  // the headers, and a view of a run
    CHECK_FALSE(t.out());
    CHECK(t.tcp->stats().gso_out > 1);
}

TEST_CASE("A large segment is no larger than the link and the peer's window allow") {
    Large t(Large::offloading(6000));
    t.open_window(30 * kMss);
    REQUIRE(t.write(Harness::text(20'000)));
    CHECK(t.out()->length == 11 * kMss);  // 5948 bytes of payload at most
    t.send(1, t.start, A, "", 8000);
    CHECK(t.out()->length == 3 * kMss);  // 2104 bytes are left of 8000
    CHECK_FALSE(t.out());
}

TEST_CASE("Nagle keeps the short end of a large segment; no_delay and FIN send it along") {
    Options no_delay;
    no_delay.no_delay = true;
    for (int kind = 0; kind < 3; ++kind) {
        Large t;
        t.open_window(30 * kMss);
        if (kind == 1) REQUIRE(t.tcp->configure(t.h, no_delay, t.now));
        REQUIRE(t.write(Harness::text(10 * kMss + 7)));
        if (kind == 2) REQUIRE(t.tcp->shutdown_write(t.h, t.now));
        const auto s = t.out();
        REQUIRE(s);
        CHECK(s->length == 10 * kMss + (kind == 0 ? 0 : 7));
        CHECK((s->flags & (P | F)) == (kind == 0 ? 0 : kind == 1 ? P : P | F));
        CHECK_FALSE(t.out());
        if (kind != 0) continue;
        t.send(1, t.start + 10 * kMss, A, "", 65535);
        const auto rest = t.out();
        REQUIRE(rest);
        CHECK(rest->length == 7);
        CHECK((rest->flags & P) != 0);
        CHECK(rest->fragments == 1);  // short ones are copied
    }
}

TEST_CASE("Parts of a large segment are sent again as they were lost") {
    Large t;
    t.open_window(40 * kMss);
    const std::string all = Harness::text(20 * kMss, 'A');
    REQUIRE(t.write(all));
    REQUIRE(t.out()->length == 20 * kMss);
    const u64 before = t.tcp->stats().retransmitted;
    // The seventh is lost: an ACK of six, then duplicates.
    for (int i = 0; i < 4; ++i) t.send(1, t.start + 6 * kMss, A, "", 65535);
    auto s = t.out();
    REQUIRE(s);
    CHECK(s->seq == t.start + 6 * kMss);
    CHECK(s->length == kMss);
    CHECK(s->data == all.substr(6 * kMss, kMss));
    CHECK(t.tcp->stats().fast_retransmits == 1);
    // The fifteenth too: a partial ACK in the middle of what was one packet.
    t.send(1, t.start + 14 * kMss, A, "", 65535);
    s = t.out();
    REQUIRE(s);
    CHECK(s->data == all.substr(14 * kMss, kMss));
    t.send(1, t.start + 20 * kMss, A, "", 65535);
    CHECK(t.tcp->stats().retransmitted == before + 2);
    CHECK(t.tcp->info(t.h)->send_queue == 0);
}

TEST_CASE("After a timeout everything goes again, in large segments as the window opens") {
    Large t;
    t.open_window(40 * kMss);
    const std::string all = Harness::text(20 * kMss, 'A');
    REQUIRE(t.write(all));
    REQUIRE(t.out());
    t.fire();
    std::string again;
    u32 acked = t.start;
    usize packets = 0;
    for (int turn = 0; turn < 20 && again.size() < all.size(); ++turn) {
        while (auto s = t.out()) {
            CHECK(s->seq == acked + (again.size() - (acked - t.start)));
            again += s->data;
            ++packets;
        }
        acked = t.start + u32(again.size());
        t.send(1, acked, A, "", 65535);
    }
    CHECK(again == all);
    CHECK(packets < 10);
}

TEST_CASE("What a device still reads is kept although it was acknowledged") {
    Large t;
    t.open_window(30 * kMss);
    const std::string all = Harness::text(20 * kMss, 'A');
    REQUIRE(t.write(all));
    auto o = t.tcp->output(t.now);
    REQUIRE(o);
    t.send(1, t.start + 20 * kMss, A, "", 65535);
    CHECK(t.tcp->info(t.h)->send_queue == 0);
    CHECK(t.buffers.pool.orphans() >= 20 * kMss / PacketBuffer::kSize);
    REQUIRE(t.write(Harness::text(30'000, 'x')));
    const auto bytes = test::joined(o->packet);
    const std::string read(reinterpret_cast<const char*>(bytes.data()) + o->packet.size(), 20 * kMss);
    CHECK(read == all);
    o.reset();
    CHECK(t.buffers.pool.orphans() == 0);
}

TEST_CASE("Without views a large segment falls back to single ones") {
    Large t;
    t.open_window(30 * kMss);
    REQUIRE(t.write(Harness::text(12 * kMss)));
    std::vector<PacketBuffer> hoard;
    auto held = t.buffers.pool.allocate();
    held->append(1);
    while (auto v = t.buffers.pool.view(*held, 0, 1)) hoard.push_back(std::move(*v));
    for (u32 i = 0; i < 3; ++i) {
        const auto s = t.out();
        REQUIRE(s);
        CHECK(s->length == kMss);
        CHECK(s->seq == t.start + i * kMss);
        CHECK(s->gso_size == 0);
        CHECK((s->flags & P) == 0);
    }
    hoard.clear();
    CHECK(t.out()->length == 9 * kMss);
}

TEST_CASE("A merged frame is read in one piece, checked over all its buffers, acknowledged by its segments") {
    Large t;
    const std::string all = Harness::text(9000);
    for (const usize first : {20u, 21u, 700u, 1899u}) {  // odd cuts too
        t.corrupt = true;
        t.receive(1, all, 1460, first);
        CHECK(t.read() == "");
        t.corrupt = false;
        t.receive(1, all, 1460, first);
        t.expect(1, 9001, A);  // six segments: at once
        CHECK((t.read() == all));
        t.drain();  // the window update
        t.peer_isn += 9000;
    }
    CHECK(t.tcp->stats().bad_checksum == 4);
    CHECK(t.tcp->stats().fast_path_data == 4);
    CHECK(t.tcp->packets_held() == 0);
    t.vouch = PacketMeta::Checksum::verified;
    t.corrupt = true;  // nobody looks
    t.receive(1, all, 1460);
    CHECK(t.read().size() == 9000);
}

TEST_CASE("Merged frames do not make single segments wait longer for their ACK") {
    Large t;
    t.receive(1, Harness::text(9000), 1460);
    t.expect(1, 9001, A);
    t.send(9001, 1, A, Harness::text(1460));
    t.expect_none();
    t.send(9001 + 1460, 1, A, Harness::text(1460));
    t.expect(1, 9001 + 2920, A);
    t.receive(9001 + 2920, Harness::text(4000), 0);  // a merged frame that says nothing about its segments
    t.expect(1, 9001 + 6920, A);
}

TEST_CASE("Merged frames that are old, early, or beyond the window are cut where they must be") {
    Config c = Large::offloading();
    c.receive_buffer_bytes = 16384;
    Large t(c);
    const std::string all = Harness::text(20'000);
    t.receive(1, all.substr(0, 5000), 1460);
    t.drain();
    t.receive(8001, all.substr(8000, 3000), 1460);  // early
    t.expect(1, 5001, A);
    CHECK(t.tcp->stats().out_of_order == 1);
    t.receive(3001, all.substr(3000, 6000), 1460);  // half old, and over the hole
    t.expect(1, 11001, A);
    t.receive(11001, all.substr(11000), 1460);  // 9000 bytes into a window of 5384
    CHECK(t.tcp->stats().beyond_window == 9000 - 5384);
    CHECK(t.read(20'000) == all.substr(0, 16384));
    CHECK(t.tcp->packets_held() == 0);
}

TEST_CASE("A merged frame of tiny buffers is held by what it costs, not by what it says") {
    Config c = Large::offloading();
    c.receive_buffer_bytes = 16384;  // at most 20 buffers
    Large t(c, 128);
    std::optional<PacketBuffer> p;
    const Segment s = t.make(1, 1, A, 65535);
    p = build(t.buffers.pool, s, {}, TxChecksum::complete);
    for (int i = 0; i < 80; ++i) {
        auto b = t.buffers.pool.allocate();
        b->window(0, 0);
        if (i % 7 != 0) b->append(1)[0] = std::byte('0' + i % 7);  // some are empty
        p->append_fragment(std::move(*b));
    }
    p->meta().checksum = PacketMeta::Checksum::verified;
    t.tcp->input(kPeer, kUs, std::move(*p), t.now);
    CHECK(t.tcp->packets_held() <= 20);
    std::string read = t.read();
    CHECK(read.size() == 68);  // short ones are copied together
    for (usize i = 0; i < read.size(); ++i) CHECK(read[i] == static_cast<char>('1' + i % 6));
}

TEST_CASE("A header that is not whole in the first buffer is no header") {
    Large t;
    t.receive(1, Harness::text(3000), 1460, 19);
    CHECK(t.tcp->stats().bad_header == 1);
    t.receive(1, Harness::text(3000), 1460, 20);
    CHECK(t.read().size() == 3000);
}

TEST_CASE("A writer that is refused memory is told when there is some") {
    Config c = Large::offloading();
    Large t(c, 32);          // 12 buffers for all senders
    t.send(1, 1, A, "", 0);  // a closed window: nothing leaves
    const Handle first = t.h;
    REQUIRE(t.write(Harness::text(40'000)));
    t.peer_port = 40001;
    t.send(0, 0, S);
    t.expect(0, 1, S | A);
    t.send(1, 1, A);
    t.h = *t.tcp->accept(t.listener);
    const Handle second = t.h;
    CHECK(t.tcp->write(first, std::as_bytes(std::span("x", 1)), t.now).error() == Error::would_block);
    CHECK_FALSE(t.tcp->readiness(first).writable);
    REQUIRE(t.write(Harness::text(4096)));  // who has less than two buffers gets more than who has many
    t.drain();
    t.send(1, 4097, A, "", 65535);
    CHECK(t.tcp->readiness(second).writable);
    t.peer_port = kPeerPort;
    t.send(1, 1, R | A);
    CHECK(t.tcp->readiness(second).writable);
}
