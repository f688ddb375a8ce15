// IPv6 from outside: autoconfiguration, neighbours, ICMPv6, extension headers, and UDP and TCP over it.
#include "ipv6_fixture.hpp"

#include <random>

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

using State = Ipv6AddressInfo::State;

Bytes text(std::string_view s) {
    return std::as_bytes(std::span(s));
}

}  // namespace

TEST_CASE("RFC 4862 §5.4: an address is probed before it is used, and reported to snooping switches") {
    Host6 h;
    std::vector<Frame> frames = h.run(Duration::from_s(3));
    const auto probes = icmp6_of(frames, 135);
    REQUIRE(probes.size() == 1);
    const Frame& p = probes[0];
    const IpAddr us = h.link_local();
    CHECK(us.is_link_local());
    CHECK(us.high() == u64{0xfe80} << 48);
    CHECK(take_ip(p, 22) == IpAddr{});
    CHECK(take_ip(p, 38) == solicited_node(us));
    CHECK(take_ip(p, 62) == us);
    CHECK(p.size() == 14 + 40 + 24);  // no option
    CHECK(p[21] == 255);
    CHECK(sum_is_right(p));
    CHECK((p[0] == 0x33 && p[1] == 0x33 && p[2] == 0xff));
    const auto reports = icmp6_of(frames, 143);
    REQUIRE(reports.size() == 2);  // RFC 3810 §6.1: robustness 2
    const Frame& r = reports[0];
    CHECK(r[21] == 1);
    CHECK(take_ip(r, 38) == ip("ff02::16"));
    CHECK((r[54] == 58 && r[56] == 5));  // router alert
    CHECK(r[70] == 4);                   // change to exclude nothing
    CHECK(take_ip(r, 74) == solicited_node(us));
    CHECK(sum_is_right(r, 62));
    const auto solicitations = icmp6_of(frames, 133);
    REQUIRE(!solicitations.empty());
    CHECK(take_ip(solicitations.back(), 38) == kAllRouters);
    CHECK(sum_is_right(solicitations.back()));
    // Three solicitations in all (RFC 4861 §6.3.7), and then silence.
    auto more = h.run(Duration::from_s(60));
    CHECK(solicitations.size() + icmp6_of(more, 133).size() == 3);
    CHECK(h.run(Duration::from_s(600)).empty());
}

TEST_CASE("RFC 7217: the identifier is opaque, the same after every boot, another one per prefix and per interface") {
    Host6 a, b, c(Host6::config6(2));
    StackConfig other_secret = Host6::config6();
    other_secret.secret[7] = 99;
    Host6 d(other_secret);
    for (Host6* h : {&a, &b, &c, &d}) h->settle_with_router();
    const auto id = [](const Host6& h, int i) { return h.stack.interface().ipv6.addresses[i].address.low(); };
    CHECK(id(a, 0) == id(b, 0));
    CHECK(id(a, 1) == id(d, 1));
    CHECK(id(a, 0) != id(a, 1));
    CHECK(id(a, 0) != id(c, 0));
    CHECK((id(a, 0) >> 24 & 0xffff) != 0xfffe);  // not the hardware address (RFC 4291 appendix A)
}

TEST_CASE("RFC 4862 §5.4.3 and §5.4.4: a duplicate is given up, another address made, at most three times") {
    for (const bool by_probe : {true, false}) {
        Host6 h;
        std::vector<IpAddr> tried;
        for (int i = 0; i < 10; ++i) {
            std::vector<Frame> probes;
            for (int ms = 0; probes.empty() && ms < 4000; ms += 10)
                probes = icmp6_of(h.run(Duration::from_ms(10)), 135);
            if (probes.empty()) break;
            const IpAddr wanted = take_ip(probes[0], 62);
            tried.push_back(wanted);
            if (by_probe)
                h.give(icmp6({}, solicited_node(wanted), solicitation(wanted)));
            else
                h.give(icmp6(wanted, kAllNodes, advertisement(wanted, 0x20, link_address(2, kPeerMac))));
        }
        CHECK(tried.size() == 4);
        for (usize i = 0; i < tried.size(); ++i)
            for (usize k = 0; k < i; ++k) CHECK(tried[i] != tried[k]);
        CHECK(h.stack.interface().ipv6.addresses[0].state == State::duplicate);
        CHECK(h.stats().nd_duplicates == 4);
        // It answers for none of them.
        h.give(icmp6(kPeer6, solicited_node(tried.back()), solicitation(tried.back(), link_address(1, kPeerMac))));
        CHECK(icmp6_of(h.run(Duration::from_s(1)), 136).empty());
    }
}

TEST_CASE("A tentative address is not answered for, nor reachable") {
    Host6 h;
    h.run({});
    const IpAddr us = h.link_local();
    h.give(icmp6(kPeer6, solicited_node(us), solicitation(us, link_address(1, kPeerMac))));
    h.give(icmp6(kPeer6, us, {128, 0, 0, 0, 0, 1, 0, 1}, 64));
    const auto frames = h.run(Duration::from_ms(1));
    CHECK(icmp6_of(frames, 136).empty());
    CHECK(icmp6_of(frames, 129).empty());
    CHECK(h.settle() == us);  // being asked for is no reason to give it up
}

TEST_CASE("RFC 4861 §7.2.4: a solicitation is answered; §7.1.1: one that is not right is not") {
    Host6 h;
    const IpAddr us = h.settle();
    const Frame slla = link_address(1, kPeerMac);
    h.give(icmp6(kPeer6, solicited_node(us), solicitation(us, slla)));
    auto out = h.run({});
    REQUIRE(out.size() == 1);
    const Frame& na = out[0];
    CHECK((na[54] == 136 && na[21] == 255));
    CHECK(na[58] == 0x60);  // solicited, override
    CHECK(take_ip(na, 22) == us);
    CHECK(take_ip(na, 38) == kPeer6);
    CHECK(take_ip(na, 62) == us);
    CHECK((na[78] == 2 && na[79] == 1));
    CHECK(std::memcmp(&na[80], kOurMac.octets.data(), 6) == 0);
    CHECK(std::memcmp(&na[0], kPeerMac.octets.data(), 6) == 0);
    CHECK(sum_is_right(na));
    // Somebody else's probe for our address: everybody is told.
    h.give(icmp6({}, solicited_node(us), solicitation(us)));
    out = h.run({});
    REQUIRE(out.size() == 1);
    CHECK(take_ip(out[0], 38) == kAllNodes);
    CHECK(out[0][58] == 0x20);
    // Each of these has one thing wrong.
    const auto with = [](Frame f, usize at, u8 v) { return f[at] = v, f; };
    const Frame good = solicitation(us, slla);
    Frame bad_sum = icmp6(kPeer6, us, good);
    bad_sum[56] ^= 1;
    Frame cut = good;
    cut.resize(20);
    const Frame wrong[] = {
        icmp6(kPeer6, us, good, 254),                           // hop limit
        icmp6(kPeer6, us, with(good, 1, 1)),                    // code
        icmp6(kPeer6, us, cut),                                 // length
        icmp6(kPeer6, us, with(good, 25, 0)),                   // option of length 0
        icmp6(kPeer6, us, with(good, 25, 2)),                   // option beyond the end
        icmp6(kPeer6, us, solicitation(ip("ff02::1"), slla)),   // multicast target
        icmp6({}, us, solicitation(us)),                        // probe not to the group
        icmp6({}, solicited_node(us), solicitation(us, slla)),  // probe with an address option
        icmp6(kFar6, us, good),                                 // not from this link
        icmp6(kPeer6, us, solicitation(ip("fe80::77"), slla)),  // for somebody else
        bad_sum,
    };
    for (const Frame& f : wrong) {
        h.give(f);
        CHECK(h.run({}).empty());
    }
    CHECK(h.stats().nd_bad == 9);
}

TEST_CASE("RFC 4861 §7.2.2: who is unknown is asked for, three times; packets wait, few, and are told of it") {
    Host6 h;
    const IpAddr us = h.settle();
    const auto s = *h.stack.udp().open({{}, 1000});
    for (int i = 0; i < 6; ++i) REQUIRE(h.stack.send_to(s, {kPeer6, 7}, text("x"), h.now));
    auto out = h.run({});
    REQUIRE(out.size() == 1);
    CHECK(out[0][54] == 135);
    CHECK(take_ip(out[0], 38) == solicited_node(kPeer6));
    CHECK(take_ip(out[0], 62) == kPeer6);
    CHECK((out[0][78] == 1 && out[0][79] == 1));
    CHECK(h.stats().nd_queue_overflow == 2);
    SECTION("answered") {
        h.give(icmp6(kPeer6, us, advertisement(kPeer6, 0x60, link_address(2, kPeerMac))));
        out = h.run({});
        REQUIRE(out.size() == 4);
        for (const Frame& f : out) {
            CHECK(std::memcmp(f.data(), kPeerMac.octets.data(), 6) == 0);
            CHECK(f[20] == 17);
            CHECK(sum_is_right(f, 54, 17));
        }
    }
    SECTION("never answered") {
        CHECK(icmp6_of(h.run(Duration::from_s(10)), 135).size() == 2);
        CHECK(h.stats().nd_unresolved == 4);
        CHECK(h.pool.free() == h.pool.total());
    }
    SECTION("an advertisement without an address, or for another, helps nobody") {
        h.give(icmp6(kPeer6, us, advertisement(kPeer6, 0x60)));
        h.give(icmp6(kPeer6, us, advertisement(ip("fe80::a"), 0x60, link_address(2, kPeerMac))));
        CHECK(h.run({}).empty());
        CHECK(h.stats().nd_ignored == 2);
    }
}

TEST_CASE("RFC 4861 §7.3: a neighbour in use is probed, and forgotten when it does not answer") {
    Host6 h;
    const IpAddr us = h.settle();
    h.introduce(kPeer6, kPeerMac, us);
    const auto s = *h.stack.udp().open({{}, 1000});
    REQUIRE(h.stack.send_to(s, {kPeer6, 7}, text("x"), h.now));
    auto out = h.run({});
    REQUIRE(out.size() == 1);  // STALE: used at once
    CHECK(out[0][20] == 17);
    out = icmp6_of(h.run(Duration::from_ms(5100)), 135);
    REQUIRE(out.size() == 1);  // DELAY is over: a unicast probe
    CHECK(take_ip(out[0], 38) == kPeer6);
    CHECK(std::memcmp(out[0].data(), kPeerMac.octets.data(), 6) == 0);
    SECTION("it answers") {
        h.give(icmp6(kPeer6, us, advertisement(kPeer6, 0x40)));
        CHECK(icmp6_of(h.run(Duration::from_s(20)), 135).empty());
    }
    SECTION("it does not") {
        CHECK(icmp6_of(h.run(Duration::from_ms(2500)), 135).size() == 2);
        h.run(Duration::from_s(1));
        REQUIRE(h.stack.send_to(s, {kPeer6, 7}, text("x"), h.now));
        out = icmp6_of(h.run(Duration::from_s(3)), 135);
        REQUIRE(!out.empty());  // asked for from the beginning
        CHECK(take_ip(out[0], 38) == solicited_node(kPeer6));
    }
    SECTION("another address without override is doubt, with it a move") {
        constexpr MacAddr kOther{{2, 0, 0, 0, 0, 0x99}};
        h.give(icmp6(kPeer6, us, advertisement(kPeer6, 0x40)));
        h.give(icmp6(kPeer6, us, advertisement(kPeer6, 0x00, link_address(2, kOther))));
        REQUIRE(h.stack.send_to(s, {kPeer6, 7}, text("x"), h.now));
        out = h.run({});
        REQUIRE(out.size() == 1);
        CHECK(std::memcmp(out[0].data(), kPeerMac.octets.data(), 6) == 0);
        h.give(icmp6(kPeer6, us, advertisement(kPeer6, 0x20, link_address(2, kOther))));
        REQUIRE(h.stack.send_to(s, {kPeer6, 7}, text("x"), h.now));
        out = h.run({});
        REQUIRE(out.size() == 1);
        CHECK(std::memcmp(out[0].data(), kOther.octets.data(), 6) == 0);
    }
}

TEST_CASE("A thousand made-up neighbours displace none that is in use") {
    Host6 h;
    const IpAddr us = h.settle();
    const auto s = *h.stack.udp().open({{}, 1000});
    h.introduce(kPeer6, kPeerMac, us);
    REQUIRE(h.stack.send_to(s, {kPeer6, 7}, text("x"), h.now));
    h.run({});
    for (u32 i = 0; i < 1000; ++i) {
        const IpAddr who = IpAddr::of(u64{0xfe80} << 48, 0x1000 + i);
        h.give(icmp6(who, solicited_node(us), solicitation(us, link_address(1, {{2, 1, 0, 0, u8(i >> 8), u8(i)}}))));
        h.output_all(h.now);
    }
    usize known = 0;
    h.stack.ipv6()->for_each_neighbour([&](const NeighbourInfo&) { ++known; });
    CHECK(known <= Ndp::kSets * Ndp::kWays);
    CHECK(h.stats().nd_evicted > 800);
    REQUIRE(h.stack.send_to(s, {kPeer6, 7}, text("x"), h.now));
    const auto out = h.run({});
    REQUIRE(out.size() == 1);
    CHECK(out[0][20] == 17);
}

TEST_CASE("What nobody asked for takes no place from a neighbour in use") {
    Statistics stats;
    Ndp ndp({1, 2}, stats);
    const Instant now{1};
    const auto neighbour = [](u32 i) { return IpAddr::of(u64{0xfe80} << 48, i); };
    std::vector<IpAddr> used;
    for (u32 i = 0; i < 400; ++i) {
        ndp.heard_of(neighbour(i), {{2, 0, 0, 0, u8(i >> 8), u8(i)}}, now);
        if (ndp.find(neighbour(i), now)) used.push_back(neighbour(i));
    }
    CHECK(used.size() == Ndp::kSets * Ndp::kWays);
    for (u32 i = 1000; i < 2000; ++i) ndp.heard_of(neighbour(i), kPeerMac, now);
    CHECK(stats.nd_ignored == 1000 + 400 - used.size());
    CHECK(stats.nd_evicted == 0);
    for (const IpAddr& a : used) CHECK(ndp.find(a, now));
}

TEST_CASE("RFC 4862 §5.5.3: addresses from prefixes, deprecated and gone in time, and not at a stranger's word") {
    Host6 h;
    const IpAddr us = h.settle_with_router();
    CHECK(same_prefix(us, kPrefix, 64));
    const auto info = [&] { return h.stack.interface().ipv6; };
    CHECK(info().routes_used == 1);
    CHECK(info().routes[0].router == kRouter6);
    CHECK(info().routes[0].length == 0);
    SECTION("deprecated after the preferred lifetime, gone after the valid one") {
        h.run(Duration::from_s(14400));
        CHECK(info().addresses[1].state == State::deprecated);
        h.run(Duration::from_s(86400 - 14400));
        CHECK(info().addresses_used == 1);
        CHECK(info().routes_used == 0);
    }
    SECTION("a valid lifetime of zero leaves two hours (e.2)") {
        h.give(from_router(router_advertisement(prefix_option(kPrefix, 64, 0xc0, 0, 0))));
        h.run(Duration::from_s(7100));
        CHECK(info().addresses_used == 2);
        CHECK(info().addresses[1].state == State::deprecated);
        h.run(Duration::from_s(200));
        CHECK(info().addresses_used == 1);
    }
    SECTION("a router that says 0 is no router any more") {
        h.give(from_router(router_advertisement({}, 0)));
        CHECK(info().routes_used == 0);
        CHECK(h.stack.connect({kFar6, 80}, h.now).error() == Error::unreachable);
    }
    SECTION("what makes no address") {
        const Frame none[] = {
            prefix_option(ip("fe80::")),            // link-local
            prefix_option(ip("ff0e::")),            // multicast
            prefix_option(ip("2001:db8:9::"), 63),  // not 64
            prefix_option(ip("2001:db8:9::"), 129),
            prefix_option(ip("2001:db8:9::"), 64, 0x80),          // not autonomous
            prefix_option(ip("2001:db8:9::"), 64, 0xc0, 10, 20),  // preferred longer than valid
            prefix_option(ip("2001:db8:9::"), 64, 0xc0, 0, 0),
        };
        for (const Frame& o : none) h.give(from_router(router_advertisement(o)));
        h.give(from_router(router_advertisement(prefix_option(ip("2001:db8:a::"))), 64));  // hop limit
        h.give(icmp6(ip("2001:db8:1:2::9"), kAllNodes, router_advertisement(prefix_option(ip("2001:db8:b::")))));
        h.run(Duration::from_s(3));
        CHECK(info().addresses_used == 2);
        CHECK(h.stats().nd_bad == 2);
    }
    SECTION("the MTU option: within 1280 and the link's") {
        const auto mtu = [&](u32 v) {
            Frame o{5, 1, 0, 0, 0, 0, 0, 0};
            put32(o, 4, v);
            h.give(from_router(router_advertisement(o)));
            return h.stack.ipv6()->path_mtu(kFar6, h.now);
        };
        CHECK(mtu(1279) == 1500);
        CHECK(mtu(9000) == 1500);
        CHECK(mtu(1400) == 1400);
    }
}

TEST_CASE("RFC 8106: DNS servers from advertisements, bounded and mortal") {
    Host6 h;
    h.settle();
    const auto rdnss = [](std::initializer_list<const char*> servers, u32 lifetime) {
        Frame o{25, u8(1 + 2 * servers.size()), 0, 0, 0, 0, 0, 0};
        put32(o, 4, lifetime);
        for (const char* s : servers) append(o, ip(s));
        return o;
    };
    const auto info = [&] { return h.stack.interface().ipv6; };
    h.give(from_router(router_advertisement(rdnss({"2001:db8::53", "fe80::53"}, 100))));
    REQUIRE(info().dns_used == 2);
    CHECK(info().dns[0] == ip("2001:db8::53"));
    h.give(
        from_router(router_advertisement(rdnss({"2001:db8::1", "2001:db8::2", "2001:db8::3", "::", "ff02::1"}, 200))));
    CHECK(info().dns_used == 4);
    CHECK(h.stats().nd_too_many == 1);
    h.give(from_router(router_advertisement(rdnss({"2001:db8::53"}, 0))));
    h.run({});
    CHECK(info().dns_used == 3);
    Frame odd = rdnss({"2001:db8::77"}, 100);  // half an address
    odd[1] = 4;
    odd.resize(32);
    h.give(from_router(router_advertisement(odd)));
    CHECK(info().dns_used == 3);
    h.run(Duration::from_s(101));
    CHECK(info().dns_used == 2);
    h.run(Duration::from_s(100));
    CHECK(info().dns_used == 0);
}

TEST_CASE("A flood of router advertisements costs a bounded amount, and the first router stays") {
    Host6 h;
    const IpAddr us = h.settle_with_router();
    for (u32 i = 0; i < 2000; ++i) {
        const IpAddr router = IpAddr::of(u64{0xfe80} << 48, 0x5000 + i);
        Frame o = prefix_option(IpAddr::of(u64{0x2001'0db8} << 32 | (0x8000'0000 + i), 0));
        append(o, route_option(IpAddr::of(u64{0x2001'0db8} << 32 | (0x9000'0000 + i), 0), 64));
        append(o, link_address(1, {{2, 2, 0, 0, u8(i >> 8), u8(i)}}));
        h.give(icmp6(router, kAllNodes, router_advertisement(o)));
        h.output_all(h.now);
    }
    h.run(Duration::from_s(5));
    const auto info = h.stack.interface().ipv6;
    CHECK(info.addresses_used == Slaac::kAddresses);
    CHECK(info.addresses[1].address == us);
    CHECK(info.addresses[1].state == State::preferred);
    CHECK(info.routes_used == Slaac::kRoutes);
    CHECK(std::ranges::count(info.routes, 0, &Ipv6Route::length) == Slaac::kRouters);
    CHECK(info.routes[0].router == kRouter6);
    CHECK(h.stats().nd_too_many > 2000);
}

TEST_CASE("RFC 6724 §5: the source address") {
    Statistics stats;
    Slaac slaac({1, 2}, {3, 4}, stats);
    Instant now{1};
    const auto run = [&](Duration d) {
        for (const Instant end = now + d; now < end; now = now + Duration::from_ms(100)) {
            slaac.poll(now);
            while (slaac.next_request(now)) {
            }
        }
    };
    slaac.start(kOurMac, {}, now);
    run(Duration::from_s(3));
    CHECK_FALSE(slaac.source_for(kFar6));  // a link-local address cannot be answered from there
    CHECK(slaac.source_for(kPeer6) == slaac.link_local());
    CHECK(slaac.source_for(kAllNodes) == slaac.link_local());
    Frame options = prefix_option(ip("2001:db8:1::"));
    append(options, prefix_option(ip("2001:db8:2::")));
    append(options, prefix_option(ip("fd00:1::")));
    append(options, prefix_option(ip("2001:db8:3::"), 64, 0xc0, 9000, 0));  // deprecated from the beginning
    slaac.on_router_advertisement(kRouter6, bytes_of(router_advertisement(options)), 1500, now);
    run(Duration::from_s(3));
    const auto source = [&](const char* to) { return slaac.source_for(ip(to)).value_or(IpAddr{}); };
    const auto from = [&](const char* prefix) {
        for (const auto& a : slaac.addresses())
            if (same_prefix(a.info.address, ip(prefix), 64)) return a.info.address;
        return IpAddr{};
    };
    CHECK(source("fe80::1") == from("fe80::"));              // rule 2: scope
    CHECK(source("2001:db8:1::5") == from("2001:db8:1::"));  // rule 8: longest prefix
    CHECK(source("2001:db8:2::5") == from("2001:db8:2::"));
    CHECK(source("2001:db8:3::5") != from("2001:db8:3::"));                 // rule 3: deprecated
    CHECK(source("fd00:9::5") == from("fd00:1::"));                         // rule 6: label
    CHECK(slaac.source_for(from("2001:db8:3::")) == from("2001:db8:3::"));  // rule 1: the same
}

TEST_CASE("RFC 4861 §6.3.6, RFC 4191: the better router, and another when it is silent") {
    Host6 h;
    h.settle_with_router();
    const IpAddr other = ip("fe80::fd");
    constexpr MacAddr kOtherMac{{2, 0, 0, 0, 0, 0xfd}};
    const auto hop = [&] { return h.hop_to(kFar6); };
    CHECK(hop() == kRouterMac);
    h.give(icmp6(other, kAllNodes, router_advertisement(link_address(1, kOtherMac), 1800, 0x08), 255, kOtherMac));
    CHECK(hop() == kOtherMac);    // high preference
    h.run(Duration::from_s(10));  // it does not answer the probe
    h.give(from_router(router_advertisement(link_address(1, kRouterMac))));
    CHECK(hop() == kRouterMac);
    // A router that says it is none is dropped at once (§7.2.5).
    h.give(icmp6(kRouter6, h.link_local(), advertisement(kRouter6, 0x40), 255, kRouterMac));
    CHECK(h.stack.interface().ipv6.routes_used == 1);
}

TEST_CASE("RFC 4191 §3: more specific routes") {
    Statistics stats;
    Ndp ndp({5, 6}, stats);
    Slaac slaac({1, 2}, {3, 4}, stats);
    Instant now{1};
    const IpAddr a = ip("fe80::a"), b = ip("fe80::b"), c = ip("fe80::c");
    const auto say = [&](const IpAddr& router, const Frame& options, u16 lifetime = 0, u8 flags = 0) {
        slaac.on_router_advertisement(router, bytes_of(router_advertisement(options, lifetime, flags)), 1500, now);
    };
    const auto hop = [&](const char* to) { return slaac.next_hop(ip(to), ndp, now).value_or(IpAddr{}); };
    slaac.start(kOurMac, {}, now);
    say(a, {}, 1800);
    say(b, route_option(ip("2001:db8:b::"), 48, 600));
    CHECK(hop("2001:db8:b::1") == b);  // the longer prefix, of a router that is none for the rest
    CHECK(hop("2001:db8:c::1") == a);
    CHECK(slaac.is_router(b));
    CHECK(slaac.route_length(ip("2001:db8:b::1"), ndp, now) == 48);
    CHECK(slaac.route_length(ip("2001:db8:c::1"), ndp, now) == 0);

    SECTION("of equal length the preferred one") {
        say(c, route_option(ip("2001:db8:b::"), 48, 600, 0x18));
        CHECK(hop("2001:db8:b::1") == b);
        say(c, route_option(ip("2001:db8:b::"), 48, 600, 0x08));
        CHECK(hop("2001:db8:b::1") == c);
        say(c, route_option(ip("2001:db8:b:1::"), 64, 600, 0x18));
        say(b, route_option(ip("2001:db8:b::"), 48, 600, 0x08));
        CHECK(hop("2001:db8:b:1::5") == c);  // length before preference
        CHECK(hop("2001:db8:b:2::5") == b);  // of equals the first
        CHECK(slaac.route_length(ip("2001:db8:b:1::5"), ndp, now) == 64);
    }
    SECTION("they end with their time, or when they are told to") {
        now = now + Duration::from_s(599);
        slaac.poll(now);
        CHECK(hop("2001:db8:b::1") == b);
        now = now + Duration::from_s(1);
        slaac.poll(now);
        CHECK(hop("2001:db8:b::1") == a);
        CHECK_FALSE(slaac.is_router(b));
        say(b, route_option(ip("2001:db8:b::"), 48, ~u32{0}));
        now = now + Duration::from_s(1000);
        slaac.poll(now);
        CHECK(hop("2001:db8:b::1") == b);  // for ever
        say(b, route_option(ip("2001:db8:b::"), 48, 0));
        CHECK(hop("2001:db8:b::1") == a);
    }
    SECTION("a router's lifetime is not that of its routes; a host's are all void") {
        say(a, route_option(ip("2001:db8:a::"), 48), 0);
        CHECK(hop("2001:db8:c::1") == IpAddr{});
        CHECK(hop("2001:db8:a::1") == a);
        slaac.forget_router(a);
        CHECK(hop("2001:db8:a::1") == IpAddr{});
    }
    SECTION("one of length 0 overrides the header") {
        say(c, route_option({}, 0, 600, 0x08, 1), 1800, 0x18);
        CHECK(hop("2001:db8:c::1") == c);
        say(c, route_option({}, 0, 0, 0x08, 2), 1800);
        CHECK(hop("2001:db8:c::1") == a);
    }
    SECTION("only the first bits count, whatever else is in it") {
        say(c, route_option(ip("2001:db8:d::77"), 48, 600, 0, 2));  // 8 bytes of prefix
        CHECK(hop("2001:db8:d:5::1") == c);
        say(c, route_option(ip("2001:db8:d::99"), 48, 0, 0, 3));  // the same one
        CHECK(hop("2001:db8:d:5::1") == a);
        say(c, route_option(ip("2001:db8:e::77"), 127));
        CHECK(hop("2001:db8:e::76") == c);
        CHECK(hop("2001:db8:e::78") == a);
    }
    SECTION("what makes no sense is ignored") {
        say(c, route_option(ip("2001:db8:b::"), 64, 600, 0x10));      // preference 10
        say(c, route_option(ip("2001:db8:b::"), 65, 600, 0x08, 2));   // more bits than it has
        say(c, route_option({}, 1, 600, 0x08, 1));                    // likewise
        say(c, route_option(ip("2001:db8:b::"), 129, 600, 0x08, 3));  // more than there are
        say(c, route_option(ip("2001:db8:b::"), 64, 600, 0x08, 4));   // too long
        say(c, route_option(ip("fe80::"), 64, 600, 0x08));
        say(c, route_option(ip("ff00::"), 8, 600, 0x08));
        CHECK_FALSE(slaac.is_router(c));
        CHECK(hop("2001:db8:b::1") == b);
    }
}

TEST_CASE("RFC 4191 §3.2: a route by a router that does not answer is passed over") {
    Host6 h;
    h.settle_with_router();
    const IpAddr other = ip("fe80::fd");
    constexpr MacAddr kOtherMac{{2, 0, 0, 0, 0, 0xfd}};
    Frame options = link_address(1, kOtherMac);
    append(options, route_option(kFar6, 64));
    h.give(icmp6(other, kAllNodes, router_advertisement(options, 0), 255, kOtherMac));
    const auto hop = [&] { return h.hop_to(kFar6); };
    CHECK(hop() == kOtherMac);
    h.run(Duration::from_s(10));
    h.give(from_router(router_advertisement(link_address(1, kRouterMac))));
    CHECK(hop() == kRouterMac);
}

TEST_CASE("RFC 4861 §8: redirects are believed from our router alone") {
    Host6 h;
    const IpAddr us = h.settle_with_router();
    const IpAddr better = ip("fe80::bb");
    constexpr MacAddr kBetterMac{{2, 0, 0, 0, 0, 0xbb}};
    const auto redirect = [&](const IpAddr& target, const IpAddr& destination, u8 code = 0) {
        Frame f{137, code, 0, 0, 0, 0, 0, 0};
        append(f, target);
        append(f, destination);
        append(f, link_address(2, kBetterMac));
        return f;
    };
    const auto s = *h.stack.udp().open({{}, 1000});
    const auto hop = [&] {
        REQUIRE(h.stack.send_to(s, {kFar6, 7}, text("x"), h.now));
        const auto out = h.run({});
        return out.empty() ? MacAddr{} : *read_at<MacAddr>(bytes_of(out[0]), 0);
    };
    const Frame wrong[] = {
        icmp6(kPeer6, us, redirect(better, kFar6)),                                 // not our router
        icmp6(kRouter6, us, redirect(better, kFar6), 254, kRouterMac),              // hop limit
        icmp6(kRouter6, us, redirect(better, kFar6, 1), 255, kRouterMac),           // code
        icmp6(kRouter6, us, redirect(better, ip("ff0e::1")), 255, kRouterMac),      // multicast destination
        icmp6(kRouter6, us, redirect(ip("2001:db8::bb"), kFar6), 255, kRouterMac),  // target neither router nor itself
        icmp6(kRouter6, us, redirect(us, kFar6), 255, kRouterMac),                  // we are not the way
        icmp6(kRouter6, us, redirect(better, us), 255, kRouterMac),
    };
    for (const Frame& f : wrong) h.give(f);
    CHECK(hop() == kRouterMac);
    CHECK(h.stats().nd_bad == std::size(wrong));
    h.give(icmp6(kRouter6, us, redirect(better, kFar6), 255, kRouterMac));
    CHECK(h.stats().nd_redirects == 1);
    CHECK(hop() == kBetterMac);
    h.run(Duration::from_s(601));  // not for ever
    h.introduce(kRouter6, kRouterMac, h.link_local());
    CHECK(hop() == kRouterMac);
}

TEST_CASE("RFC 4443: echo, both ways") {
    Host6 h;
    const IpAddr us = h.settle();
    h.introduce(kPeer6, kPeerMac, us);
    for (usize n : {0u, 1u, 57u, 1452u}) {
        Frame echo{128, 0, 0, 0, 0, 7, 0, u8(n)};
        for (usize i = 0; i < n; ++i) echo.push_back(u8(i * 5));
        h.give(icmp6(kPeer6, us, echo, 64));
        const auto out = h.run({});
        REQUIRE(out.size() == 1);
        CHECK(out[0][54] == 129);
        CHECK(sum_is_right(out[0]));
        CHECK(std::equal(out[0].begin() + 58, out[0].end(), echo.begin() + 4));
    }
    // Groups are not answered.
    h.give(icmp6(kPeer6, kAllNodes, {128, 0, 0, 0, 0, 1, 0, 1}, 64));
    CHECK(h.run({}).empty());
    const u32 id = *h.stack.ping(kPeer6, 100, h.now);
    CHECK(h.stack.ping_result(id).error() == Error::would_block);
    auto out = h.run({});
    REQUIRE(out.size() == 1);
    CHECK(out[0][54] == 128);
    CHECK(sum_is_right(out[0]));
    Frame reply(out[0].begin() + 54, out[0].end());
    reply[0] = 129;
    h.now = h.now + Duration::from_ms(3);
    h.give(icmp6(ip("fe80::8"), us, reply, 60));  // from somebody else
    CHECK(h.stack.ping_result(id).error() == Error::would_block);
    h.give(icmp6(kPeer6, us, reply, 60));
    const auto r = h.stack.ping_result(id);
    REQUIRE(r);
    CHECK((r->bytes == 100 && r->ttl == 60 && r->round_trip == Duration::from_ms(3)));
    CHECK(h.stack.ping(kFar6, 10, h.now).error() == Error::unreachable);
    CHECK(h.stack.ping(kPeer6, 1453, h.now).error() == Error::too_large);
}

TEST_CASE("::1 and our own addresses go round inside") {
    Host6 h;
    const IpAddr us = h.settle();
    for (const IpAddr& to : {ip("::1"), us}) {
        const u32 id = *h.stack.ping(to, 10, h.now);
        CHECK(h.run({}).empty());
        CHECK(h.stack.ping_result(id));
    }
    // From outside ::1 is nobody, and nobody is ::1.
    h.give(icmp6(kPeer6, ip("::1"), {128, 0, 0, 0, 0, 1, 0, 1}, 64));
    h.give(icmp6(ip("::1"), us, {128, 0, 0, 0, 0, 1, 0, 1}, 64));
    h.give(icmp6(us, us, {128, 0, 0, 0, 0, 1, 0, 1}, 64));
    h.give(icmp6(ip("::ffff:10.0.0.1"), us, {128, 0, 0, 0, 0, 1, 0, 1}, 64));  // the mapped form on the wire
    CHECK(h.run({}).empty());
    CHECK(h.stats().ip6_bad_source == 3);
    CHECK(h.stats().ip6_not_ours == 1);
}

TEST_CASE("RFC 8200: headers that lie are dropped and counted") {
    Host6 h;
    const IpAddr us = h.settle();
    const Frame good = icmp6(kPeer6, us, {128, 0, 0, 0, 0, 1, 0, 1}, 64);
    for (usize n = 14; n < good.size(); ++n) h.give(Frame(good.begin(), good.begin() + long(n)));
    Frame f = good;
    f[14] = 0x40;
    h.give(f);
    f = good;
    put16(f, 18, 9);
    h.give(f);
    f = good;
    put16(f, 18, 0xffff);
    h.give(f);
    f = good;
    f[5] ^= 1;  // another host's hardware address
    h.give(f);
    f = good;
    std::memcpy(f.data(), MacAddr::broadcast().octets.data(), 6);  // unicast in a broadcast frame
    h.give(f);
    CHECK(h.run({}).empty());
    CHECK(h.stats().ip6_bad_header == 41);
    CHECK(h.stats().ip6_bad_length == 10);
    CHECK(h.stats().icmp_echo_in == 0);
    h.give(good);
    CHECK(icmp6_of(h.run({}), 135).size() == 1);  // the reply waits for the neighbour
}

TEST_CASE("UDP and TCP over IPv6 between two hosts; one listener serves both families") {
    const auto offloads = GENERATE(Offloads{}, Offloads{.tx_checksum = true, .rx_checksum = true});
    Pair net(Host6::config6(1, offloads), Host6::config6(2, offloads));
    net.advance(Duration::from_s(3));
    const IpAddr b = net.b.stack.interface().ipv6.addresses[0].address;
    SECTION("UDP") {
        const auto client = *net.a.stack.udp().open({{}, 0});
        const auto server = *net.b.stack.udp().open({{}, 7});
        const auto only4 = *net.b.stack.udp().open({Ipv4Addr{}, 8});
        REQUIRE(net.a.stack.send_to(client, {b, 7}, text("hello"), net.now));
        REQUIRE(net.a.stack.send_to(client, {Ipv4Addr::of(10, 0, 0, 2), 7}, text("four"), net.now));
        REQUIRE(net.a.stack.send_to(client, {b, 8}, text("no"), net.now));
        net.settle();
        std::byte buffer[16];
        auto r = net.b.stack.udp().receive_from(server, buffer);
        REQUIRE(r);
        auto r2 = net.b.stack.udp().receive_from(server, buffer);
        REQUIRE(r2);
        if (r->from.address.is_ipv4()) std::swap(r, r2);
        CHECK(r->size == 5);
        CHECK(r->from.address == net.a.stack.interface().ipv6.addresses[0].address);
        CHECK(r2->from.address == IpAddr(Ipv4Addr::of(10, 0, 0, 1)));
        CHECK(net.b.stack.udp().receive_from(only4, buffer).error() == Error::would_block);
        CHECK(net.b.stack.send_to(only4, {b, 9}, text("x"), net.now).error() == Error::invalid);
        REQUIRE(net.b.stack.send_to(server, r->from, text("answer"), net.now));
        net.settle();
        CHECK(net.a.stack.udp().receive_from(client, buffer).error() == Error::connection_refused);  // port 8
        const auto answer = net.a.stack.udp().receive_from(client, buffer);
        REQUIRE(answer);
        CHECK(answer->from == Endpoint{b, 7, 1});  // link-local: it comes with its interface
    }
    SECTION("TCP") {
        const auto listener = *net.b.stack.tcp().listen({{}, 80}, 8);
        for (const IpAddr& to : {b, IpAddr(Ipv4Addr::of(10, 0, 0, 2))}) {
            const auto c = *net.a.stack.connect({to, 80}, net.now);
            net.settle();
            const auto s = net.b.stack.tcp().accept(listener);
            REQUIRE(s);
            CHECK(net.b.stack.tcp().info(*s)->local == Endpoint{to, 80});
            CHECK(net.a.stack.tcp().info(c)->mss == (to.is_ipv4() ? 1448 : 1428));
            std::vector<std::byte> data(100'000), got;
            for (usize i = 0; i < data.size(); ++i) data[i] = std::byte(i * 7 >> 3);
            usize sent = 0;
            while (got.size() < data.size()) {
                if (sent < data.size())
                    if (const auto n = net.a.stack.tcp().write(c, Bytes(data).subspan(sent), net.now)) sent += *n;
                net.advance(Duration::from_ms(5));
                std::byte buffer[8192];
                while (const auto n = net.b.stack.tcp().read(*s, buffer, net.now)) {
                    REQUIRE(*n != 0);
                    got.insert(got.end(), buffer, buffer + *n);
                }
            }
            CHECK(got == data);
            net.a.stack.tcp().abort(c, net.now);
            net.settle();
            net.b.stack.tcp().close(*s, net.now);
        }
        const auto refused = *net.a.stack.connect({b, 81}, net.now);
        net.settle();
        CHECK(net.a.stack.tcp().readiness(refused).error == Error::connection_refused);
    }
}
