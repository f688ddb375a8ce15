// Which way an IPv4 packet goes: the longest prefix, from the configuration, from DHCP, and at run time.
#include "fixture.hpp"

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

constexpr Ipv4Addr kGateway = Ipv4Addr::of(10, 0, 0, 254), kR1 = Ipv4Addr::of(10, 0, 0, 11),
                   kR2 = Ipv4Addr::of(10, 0, 0, 12), kNet = Ipv4Addr::of(192, 168, 0, 0);

RouteInfo via(Ipv4Addr destination, u8 prefix, Ipv4Addr router, u16 metric = 0) {
    return {{destination, prefix, router}, metric};
}
/// Whom a packet to `to` makes us ask for: the next hop.
Ipv4Addr asked(Host& h, Ipv4Addr to) {
    static Instant now{1};
    now = now + Duration::from_s(400);  // nothing is known any more
    h.stack.poll(now);
    h.output_all(now);
    const auto s = *h.stack.udp().open({{}, 0});
    Ipv4Addr who;
    if (h.stack.send_to(s, {to, 9}, bytes_of(Frame{1}), now))
        for (const Frame& f : h.output_all(now))
            if (take16(f, 12) == 0x0806 && take32(f, 38) != kOurs.value) who = {take32(f, 38)};
    h.stack.udp().close(s);
    for (int i = 0; i < 6; ++i) {
        now = now + Duration::from_s(1);
        h.stack.poll(now);
        h.output_all(now);
    }
    return who;
}

}  // namespace

TEST_CASE("Routes: the longest prefix wins, then the smaller metric; the gateway is last") {
    StackConfig c = Host::config(1);
    c.routes.try_push_back(via(kNet, 16, kR1));
    c.routes.try_push_back(via(Ipv4Addr::of(192, 168, 7, 0), 24, kR2, 5));
    c.routes.try_push_back(via(Ipv4Addr::of(192, 168, 7, 1), 24, kR2));  // no network: left out
    Host h(c);
    CHECK(asked(h, Ipv4Addr::of(192, 168, 1, 1)) == kR1);
    CHECK(asked(h, Ipv4Addr::of(192, 168, 7, 1)) == kR2);
    CHECK(asked(h, Ipv4Addr::of(8, 8, 8, 8)) == kGateway);
    CHECK(asked(h, Ipv4Addr::of(10, 0, 0, 77)) == Ipv4Addr::of(10, 0, 0, 77));
    REQUIRE(h.stack.add_route(via(Ipv4Addr::of(192, 168, 7, 0), 24, kR1, 4)));
    CHECK(asked(h, Ipv4Addr::of(192, 168, 7, 1)) == kR1);
    REQUIRE(h.stack.remove_route(Ipv4Addr::of(192, 168, 7, 0), 24));
    CHECK(asked(h, Ipv4Addr::of(192, 168, 7, 1)) == kR2);
    // A default route of its own, before the gateway; a host within our own network, and one that is on the link.
    REQUIRE(h.stack.add_route(via({}, 0, kR2)));
    CHECK(asked(h, Ipv4Addr::of(8, 8, 8, 8)) == kR2);
    CHECK(asked(h, Ipv4Addr::of(10, 0, 0, 77)) == Ipv4Addr::of(10, 0, 0, 77));
    REQUIRE(h.stack.add_route(via(Ipv4Addr::of(10, 0, 0, 77), 32, kR1)));
    CHECK(asked(h, Ipv4Addr::of(10, 0, 0, 77)) == kR1);
    REQUIRE(h.stack.add_route(via(Ipv4Addr::of(172, 16, 0, 0), 12, {})));
    CHECK(asked(h, Ipv4Addr::of(172, 16, 5, 5)) == Ipv4Addr::of(172, 16, 5, 5));
    // Shorter than our own network's: that is more to the point.
    REQUIRE(h.stack.add_route(via(Ipv4Addr::of(10, 0, 0, 0), 8, kR1)));
    CHECK(asked(h, Ipv4Addr::of(10, 0, 0, 78)) == Ipv4Addr::of(10, 0, 0, 78));
    CHECK(asked(h, Ipv4Addr::of(10, 9, 0, 78)) == kR1);
    // A router that nobody could be asked for is passed over.
    REQUIRE(h.stack.add_route(via(Ipv4Addr::of(9, 0, 0, 0), 8, Ipv4Addr::of(99, 0, 0, 1))));
    CHECK(asked(h, Ipv4Addr::of(9, 1, 1, 1)) == kR2);
    // Our own broadcast address goes to all, whatever a route says.
    REQUIRE(h.stack.add_route(via(Ipv4Addr::of(10, 0, 0, 255), 32, kR1)));
    CHECK(asked(h, Ipv4Addr::of(10, 0, 0, 255)).is_unspecified());
}

TEST_CASE("Routes: an answer from a neighbour beyond our own network is believed when it was asked for") {
    Host h(1);
    h.stack.poll({});
    h.output_all({});
    REQUIRE(h.stack.add_route(via(Ipv4Addr::of(172, 16, 0, 0), 12, {})));
    const Ipv4Addr far = Ipv4Addr::of(172, 16, 5, 5), unasked = Ipv4Addr::of(172, 16, 5, 6);
    const auto s = *h.stack.udp().open({{}, 0});
    REQUIRE(h.stack.send_to(s, {far, 9}, bytes_of(Frame{1}), {}));
    h.output_all({});
    for (const Ipv4Addr who : {unasked, far})
        h.input(ethernet(kOurMac, kPeerMac, 0x0806, arp(2, kPeerMac, who, kOurMac, kOurs)), {});
    const auto out = h.output_all({});
    REQUIRE(out.size() == 1);
    CHECK(take32(out[0], 30) == far.value);
    CHECK(std::memcmp(out[0].data(), kPeerMac.octets.data(), 6) == 0);
    usize known = 0;
    h.stack.arp().for_each([&](const NeighbourInfo&) { ++known; });
    CHECK(known == 1);
}

TEST_CASE("Routes: bounded, and nonsense is refused") {
    Host h(1);
    CHECK(h.stack.add_route(via(kNet, 33, kR1)).error() == Error::invalid);
    CHECK(h.stack.add_route(via(kNet, 15, {})).has_value());
    CHECK(h.stack.add_route(via(Ipv4Addr::of(192, 168, 0, 1), 31, kR1)).error() == Error::invalid);
    CHECK(h.stack.add_route(via({}, 0, {})).error() == Error::invalid);
    CHECK(h.stack.add_route(via(kNet, 16, Ipv4Addr::of(224, 0, 0, 1))).error() == Error::invalid);
    CHECK(h.stack.add_route(via(Ipv4Addr::of(127, 0, 0, 0), 8, kR1)).error() == Error::invalid);
    CHECK(h.stack.add_route(via(kNet, 15, kR2)).error() == Error::exists);
    for (u8 i = 1; i < StackConfig::kRoutes; ++i) REQUIRE(h.stack.add_route(via(Ipv4Addr::of(1, i, 0, 0), 16, kR1)));
    CHECK(h.stack.add_route(via(kNet, 16, kR1)).error() == Error::no_space);
    CHECK(h.stack.remove_route(kNet, 16).error() == Error::not_found);
    REQUIRE(h.stack.remove_route(kNet, 15));
    CHECK(h.stack.add_route(via(kNet, 16, kR1)));
    u8 before = 32;
    for (const RouteInfo& r : h.stack.routes()) {
        CHECK(r.route.prefix <= before);
        before = r.route.prefix;
    }
}

TEST_CASE("Routes: an interface's own come and go with its address, behind what was configured") {
    Routes r;
    NetworkHints hints;
    hints.routes.try_push_back({kNet, 16, kR2});
    hints.routes.try_push_back({Ipv4Addr::of(192, 168, 9, 0), 24, kR2});
    const Ipv4Config self{kOurs, 24, kGateway, {}}, other{Ipv4Addr::of(10, 1, 0, 2), 24, Ipv4Addr::of(10, 1, 0, 1), {}};
    const auto router = [&](Ipv4Addr to) {
        const RouteInfo* e = r.find(to, [](const RouteInfo&) { return true; });
        return e == nullptr ? kOurs : e->route.router;
    };
    r.set_interface(1, other, nullptr);
    r.set_interface(0, self, &hints);
    REQUIRE(r.add(via(kNet, 16, kR1)));
    CHECK(router(Ipv4Addr::of(192, 168, 1, 1)) == kR1);
    CHECK(router(Ipv4Addr::of(192, 168, 9, 1)) == kR2);
    CHECK(router(Ipv4Addr::of(10, 0, 0, 9)).is_unspecified());
    CHECK(router(Ipv4Addr::of(9, 9, 9, 9)) == kGateway);  // of the interface with the lower number
    CHECK(r.remove(Ipv4Addr::of(192, 168, 9, 0), 24).error() == Error::not_found);  // not ours to remove
    hints.routes.clear();
    r.set_interface(0, self, &hints);
    CHECK(router(Ipv4Addr::of(192, 168, 9, 1)) == kR1);
    REQUIRE(r.remove(kNet, 16));
    r.set_interface(0, {}, nullptr);
    CHECK(router(Ipv4Addr::of(9, 9, 9, 9)) == other.gateway);
    r.set_interface(1, {}, nullptr);
    CHECK(r.begin() == r.end());
}
