// What we send to our own groups comes back to us; routers of older versions are answered in their own words.
#include "ipv6_fixture.hpp"

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

constexpr Ipv4Addr kGroup = Ipv4Addr::of(239, 1, 2, 3), kRouter = Ipv4Addr::of(10, 0, 0, 254);

/// Runs `h` and collects the frames that `wanted` says.
template <class Wanted> std::vector<Frame> run(Host& h, Instant& now, Duration d, Wanted wanted) {
    std::vector<Frame> all;
    for (const Instant end = now + d; now <= end; now = now + Duration::from_ms(20)) {
        h.stack.poll(now);
        for (Frame& f : h.output_all(now))
            if (wanted(f)) all.push_back(std::move(f));
    }
    return all;
}
bool is_igmp(const Frame& f) {
    return take16(f, 12) == 0x0800 && f[23] == 2;
}

}  // namespace

TEST_CASE("What a socket sends to a group is heard by the members here, itself included, unless it says otherwise") {
    const bool offload = GENERATE(false, true);
    Host6 h(Host6::config6(1, {.tx_checksum = offload}), 256);
    h.settle();
    Udp& udp = h.stack.udp();
    for (const IpAddr& group : {IpAddr(kGroup), ip("ff02::1:3")}) {
        const auto sender = *udp.open({{}, 7}, PortUse::shared), other = *udp.open({{}, 7}, PortUse::shared);
        const auto outside = *udp.open({{}, 7}, PortUse::shared);
        Frame data(GENERATE(usize{3}, usize{5000}), 42);
        REQUIRE(h.stack.send_to(sender, {group, 7}, bytes_of(data), h.now));
        CHECK_FALSE(h.output_all(h.now).empty());  // nobody here is a member
        CHECK(received(h, other).empty());
        REQUIRE(h.stack.join(sender, group, h.now));
        REQUIRE(h.stack.join(other, group, h.now));
        h.run(Duration::from_s(5));
        REQUIRE(h.stack.send_to(sender, {group, 7}, bytes_of(data), h.now));
        CHECK(h.output_all(h.now).size() == (data.size() > 1452 ? 4u : 1u));  // and on the wire
        CHECK(received(h, sender) == data);
        CHECK(received(h, other) == data);
        CHECK(received(h, outside).empty());
        REQUIRE(udp.set_multicast_loop(sender, MulticastLoop::off));
        REQUIRE(h.stack.send_to(sender, {group, 7}, bytes_of(data), h.now));
        CHECK_FALSE(h.output_all(h.now).empty());
        CHECK(received(h, sender).empty());
        CHECK(received(h, other).empty());
        for (const auto s : {sender, other, outside}) h.stack.close(s, h.now);
        h.run(Duration::from_s(5));
    }
    CHECK(udp.set_multicast_loop({}, MulticastLoop::off).error() == Error::invalid);
    CHECK(h.stats().udp_bad_checksum == 0);
}

TEST_CASE("No buffer for the copy: the packet goes out all the same, and that is counted") {
    Host h(Host::config(1), 64);
    h.output_all({});
    const auto s = *h.stack.udp().open({{}, 7});
    REQUIRE(h.stack.join(s, kGroup, {}));
    h.stack.poll({});
    h.output_all({});
    REQUIRE(h.stack.send_to(s, {kGroup, 7}, bytes_of(Frame{1}), {}));
    std::vector<PacketBuffer> elsewhere;
    while (h.pool.free() != 0) elsewhere.push_back(*h.pool.allocate());
    CHECK(h.output_all({}).size() == 1);
    CHECK(h.stack.statistics().no_packet == 1);
    CHECK(received(h, s).empty());
}

TEST_CASE("RFC 3376 §7.2: while an older router asks, IGMP is spoken in its version") {
    Host h(1);
    Instant now{1};
    run(h, now, Duration::from_s(3), is_igmp);
    const auto query = [&](u8 tenths, usize size = 8) {
        Frame m(size);
        m[0] = 0x11;
        m[1] = tenths;
        put16(m, 2, internet_checksum(bytes_of(m)));
        Frame f = ipv4(2, kRouter, kAllHosts, m);
        f[8] = 1;
        fix_ip_checksum(f);
        h.input(ethernet({{1, 0, 0x5e, 0, 0, 1}}, kPeerMac, 0x0800, f), now);
        return run(h, now, Duration::from_s(11), is_igmp);
    };
    REQUIRE(h.stack.join(kGroup, now));
    auto out = run(h, now, Duration::from_s(3), is_igmp);
    REQUIRE(out.size() == 2);
    CHECK(out[0][38] == 0x22);

    out = query(20);  // version 2
    REQUIRE(out.size() == 1);
    CHECK(out[0][38] == 0x16);
    CHECK(take32(out[0], 30) == kGroup.value);
    CHECK((out[0][0] == 1 && out[0][2] == 0x5e && out[0][5] == 3));
    CHECK(take32(out[0], 42) == kGroup.value);
    CHECK(out[0].size() == 46);
    CHECK(internet_checksum(bytes_of(out[0]).subspan(38)) == 0);
    CHECK((out[0][22] == 1 && out[0][34] == 148));
    const Ipv4Addr second = Ipv4Addr::of(239, 1, 2, 4);
    REQUIRE(h.stack.join(second, now));
    out = run(h, now, Duration::from_s(3), is_igmp);
    REQUIRE(out.size() == 2);
    CHECK(out[1][38] == 0x16);
    h.stack.leave(second, now);
    out = run(h, now, Duration::from_s(3), is_igmp);
    REQUIRE(out.size() == 2);
    CHECK(out[0][38] == 0x17);
    CHECK(take32(out[0], 30) == Ipv4Addr::of(224, 0, 0, 2).value);
    CHECK(take32(out[0], 42) == second.value);
    // A newer one beside it changes nothing; what is between the sizes is no query.
    out = query(20, 12);
    REQUIRE(out.size() == 1);
    CHECK(out[0][38] == 0x16);
    CHECK(query(20, 10).empty());
    CHECK(h.stack.statistics().igmp_bad == 1);

    out = query(0);  // version 1
    REQUIRE(out.size() == 1);
    CHECK(out[0][38] == 0x12);
    REQUIRE(h.stack.join(second, now));
    CHECK(run(h, now, Duration::from_s(3), is_igmp).size() == 2);
    h.stack.leave(second, now);
    CHECK(run(h, now, Duration::from_s(3), is_igmp).empty());  // it knows no leaving
    // 260 s after the last of them the newest is spoken again.
    now = now + Duration::from_s(240);
    out = query(20, 12);
    REQUIRE(out.size() == 1);
    CHECK(out[0][38] == 0x12);
    now = now + Duration::from_s(30);
    out = query(20, 12);
    REQUIRE(out.size() == 1);
    CHECK(out[0][38] == 0x22);
}

TEST_CASE("RFC 3376 §7.2.1: what was planned in another version is not said any more") {
    Groups g({1, 2});
    const IpAddr a = kGroup, b = Ipv4Addr::of(239, 9, 9, 9);
    Instant now{1};
    REQUIRE(g.join(a, now));
    REQUIRE(g.join(b, now));
    g.leave(b, now);
    g.poll(now);
    CHECK(g.has_report());
    g.on_query(b, Duration::from_s(1), Groups::Version::older, now);
    CHECK_FALSE(g.has_report());
    CHECK(g.is_member(a));
    CHECK_FALSE(g.is_member(b));
    CHECK(g.deadline().is_never());
    g.on_query({}, Duration::from_s(1), Groups::Version::older, now);
    now = now + Duration::from_s(1);
    g.poll(now);
    const auto r = g.next_report(now);
    REQUIRE(r);
    CHECK(r->group == a);
    CHECK(r->version == Groups::Version::older);
    CHECK_FALSE(g.next_report(now));
}

TEST_CASE("RFC 3810 §8: while a router asks in MLDv1, it is answered in MLDv1") {
    Host6 h;
    h.settle();
    h.run(Duration::from_s(60));
    const IpAddr group = ip("ff05::1:3");
    const auto reports = [&](u8 type) { return icmp6_of(h.run(Duration::from_s(3)), type); };
    const auto query = [&](usize size, u8 answer) {
        Frame m(size);
        m[0] = 130;
        m[4] = 0x03;
        m[5] = 0xe8;
        h.give(icmp6(kRouter6, kAllNodes, m, 1, kRouterMac));
        return reports(answer);
    };
    REQUIRE(h.stack.join(group, h.now));
    CHECK(reports(143).size() == 2);
    CHECK(query(26, 131).empty());
    CHECK(h.stats().mld_bad == 1);
    auto out = query(24, 131);
    REQUIRE(out.size() == 2);  // our solicited-node group too
    const Frame& r = take_ip(out[0], 38) == group ? out[0] : out[1];
    CHECK(take_ip(r, 38) == group);
    CHECK(take_ip(r, 70) == group);
    CHECK(r.size() == 14 + 40 + 8 + 24);
    InternetSum sum = InternetSum::pseudo_header(take_ip(r, 22), group, 58, 24);
    sum.add(bytes_of(r).subspan(62));
    CHECK(sum.is_valid());
    h.stack.leave(group, h.now);
    out = reports(132);
    REQUIRE(out.size() == 2);
    CHECK(take_ip(out[0], 38) == kAllRouters);
    CHECK(take_ip(out[0], 70) == group);
    h.now = h.now + Duration::from_s(261);
    CHECK(query(28, 143).size() == 1);
}
