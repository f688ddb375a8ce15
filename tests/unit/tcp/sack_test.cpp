// Selective acknowledgment, the receiver's half: what our ACKs say about what arrived ahead or twice (RFC 2018, 2883).
#include "harness.hpp"

using namespace tcp_test;

namespace {

/// Begin and end of a block relative to the peer's ISN.
using Block = std::pair<u32, u32>;

struct Sacking : Harness {
    explicit Sacking(bool stamps = false, Config c = defaults()) : Harness(c), timestamps(stamps) {
        listen();
        Segment s = make(0, 0, S);
        s.sack_permitted = true;
        stamp(s);
        send_raw(s);
        const Seen syn_ack = expect(0, 1, S | A);
        CHECK(syn_ack.raw.sack_permitted);
        say(1, "");
        h = *tcp->accept(listener);
    }
    void stamp(Segment& s) const {
        s.has_timestamp = timestamps;
        s.timestamp = static_cast<u32>(now.ns / 1'000'000);
    }
    void say(u32 seq, const std::string& data, u32 ack = 1) {
        Segment s = make(seq, ack, A);
        stamp(s);
        send_raw(s, data);
    }
    std::vector<Block> blocks_of(const Seen& s) const {
        std::vector<Block> b;
        for (u32 i = 0; i < s.raw.sack_count; ++i)
            b.emplace_back(s.raw.sack[i].begin.raw() - peer_isn, s.raw.sack[i].end.raw() - peer_isn);
        return b;
    }
    /// One segment, and the ACK it gets.
    std::vector<Block> ack_of(u32 seq, u32 length, u32 acknowledged) {
        say(seq, text(length));
        auto s = next();
        REQUIRE(s);
        CHECK(s->ack == acknowledged);
        return blocks_of(*s);
    }
    bool timestamps;
};

using Blocks = std::vector<Block>;

}  // namespace

TEST_CASE("SACK is offered in a SYN and used only if both sides did (RFC 2018 §2)") {
    Harness t;
    t.to_syn_sent();
    t.send(0, 1, S | A);
    t.expect(1, 1, A);
    t.send(11, 1, A, "ahead");
    CHECK(t.expect(1, 1, A).raw.sack_count == 0);

    Harness active;
    auto c = active.tcp->connect({kUs, kPort}, {kPeer, kPeerPort}, active.now);
    active.h = *c;
    CHECK(active.expect(0, 0, S).raw.sack_permitted);
    Segment s = active.make(0, 1, S | A);
    s.sack_permitted = true;
    active.send_raw(s);
    active.expect(1, 1, A);
    active.send(11, 1, A, "ahead");
    CHECK(active.expect(1, 1, A).raw.sack_count == 1);

    Harness passive;
    passive.listen();
    passive.send(0, 0, S);
    CHECK_FALSE(passive.expect(0, 1, S | A).raw.sack_permitted);
}

TEST_CASE("The first block holds the latest arrival, joined with its neighbours (RFC 2018 §4)") {
    Sacking t;
    CHECK(t.ack_of(101, 50, 1) == Blocks{{101, 151}});
    CHECK(t.ack_of(201, 50, 1) == Blocks{{201, 251}, {101, 151}});
    CHECK(t.ack_of(151, 10, 1) == Blocks{{101, 161}, {201, 251}});
    CHECK(t.ack_of(301, 50, 1) == Blocks{{301, 351}, {101, 161}, {201, 251}});
    CHECK(t.ack_of(401, 50, 1) == Blocks{{401, 451}, {301, 351}, {101, 161}, {201, 251}});
    CHECK(t.ack_of(501, 50, 1) == Blocks{{501, 551}, {401, 451}, {301, 351}, {101, 161}});  // four fit
    CHECK(t.ack_of(161, 40, 1) ==
          Blocks{{101, 201}, {501, 551}, {401, 451}, {301, 351}});  // 201 was forgotten: true still
    CHECK(t.ack_of(1, 100, 251) == Blocks{{501, 551}, {401, 451}, {301, 351}});
    CHECK(t.ack_of(251, 50, 351) == Blocks{{501, 551}, {401, 451}});
    CHECK(t.ack_of(351, 150, 551) == Blocks{{401, 451}});  // RFC 2883: these fifty came twice
    t.say(551, "x");
    t.advance(Duration::from_ms(40));
    CHECK(t.blocks_of(t.expect(1, 552, A)).empty());
}

TEST_CASE("Three blocks fit beside a timestamp; all fit the header") {
    Sacking t(true);
    for (u32 at : {101u, 201u, 301u}) t.ack_of(at, 10, 1);
    t.say(401, "y");
    const Seen s = t.expect(1, 1, A);
    CHECK(t.blocks_of(s) == Blocks{{401, 402}, {301, 311}, {201, 211}});
    CHECK(s.raw.has_timestamp);
    CHECK(s.raw.header_bytes == 20 + 12 + 4 + 24);
}

TEST_CASE("Duplicates are reported once, before the other blocks (RFC 2883 §4)") {
    Sacking t;
    t.say(1, Harness::text(100));
    t.advance(Duration::from_ms(40));
    t.expect(1, 101, A);
    CHECK(t.ack_of(51, 50, 101) == Blocks{{51, 101}});    // §4.1.1: all of it is old
    CHECK(t.ack_of(301, 50, 101) == Blocks{{301, 351}});  // reported once
    CHECK(t.ack_of(1, 20, 101) == Blocks{{1, 21}, {301, 351}});
    CHECK(t.ack_of(311, 20, 101) == Blocks{{311, 331}, {301, 351}});  // §4.2.2: twice ahead of a hole, then its block
    CHECK(t.ack_of(341, 30, 101) == Blocks{{341, 351}, {301, 371}});  // §4.2.1: part of it
    t.say(91, Harness::text(50));                                     // the front is old
    CHECK(t.blocks_of(t.expect(1, 141, A)) == Blocks{{91, 101}, {301, 371}});
}

TEST_CASE("SACK blocks never take room from text: the ACK goes by itself") {
    Sacking t;
    t.say(101, "ahead");
    REQUIRE(t.write(Harness::text(536)));
    CHECK(t.blocks_of(t.expect(1, 1, A, 0)) == Blocks{{101, 106}});
    CHECK(t.expect(1, 1, A, 536).raw.sack_count == 0);
}

TEST_CASE("What the assembler throws away to make room is claimed no longer") {
    TestPool t(16);
    Assembler a;
    for (u32 at : {10u, 20u, 30u, 40u, 5u}) {  // the fifth throws out [40, 41)
        auto p = t.pool.allocate();
        p->append(1)[0] = std::byte(at);
        CHECK(a.insert(SeqNum(at), std::move(*p), 4));
    }
    std::array<SackBlock, 4> said{};
    REQUIRE(a.blocks(SeqNum(1), said) == 4);
    for (u32 i = 0; const u32 at : {5u, 30u, 20u, 10u}) CHECK(said[i++] == SackBlock{SeqNum(at), SeqNum(at + 1)});
}

TEST_CASE("Blocks are claimed only of what is held") {
    Sacking t;
    u32 at = 3;
    for (u32 i = 0; i < 40; ++i, at += 2) t.ack_of(at, 1, 1);  // one-byte pieces: 10 buffers and no more
    for (u32 round = 0; round < 30; ++round) {
        t.say(2 + 2 * round, "!");
        auto s = t.next();
        REQUIRE(s);
        for (auto [begin, end] : t.blocks_of(*s)) {
            CHECK(begin > s->ack);
            CHECK(end <= at);
        }
    }
    t.say(1, "#");  // fills everything up to the first hole; what was claimed last and lies before it must be there
    CHECK(t.read().size() + 1 == t.next()->ack);
}
