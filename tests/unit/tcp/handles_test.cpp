// Around the connections: bounded tables, handles, listeners, readiness, and ICMP.
#include "harness.hpp"

using namespace tcp_test;

TEST_CASE("The tables are bounded") {
    Config c = Harness::defaults();
    c.max_connections = 8;
    c.max_half_open = 4;
    c.max_time_wait = 2;
    SECTION("half-open: beyond the bound nothing is remembered") {
        Harness t(c);
        t.listen();
        for (u16 i = 0; i < 20; ++i) {
            t.peer_port = static_cast<u16>(1000 + i);
            t.send(0, 0, S);
            t.drain();
        }
        CHECK(t.tcp->connections() == 4);
        CHECK(t.tcp->stats().cookies_sent == 16);
    }
    SECTION("backlog: neither SYN nor the final ACK is taken beyond it") {
        Harness t(c);
        t.listen(2);
        for (u16 i = 0; i < 3; ++i) {
            t.peer_port = static_cast<u16>(1000 + i);
            t.send(0, 0, S);
            t.drain();
            t.send(1, 1, A);
        }
        CHECK(t.tcp->stats().listen_overflow != 0);
        CHECK(t.tcp->accept(t.listener).has_value());
        CHECK(t.tcp->accept(t.listener).has_value());
        CHECK(t.tcp->accept(t.listener).error() == Error::would_block);
    }
    SECTION("TIME-WAIT: the shortest makes room") {
        Harness t(c);
        t.listen();
        for (u16 i = 0; i < 5; ++i) {
            t.peer_port = static_cast<u16>(1000 + i);
            t.send(0, 0, S);
            t.drain();
            t.send(1, 1, A);
            t.h = *t.tcp->accept(t.listener);
            t.tcp->close(t.h, t.now);
            t.expect(1, 1, F | A);
            t.send(1, 2, F | A);
            t.expect(2, 2, A);
        }
        CHECK(t.tcp->connections() == 2);
        CHECK(t.tcp->stats().time_wait_recycled == 3);
    }
    SECTION("what was closed and never acknowledged makes room, the oldest first") {
        Harness t(c);
        t.listen(100);
        std::vector<u32> isn;
        for (u16 i = 0; i < 8; ++i) {
            t.peer_port = static_cast<u16>(1000 + i);
            t.send(0, 0, S);
            t.drain();
            isn.push_back(t.our_isn);
            t.send(1, 1, A);
            t.tcp->close(*t.tcp->accept(t.listener), t.now);
            t.expect(1, 1, F | A);
        }
        t.peer_port = 1000, t.our_isn = isn[0];
        t.send(1, 2, F | A);  // this one ends as it should
        t.expect(2, 2, A);
        for (u16 i = 0; i < 2; ++i) {
            t.peer_port = static_cast<u16>(2000 + i);
            t.send(0, 0, S);
            while (const auto s = t.next()) {
                if (!(s->flags & R)) continue;
                CHECK(i == 1);
                CHECK(s->raw.local.port == 1001);
            }
            t.send(1, 1, A);
        }
        CHECK(t.tcp->connections() == 8);
        CHECK(t.tcp->stats().time_wait_recycled == 1);
        CHECK(t.tcp->stats().orphans_evicted == 1);
        CHECK(t.tcp->stats().table_full == 0);
        CHECK(t.tcp->accept(t.listener).has_value());
        CHECK(t.tcp->accept(t.listener).has_value());
    }
    SECTION("connections: established ones are never thrown out") {
        Harness t(c);
        t.listen(100);
        for (u16 i = 0; i < 20; ++i) {
            t.peer_port = static_cast<u16>(1000 + i);
            t.send(0, 0, S);
            t.drain();
            t.send(1, 1, A);
            t.drain();
        }
        CHECK(t.tcp->connections() == 8);
        CHECK(t.tcp->stats().table_full == 12);
        CHECK(t.tcp->connect({kUs, 0}, {kPeer, 9}, t.now).error() == Error::no_memory);
    }
}

TEST_CASE("listen and connect refuse what cannot work") {
    Harness t;
    CHECK(t.tcp->listen({{}, 0}, 1).error() == Error::invalid);
    REQUIRE(t.tcp->listen({{}, 80}, 1));
    CHECK(t.tcp->listen({kUs, 80}, 1).error() == Error::in_use);
    CHECK(t.tcp->connect({{}, 0}, {kPeer, 1}, t.now).error() == Error::invalid);
    CHECK(t.tcp->connect({kUs, 0}, {kPeer, 0}, t.now).error() == Error::invalid);
    CHECK(t.tcp->connect({kUs, 0}, {Ipv4Addr::of(224, 0, 0, 1), 1}, t.now).error() == Error::invalid);
    auto a = t.tcp->connect({kUs, 0}, {kPeer, 1}, t.now);
    REQUIRE(a);
    const u16 port = t.tcp->info(*a)->local.port;
    CHECK(port >= 49152);
    CHECK(t.tcp->connect({kUs, port}, {kPeer, 1}, t.now).error() == Error::in_use);
    auto b = t.tcp->connect({kUs, 0}, {kPeer, 1}, t.now);
    REQUIRE(b);
    CHECK(t.tcp->info(*b)->local.port != port);
    t.drain();
    std::byte byte[1];
    CHECK(t.tcp->read(*a, byte, t.now).error() == Error::not_connected);
    CHECK(t.tcp->write(*a, byte, t.now).error() == Error::would_block);
    t.tcp->close(*a, t.now);
    CHECK(t.tcp->read(*a, byte, t.now).error() == Error::invalid);
    CHECK(t.tcp->accept(*b).error() == Error::invalid);
    t.tcp->close(*a, t.now);  // twice is harmless
    CHECK(t.tcp->connections() == 1);
}

TEST_CASE("Closing a listener resets what nobody accepted") {
    Harness t;
    t.to_syn_received();
    t.send(1, 1, A);
    t.peer_port = 1;
    const u32 isn = t.our_isn;
    t.send(0, 0, S);
    t.drain();
    t.tcp->close(t.listener, t.now);
    t.our_isn = isn;
    t.expect(1, 1, R | A);
    CHECK(t.next());
    t.expect_none();
    CHECK(t.tcp->connections() == 0);
    t.send(0, 0, S);
    CHECK((t.next()->flags & R) != 0);
}

TEST_CASE("a listener whose only connection was reset before accept reports the next one") {
    Harness t;
    t.to_syn_received();
    t.send(1, 1, A);
    CHECK(t.tcp->next_ready() == t.listener);
    t.send(1, 0, R);
    CHECK(t.tcp->accept(t.listener).error() == Error::would_block);
    t.peer_port = 5555;
    t.send(0, 0, S);
    t.expect(0, 1, S | A);
    t.send(1, 1, A);
    CHECK(t.tcp->next_ready() == t.listener);
    CHECK(t.tcp->accept(t.listener).has_value());
}

TEST_CASE("next_ready reports each rise of readiness once") {
    Harness t;
    t.to_syn_received();
    CHECK_FALSE(t.tcp->next_ready());
    t.send(1, 1, A);
    CHECK(t.tcp->next_ready() == t.listener);
    CHECK_FALSE(t.tcp->next_ready());
    t.h = *t.tcp->accept(t.listener);
    int word = 0;
    t.tcp->set_user_data(t.h, &word);
    CHECK(t.tcp->user_data(t.h) == &word);
    CHECK(t.tcp->next_ready() == t.h);
    t.send(1, 1, A, "a");
    CHECK(t.tcp->next_ready() == t.h);
    t.send(2, 1, A, "b");
    CHECK_FALSE(t.tcp->next_ready());
    t.read();
    t.send(3, 1, A, "c");
    CHECK(t.tcp->next_ready() == t.h);
    t.send(4, 0, R);
    CHECK(t.tcp->next_ready() == t.h);
    CHECK(t.tcp->readiness(t.h).closed);
    CHECK(t.read() == "c");  // what came before the reset may still be read
}

TEST_CASE("ICMP is believed only about what is in flight (RFC 5927)") {
    Harness t;
    t.to_syn_sent();
    const Endpoint local{kUs, kPort}, remote{kPeer, kPeerPort};
    t.tcp->on_unreachable(local, remote, SeqNum(t.our_isn + 50), Unreachable::port, 0, t.now);
    CHECK(t.state() == State::syn_sent);
    CHECK(t.tcp->stats().icmp_ignored == 1);
    t.tcp->on_unreachable(local, remote, SeqNum(t.our_isn), Unreachable::network, 0, t.now);
    CHECK(t.state() == State::syn_sent);  // soft
    t.tcp->on_unreachable(local, remote, SeqNum(t.our_isn), Unreachable::port, 0, t.now);
    CHECK(t.tcp->readiness(t.h).error == Error::connection_refused);
}
