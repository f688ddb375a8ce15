// RFC 5227 for a fixed address: used at once, asked for, told when it is free; given up, and tried again, when not.
#include "fixture.hpp"

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

StackConfig probing(Addressing addressing = Addressing::fixed) {
    StackConfig c = Host::config(1);
    c.addressing = addressing;
    c.probe_interval = Duration::from_ms(20);
    return c;
}

struct Box {
    Host h;
    Instant now;
    usize probes = 0, announcements = 0, replies = 0, steps = 0;
    explicit Box(const StackConfig& c = probing()) : h(c) {}

    void run(Duration d) {
        for (const Instant end = now + d;;) {
            h.stack.poll(now);
            for (const Frame& f : h.output_all(now)) {
                if (take16(f, 12) != 0x0806) continue;
                const bool request = take16(f, 20) == 1, about_us = take32(f, 38) == kOurs.value;
                probes += request && about_us && take32(f, 28) == 0;
                announcements += request && about_us && take32(f, 28) == kOurs.value;
                replies += !request && take32(f, 28) == kOurs.value;
            }
            if (now >= end) return;
            Instant next = h.stack.deadline();
            REQUIRE(++steps < 10'000);
            if (next < now) next = now;
            now = next < end ? next : end;
        }
    }
    void hear(u16 op, Ipv4Addr sender, Ipv4Addr target, MacAddr from = kPeerMac) {
        h.input(ethernet(MacAddr::broadcast(), from, 0x0806, arp(op, from, sender, {}, target)), now);
    }
    bool has_address() const { return h.stack.ipv4().address == kOurs; }
};

constexpr MacAddr kOther{{2, 0, 0, 0, 0, 66}};

}  // namespace

TEST_CASE("A fixed address is used at once, and announced when nobody has answered three probes") {
    Box b;
    CHECK(b.has_address());
    b.run(Duration::from_ms(59));
    CHECK(b.probes == 3);
    CHECK(b.announcements == 0);
    b.hear(1, kPeer, kOurs);  // who asks for it is answered meanwhile
    b.run(Duration::from_ms(1));
    CHECK(b.replies == 1);
    CHECK(b.announcements == 1);
    b.run(Duration::from_s(10));
    CHECK(b.announcements == 2);
    CHECK(b.probes == 3);
    CHECK(b.h.stack.statistics().arp_conflicts == 0);
    CHECK_FALSE(b.h.stack.interface().refused);
}

TEST_CASE("Without probing it is announced at once") {
    StackConfig c = probing();
    c.probe_interval = {};
    Box b(c);
    b.run({});
    CHECK(b.probes == 0);
    CHECK(b.announcements == 1);
}

TEST_CASE("A fixed address that somebody has is given up, told, and asked for again until it is free") {
    Box b;
    b.run(Duration::from_ms(30));
    CHECK(b.probes == 2);
    (void)b.h.stack.take_change();
    SECTION("its owner answers") {
        b.hear(2, kOurs, {}, kOther);
    }
    SECTION("its owner asks for somebody") {
        b.hear(1, kOurs, kPeer, kOther);
    }
    SECTION("another one probes for it") {
        b.hear(1, {}, kOurs, kOther);
    }
    b.run({});
    CHECK_FALSE(b.has_address());
    CHECK(b.replies == 0);
    CHECK(b.announcements == 0);
    auto info = b.h.stack.interface();
    CHECK(info.refused);
    CHECK(info.conflict.address == kOurs);
    CHECK(info.conflict.by == kOther);
    CHECK(info.conflict.seen == 1);
    CHECK(b.h.stack.statistics().arp_conflicts == 1);
    CHECK(b.h.stack.statistics().arp_refused == 1);
    CHECK(b.h.stack.take_change());
    CHECK(b.h.stack.take_conflict_news());
    CHECK_FALSE(b.h.stack.take_conflict_news());
    CHECK(b.h.stack.connect({kPeer, 80}, b.now).error() == Error::unreachable);
    // Ten seconds later it is asked for first, and is still somebody's.
    b.probes = 0;
    b.run(Duration::from_ms(9'990));
    CHECK(b.probes == 0);
    b.run(Duration::from_ms(10));
    CHECK(b.probes == 1);
    CHECK_FALSE(b.has_address());
    b.hear(2, kOurs, {}, kOther);
    b.run(Duration::from_ms(1));
    CHECK(b.h.stack.statistics().arp_refused == 2);
    // Then it has been given back.
    b.run(Duration::from_ms(10'058));
    CHECK_FALSE(b.has_address());
    b.run(Duration::from_ms(2));
    CHECK(b.has_address());
    CHECK(b.announcements == 1);
    info = b.h.stack.interface();
    CHECK_FALSE(info.refused);
    CHECK(info.conflict.seen == 2);  // stays to be seen
}

TEST_CASE("A conflict later: the address is defended once in ten seconds, and each ten seconds it is told") {
    Box b;
    b.run(Duration::from_s(5));
    b.announcements = 0;
    for (int i = 0; i < 5; ++i) {
        b.hear(1, kOurs, kPeer, kOther);
        b.run(Duration::from_s(1));
    }
    CHECK(b.announcements == 1);
    CHECK(b.has_address());
    CHECK(b.h.stack.interface().conflict.seen == 5);
    CHECK(b.h.stack.take_conflict_news());
    b.run(Duration::from_s(4));
    b.hear(1, kOurs, kPeer, kOther);
    CHECK_FALSE(b.h.stack.take_conflict_news());
    b.run(Duration::from_s(2));
    CHECK(b.announcements == 1);
    b.hear(1, kOurs, kPeer, kOther);
    CHECK(b.h.stack.take_conflict_news());
    b.run({});
    CHECK(b.announcements == 2);
}

TEST_CASE("A link that comes back may be another network: the address is asked for anew") {
    Box b;
    b.run(Duration::from_s(5));
    b.h.stack.set_carrier(false, b.now);
    b.run(Duration::from_s(5));
    b.probes = b.announcements = 0;
    b.h.stack.set_carrier(true, b.now);
    CHECK(b.has_address());
    b.run(Duration::from_ms(50));
    CHECK(b.probes == 3);
    CHECK(b.announcements == 0);
    SECTION("free") {
        b.run(Duration::from_s(5));
        CHECK(b.announcements == 2);
    }
    SECTION("somebody's") {
        b.hear(2, kOurs, {}, kOther);
        b.run(Duration::from_s(1));
        CHECK_FALSE(b.has_address());
        CHECK(b.announcements == 0);
    }
}

TEST_CASE("The address to fall back to is probed too, and other addressing ends the question") {
    Box b(probing(Addressing::dhcp_then_fixed));
    b.run(Duration::from_ms(10'010));
    CHECK(b.has_address());
    CHECK(b.h.stack.interface().fallback);
    CHECK(b.probes == 1);
    b.hear(2, kOurs, {}, kOther);
    b.run(Duration::from_ms(1));
    CHECK_FALSE(b.has_address());
    CHECK_FALSE(b.h.stack.interface().fallback);
    REQUIRE(b.h.stack.configure(Addressing::none, {}, b.now));
    b.probes = 0;
    b.run(Duration::from_s(60));
    CHECK(b.probes == 0);
    CHECK_FALSE(b.h.stack.interface().refused);
}
