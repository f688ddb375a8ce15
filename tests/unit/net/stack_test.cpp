// The stack from outside: ARP, ICMP, UDP, IPv4's refusals, loopback, TCP through it; virtual time, two hosts on a wire.
#include "fixture.hpp"

#include <random>

#include "net/pump.hpp"

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

Bytes text(std::string_view s) {
    return std::as_bytes(std::span(s));
}

Frame to_us(u8 protocol, const Frame& payload) {
    return ethernet(kOurMac, kPeerMac, 0x0800, ipv4(protocol, kPeer, kOurs, payload));
}

}  // namespace

TEST_CASE("arp: announces itself, answers only for its own address") {
    Host h(1);
    h.stack.poll({});
    auto out = h.output_all({});
    REQUIRE(out.size() == 1);
    CHECK(take16(out[0], 12) == 0x0806);
    CHECK(take32(out[0], 28) == kOurs.value);
    CHECK(take32(out[0], 38) == kOurs.value);
    h.input(ethernet(MacAddr::broadcast(), kPeerMac, 0x0806, arp(1, kPeerMac, kPeer, {}, Ipv4Addr::of(10, 0, 0, 77))),
            {});
    CHECK(h.output_all({}).empty());
    h.input(ethernet(MacAddr::broadcast(), kPeerMac, 0x0806, arp(1, kPeerMac, kPeer, {}, kOurs)), {});
    out = h.output_all({});
    REQUIRE(out.size() == 1);
    CHECK(take16(out[0], 20) == 2);
    CHECK(std::memcmp(out[0].data(), kPeerMac.octets.data(), 6) == 0);
    CHECK(std::memcmp(out[0].data() + 22, kOurMac.octets.data(), 6) == 0);
}

TEST_CASE("a new hardware address is told to the neighbours and used from then on") {
    Host h(1);
    introduce_peer(h, {});
    const Instant now = Instant{} + Duration::from_s(10);
    h.stack.poll(now);
    h.output_all(now);
    for (const MacAddr same : {kOurMac, MacAddr{}, MacAddr{{1, 0, 0x5e, 0, 0, 1}}}) h.stack.set_mac(same, now);
    h.stack.poll(now);
    CHECK(h.output_all(now).empty());
    constexpr MacAddr kNew{{2, 9, 9, 9, 9, 9}};
    h.stack.set_mac(kNew, now);
    CHECK(h.stack.interface().mac == kNew);
    h.stack.poll(now);
    auto out = h.output_all(now);
    REQUIRE(out.size() == 1);
    CHECK(take16(out[0], 12) == 0x0806);
    CHECK(take32(out[0], 28) == take32(out[0], 38));
    CHECK(std::memcmp(out[0].data() + 6, kNew.octets.data(), 6) == 0);
    CHECK(std::memcmp(out[0].data() + 22, kNew.octets.data(), 6) == 0);
    // The old address is not ours any more, the new one is.
    for (const MacAddr to : {kOurMac, kNew}) {
        h.input(ethernet(to, kPeerMac, 0x0806, arp(1, kPeerMac, kPeer, {}, kOurs)), now);
        out = h.output_all(now);
        REQUIRE(out.size() == (to == kNew ? 1u : 0u));
    }
    CHECK(std::memcmp(out[0].data() + 6, kNew.octets.data(), 6) == 0);
}

TEST_CASE("arp: learns from nobody it did not ask, notices a conflict, defends once") {
    Host h(1);
    introduce_peer(h, {});
    // An unasked reply from a stranger is not remembered.
    h.input(ethernet(kOurMac, kPeerMac, 0x0806, arp(2, kPeerMac, Ipv4Addr::of(10, 0, 0, 50), kOurMac, kOurs)), {});
    usize known = 0;
    h.stack.arp().for_each([&](const NeighbourInfo& n) {
        known += n.resolved;
        CHECK(n.address == kPeer);
    });
    CHECK(known == 1);
    // Multicast, zero and our own hardware address as sender are garbage.
    for (MacAddr bad : {MacAddr{{3, 0, 0, 0, 0, 1}}, MacAddr{}, kOurMac})
        h.input(ethernet(kOurMac, kPeerMac, 0x0806, arp(1, bad, Ipv4Addr::of(10, 0, 0, 51), {}, kOurs)), {});
    CHECK(h.stack.statistics().arp_bad == 3);
    CHECK(h.output_all({}).empty());
    const Instant later = Instant{} + Duration::from_s(30);
    for (int i = 0; i < 5; ++i) h.input(ethernet(kOurMac, kPeerMac, 0x0806, arp(1, kPeerMac, kOurs, {}, kOurs)), later);
    CHECK(h.stack.statistics().arp_conflicts == 5);
    CHECK(h.output_all(later).size() == 1);
}

TEST_CASE("arp: forged neighbours do not displace those that are in use") {
    Host h(1);
    introduce_peer(h, {});
    const auto s = *h.stack.udp().open({{}, 1000});
    Instant now{1};
    const auto says_hello = [&](Ipv4Addr who, const MacAddr& mac) {
        h.input(ethernet(MacAddr::broadcast(), mac, 0x0806, arp(1, mac, who, {}, kOurs)), now);
        (void)h.output_all(now);
    };
    const auto is_asked_for = [&](Ipv4Addr who) {
        REQUIRE(h.stack.send_to(s, {who, 7}, text("x"), now));
        const auto out = h.output_all(now);
        REQUIRE(out.size() == 1);
        return take16(out[0], 12) == 0x0806;
    };
    std::vector<Ipv4Addr> used;  // a whole set of the cache
    for (u32 i = 0; i < Arp::kWays; ++i) used.push_back({kPeer.value + i * u32{Arp::kSets}});
    for (const Ipv4Addr a : used) {
        says_hello(a, kPeerMac);
        CHECK_FALSE(is_asked_for(a));
    }
    for (u32 i = 0; i < 600; ++i) {
        const Ipv4Addr made_up = Ipv4Addr::of(10, 0, 0, static_cast<u8>(1 + i % 250));
        if (made_up == kOurs || std::ranges::find(used, made_up) != used.end()) continue;
        says_hello(made_up, {{2, 0, 0, 1, static_cast<u8>(i >> 8), static_cast<u8>(i)}});
        now = now + Duration::from_ms(10);
    }
    CHECK(h.stack.statistics().arp_evicted != 0);  // of each other
    for (const Ipv4Addr a : used) CHECK_FALSE(is_asked_for(a));
    // What nobody has written to for a while makes room.
    now = now + Arp::kInUse * 2;
    const u64 evicted = h.stack.statistics().arp_evicted;
    says_hello({kPeer.value + Arp::kWays * u32{Arp::kSets}}, kPeerMac);
    CHECK(h.stack.statistics().arp_evicted == evicted + 1);
    h.check_conservation();
}

TEST_CASE("arp: asks, keeps few packets, sends them on the answer, gives up after a bound") {
    Host h(1);
    h.stack.poll({});
    h.output_all({});
    const auto s = *h.stack.udp().open({{}, 1000});
    Instant now{};
    for (int i = 0; i < 6; ++i) REQUIRE(h.stack.send_to(s, {kPeer, 7}, text("x"), {}));
    auto out = h.output_all(now);
    REQUIRE(out.size() == 1);  // one question for six packets
    CHECK(take32(out[0], 38) == kPeer.value);
    CHECK(h.stack.statistics().arp_queue_overflow == 2);
    SECTION("answered") {
        h.input(ethernet(kOurMac, kPeerMac, 0x0806, arp(2, kPeerMac, kPeer, kOurMac, kOurs)), now);
        out = h.output_all(now);
        CHECK(out.size() == 4);
        for (const Frame& f : out) CHECK(std::memcmp(f.data(), kPeerMac.octets.data(), 6) == 0);
    }
    SECTION("never answered") {
        usize asked = 0;
        for (int i = 0; i < 20; ++i) {
            now = now + Duration::from_ms(500);
            h.stack.poll(now);
            for (const Frame& f : h.output_all(now)) asked += take32(f, 38) == kPeer.value;
        }
        CHECK(asked == Arp::kTries - 1);
        CHECK(h.stack.statistics().arp_unresolved == 4);
        CHECK(h.pool.free() == h.pool.total());
    }
}

TEST_CASE("icmp: answers echo of every size that fits, and no broadcast") {
    Host h(1);
    introduce_peer(h, {});
    for (usize n = 0; n <= 1472; n += n < 40 ? 1 : 131) {
        h.input(to_us(1, icmp_echo(7, static_cast<u16>(n), n)), {});
        auto out = h.output_all({});
        REQUIRE(out.size() == 1);
        const Frame& f = out[0];
        CHECK(f.size() == 14 + 20 + 8 + n);
        CHECK(take32(f, 26) == kOurs.value);
        CHECK(take32(f, 30) == kPeer.value);
        CHECK(internet_checksum(bytes_of(f).subspan(14, 20)) == 0);
        CHECK(internet_checksum(bytes_of(f).subspan(34)) == 0);
        CHECK(f[34] == 0);
        Frame expected = icmp_echo(7, static_cast<u16>(n), n);
        CHECK(std::equal(f.begin() + 38, f.end(), expected.begin() + 4));
    }
    h.input(ethernet(MacAddr::broadcast(), kPeerMac, 0x0800,
                     ipv4(1, kPeer, Ipv4Addr::of(10, 0, 0, 255), icmp_echo(1, 1, 8))),
            {});
    h.input(ethernet(MacAddr::broadcast(), kPeerMac, 0x0800, ipv4(1, kPeer, kOurs, icmp_echo(1, 1, 8))), {});
    CHECK(h.output_all({}).empty());
}

TEST_CASE("ipv4: whoever was written to last is believed no more than anybody else") {
    Host h(1);
    introduce_peer(h, {});
    const auto from = [&](Ipv4Addr who) {
        h.input(ethernet(kOurMac, kPeerMac, 0x0800, ipv4(1, who, kOurs, icmp_echo(1, 1, 8))), {});
    };
    const Ipv4Addr reserved = Ipv4Addr::of(240, 0, 0, 1);
    REQUIRE(h.stack.ping(reserved, 8, {}));
    h.output_all({});
    from(reserved);
    CHECK(h.stack.statistics().ip_bad_source == 1);

    from(kPeer);
    CHECK(h.output_all({}).size() == 1);
    from(kPeer);  // the same way back again
    CHECK(h.output_all({}).size() == 1);
    const u64 before = h.stack.statistics().ip_not_ours;
    REQUIRE(h.stack.configure(Addressing::fixed, {Ipv4Addr::of(10, 0, 0, 7), 24, {}, {}}, {}));
    from(kPeer);
    CHECK(h.stack.statistics().ip_not_ours == before + 1);
}

TEST_CASE("tcp: a segment to where the last one went has the addresses of now") {
    Pair net;
    const auto listener = net.b.stack.tcp().listen({{}, 80}, 4).value();
    Frame last;  // the last segment of a
    net.tap = [&](const Frame& f) {
        if (f.size() > 34 && take16(f, 12) == 0x0800 && f[23] == 6 && take32(f, 26) == 0x0a00'0001) last = f;
        return true;
    };
    const auto has = [&](const MacAddr& to, const MacAddr& from) {
        return std::memcmp(last.data(), to.octets.data(), 6) == 0 &&
               std::memcmp(last.data() + 6, from.octets.data(), 6) == 0;
    };
    const auto say = [&](usize bytes) {
        std::vector<std::byte> text(bytes), got(bytes);
        const auto h =
            net.a.stack.tcp().connect({Ipv4Addr::of(10, 0, 0, 1), 0}, {Ipv4Addr::of(10, 0, 0, 2), 80}, net.now);
        net.settle();
        REQUIRE(net.a.stack.tcp().write(*h, text, net.now).value() == bytes);
        net.settle();
        const auto accepted = net.b.stack.tcp().accept(listener);
        REQUIRE(net.b.stack.tcp().read(*accepted, got, net.now).value() == bytes);
        net.a.stack.tcp().abort(*h, net.now);
        net.settle();
    };
    const MacAddr a{{2, 0, 0, 0, 0, 1}}, b{{2, 0, 0, 0, 0, 2}}, new_a{{2, 0, 0, 0, 1, 1}}, new_b{{2, 0, 0, 0, 1, 2}};
    say(1);
    CHECK(has(b, a));
    say(600);
    CHECK(take16(last, 16) == 40);  // the <RST>
    net.a.stack.set_mac(new_a, net.now);
    net.advance(Duration::from_s(3));  // the neighbour is told
    say(1);
    CHECK(has(b, new_a));
    net.b.stack.set_mac(new_b, net.now);
    net.advance(Duration::from_s(3));  // the neighbour is told
    say(1);
    CHECK(has(new_b, new_a));
}

TEST_CASE("icmp: our echo requests find their answers; errors end them; forgeries do not") {
    Pair net;
    const u32 id = *net.a.stack.ping(Ipv4Addr::of(10, 0, 0, 2), 1000, net.now);
    CHECK(net.a.stack.ping_result(id).error() == Error::would_block);
    net.settle();
    const auto r = net.a.stack.ping_result(id);
    REQUIRE(r);
    CHECK(r->bytes == 1000);
    CHECK(net.a.stack.ping_result(id).error() == Error::invalid);
    CHECK(net.a.stack.ping(Ipv4Addr::of(10, 0, 0, 2), 1473, net.now).error() == Error::too_large);

    // Nobody there: an unreachable that quotes our request ends it, one that quotes another does not.
    Host h(1);
    introduce_peer(h, {});
    const u32 lost = *h.stack.ping(kPeer, 8, {});
    const auto out = h.output_all({});
    REQUIRE(out.size() == 1);
    for (const bool forged : {true, false}) {
        Frame quoted(out[0].begin() + 14, out[0].begin() + 14 + 28);
        if (forged) quoted[20 + 5] ^= 1;
        Frame error{3, 1, 0, 0, 0, 0, 0, 0};
        error.insert(error.end(), quoted.begin(), quoted.end());
        put16(error, 2, internet_checksum(bytes_of(error)));
        h.input(to_us(1, error), {});
        CHECK(h.stack.ping_result(lost).error() == (forged ? Error::would_block : Error::unreachable));
    }
}

TEST_CASE("udp: there and back, with and without checksum offload") {
    const Offloads offload{.tx_checksum = true};
    Pair net(Host::config(1, offload), Host::config(2));
    const auto a = *net.a.stack.udp().open({{}, 0});
    const auto b = *net.b.stack.udp().open({{}, 5000});
    CHECK(net.b.stack.udp().open({{}, 5000}).error() == Error::in_use);
    const Endpoint to{Ipv4Addr::of(10, 0, 0, 2), 5000};
    REQUIRE(net.a.stack.send_to(a, to, text("hello"), {}));
    net.settle();
    CHECK(net.b.stack.udp().next_ready() == b);
    char buffer[16];
    auto r = net.b.stack.udp().receive_from(b, std::as_writable_bytes(std::span(buffer)));
    REQUIRE(r);
    CHECK(r->size == 5);
    CHECK(std::string_view(buffer, 5) == "hello");
    REQUIRE(net.b.stack.send_to(b, r->from, text("world!"), {}));
    net.settle();
    r = net.a.stack.udp().receive_from(a, std::as_writable_bytes(std::span(buffer, 2)));
    REQUIRE(r);
    CHECK(r->size == 6);
    CHECK(r->from == to);
    const std::vector<std::byte> large(Udp::kLargestPayload + 1);
    CHECK(net.a.stack.send_to(a, to, large, {}).error() == Error::too_large);
    REQUIRE(net.a.stack.send_to(a, to, Bytes(large).first(1472), {}));
    net.settle();
    CHECK(net.b.stack.udp().readable(b));
    net.b.stack.udp().close(b);
    CHECK(net.b.stack.udp().receive_from(b, {}).error() == Error::invalid);
    CHECK(net.b.stack.statistics().udp_bad_checksum == 0);
}

TEST_CASE("udp: nobody listens: port unreachable, believed by the sender, limited in rate") {
    Pair net;
    const auto a = *net.a.stack.udp().open({{}, 0});
    REQUIRE(net.a.stack.send_to(a, {Ipv4Addr::of(10, 0, 0, 2), 9}, text("?"), {}));
    net.settle();
    CHECK(net.a.stack.udp().receive_from(a, {}).error() == Error::connection_refused);
    CHECK(net.a.stack.udp().receive_from(a, {}).error() == Error::would_block);
    for (int i = 0; i < 100; ++i) {
        (void)net.a.stack.send_to(a, {Ipv4Addr::of(10, 0, 0, 2), 9}, text("?"), {});
        net.settle();
    }
    CHECK(net.b.stack.statistics().icmp_errors_out == Stack::kIcmpErrorsPerSecond);
    CHECK(net.b.stack.statistics().icmp_errors_limited == 101 - Stack::kIcmpErrorsPerSecond);
}

TEST_CASE("udp: a reader that does not read costs a bounded number of packets") {
    Host h(1);
    const auto s = *h.stack.udp().open({{}, 53});
    for (int i = 0; i < 200; ++i) h.input(to_us(17, udp(1, 53, Frame(100))), {});
    CHECK(h.stack.packets_held() == h.pool.total() / 4);
    CHECK(h.stack.statistics().udp_memory == 200 - h.pool.total() / 4);
    h.stack.udp().close(s);
    CHECK(h.pool.free() == h.pool.total());
}

TEST_CASE("udp: lengths and ports that cannot be are refused") {
    Host h(1);
    const auto s = *h.stack.udp().open({{}, 7});
    for (u32 length : {0u, 7u, 12u, 65535u}) {
        Frame d = udp(9, 7, Frame(3));
        put16(d, 4, length);
        h.input(to_us(17, d), {});
    }
    h.input(to_us(17, udp(0, 7, {})), {});
    h.input(to_us(17, Frame{1, 2, 3}), {});
    CHECK(h.stack.statistics().udp_bad == 6);
    CHECK_FALSE(h.stack.udp().readable(s));
    h.input(to_us(17, udp(9, 7, {})), {});
    CHECK(h.stack.udp().readable(s));
}

TEST_CASE("ipv4: what must be refused is, and is counted") {
    Host h(1);
    introduce_peer(h, {});
    (void)h.stack.udp().open({{}, 7});
    const Frame datagram = udp(9, 7, Frame{1, 2, 3});
    auto refused = [&](const Frame& ip, u64 Statistics::*counter) {
        const u64 before = h.stack.statistics().*counter, in = h.stack.statistics().udp_in;
        h.input(ethernet(kOurMac, kPeerMac, 0x0800, ip), {});
        CHECK(h.stack.statistics().*counter == before + 1);
        CHECK(h.stack.statistics().udp_in == in);
    };
    const Frame good = ipv4(17, kPeer, kOurs, datagram);
    auto changed = [&](auto change, bool fix = true) {
        Frame f = good;
        change(f);
        if (fix) fix_ip_checksum(f);
        return f;
    };
    refused(changed([](Frame& f) { f[0] = 0x65; }, false), &Statistics::ip_bad_header);
    refused(changed([](Frame& f) { f[0] = 0x44; }, false), &Statistics::ip_bad_header);
    refused(changed([](Frame& f) { f[8] ^= 1; }, false), &Statistics::ip_bad_checksum);
    refused(changed([](Frame& f) { put16(f, 2, 19); }), &Statistics::ip_bad_length);
    refused(changed([](Frame& f) { put16(f, 2, 2000); }), &Statistics::ip_bad_length);
    refused(changed([](Frame& f) { put16(f, 6, 0x2000); }), &Statistics::ip_fragment);
    refused(changed([](Frame& f) { put16(f, 6, 0x0001); }), &Statistics::ip_fragment);
    for (Ipv4Addr bad : {Ipv4Addr::of(127, 0, 0, 1), Ipv4Addr::of(224, 0, 0, 1), Ipv4Addr::of(255, 255, 255, 255),
                         kOurs, Ipv4Addr::of(0, 0, 0, 0), Ipv4Addr::of(10, 0, 0, 255)})
        refused(ipv4(17, bad, kOurs, datagram), &Statistics::ip_bad_source);
    refused(ipv4(17, kPeer, Ipv4Addr::of(10, 0, 0, 3), datagram), &Statistics::ip_not_ours);
    refused(ipv4(17, kPeer, Ipv4Addr::of(127, 0, 0, 1), datagram), &Statistics::ip_not_ours);
    refused(ipv4(17, kPeer, kOurs, datagram, {131, 7, 4, 10, 0, 0, 3, 0}), &Statistics::ip_source_route);
    refused(ipv4(17, kPeer, kOurs, datagram, {7, 0, 0, 0}), &Statistics::ip_source_route);
    refused(ipv4(17, kPeer, kOurs, datagram, {1, 1, 1, 7}), &Statistics::ip_source_route);
    refused(ipv4(99, kPeer, kOurs, datagram), &Statistics::ip_unknown_protocol);
    // Harmless options are skipped, padding behind the packet too.
    Frame padded = ethernet(kOurMac, kPeerMac, 0x0800, ipv4(17, kPeer, kOurs, datagram, {1, 1, 1, 0}));
    padded.resize(60, 0xee);
    const u64 in = h.stack.statistics().udp_in;
    h.input(padded, {});
    CHECK(h.stack.statistics().udp_in == in + 1);
}

TEST_CASE("ethernet: other people's frames, tags and short ones") {
    Host h(1);
    h.input({1, 2, 3}, {});
    h.input({}, {});
    CHECK(h.stack.statistics().ethernet_short == 2);
    h.input(ethernet(kPeerMac, kPeerMac, 0x0800, Frame(46)), {});
    CHECK(h.stack.statistics().ethernet_not_ours == 1);
    h.input(ethernet(kOurMac, {{1, 0, 0, 0, 0, 1}}, 0x0800, Frame(46)), {});
    h.input(ethernet(kOurMac, kOurMac, 0x0800, Frame(46)), {});
    CHECK(h.stack.statistics().ethernet_bad_source == 2);
    h.input(ethernet(kOurMac, kPeerMac, 0x8100, Frame(46)), {});
    CHECK(h.stack.statistics().ethernet_vlan == 1);
    h.input(ethernet(kOurMac, kPeerMac, 0x86dd, Frame(46)), {});
    CHECK(h.stack.statistics().ip6_absent == 1);
    h.input(ethernet(kOurMac, kPeerMac, 0x88cc, Frame(46)), {});
    CHECK(h.stack.statistics().ethernet_unknown_type == 1);
}

TEST_CASE("routing: gateway for strangers, nothing without an address, source never foreign") {
    Host h(1);
    h.stack.poll({});
    h.output_all({});
    const auto s = *h.stack.udp().open({{}, 1});
    REQUIRE(h.stack.send_to(s, {Ipv4Addr::of(8, 8, 8, 8), 53}, text("q"), {}));
    auto out = h.output_all({});
    REQUIRE(out.size() == 1);
    CHECK(take32(out[0], 38) == Ipv4Addr::of(10, 0, 0, 254).value);
    REQUIRE(h.stack.send_to(s, {Ipv4Addr::of(10, 0, 0, 255), 53}, text("q"), {}));
    out = h.output_all({});
    REQUIRE(out.size() == 1);
    CHECK(std::memcmp(out[0].data(), MacAddr::broadcast().octets.data(), 6) == 0);
    REQUIRE(h.stack.configure(Addressing::none, {}, {}));
    CHECK(h.stack.send_to(s, {kPeer, 53}, text("q"), {}).error() == Error::unreachable);
    CHECK(h.stack.configure(Addressing::fixed, {Ipv4Addr::of(10, 0, 0, 255), 24, {}, {}}, {}).error() ==
          Error::invalid);
    CHECK(h.stack.configure(Addressing::fixed, {kOurs, 33, {}, {}}, {}).error() == Error::invalid);
}

TEST_CASE("loopback: ping, UDP and TCP to 127.0.0.1 and to our own address, without carrier") {
    Host h(1);
    h.stack.set_carrier(false, {});
    Instant now{1};
    for (Ipv4Addr self : {Ipv4Addr::of(127, 0, 0, 1), kOurs}) {
        const u32 id = *h.stack.ping(self, 100, now);
        CHECK(h.output_all(now).empty());
        CHECK(h.stack.ping_result(id));

        const auto listener = *h.stack.tcp().listen({{}, 80}, 4);
        const auto c = h.stack.connect({self, 80}, now);
        REQUIRE(c);
        CHECK(h.output_all(now).empty());
        const auto s = h.stack.tcp().accept(listener);
        REQUIRE(s);
        REQUIRE(h.stack.tcp().write(*c, text("over the loop"), now));
        CHECK(h.output_all(now).empty());
        std::byte buffer[32];
        const auto n = h.stack.tcp().read(*s, buffer, now);
        REQUIRE(n);
        CHECK(*n == 13);
        h.stack.tcp().abort(*c, now);
        h.output_all(now);
        h.stack.tcp().abort(*s, now);
        h.stack.tcp().close(listener, now);
        h.output_all(now);
    }
    CHECK(h.stack.statistics().loopback > 10);
}

TEST_CASE("tcp through the stack: a megabyte over a wire that loses every 13th frame") {
    for (const int offload : {0, 1, 2}) {
        Offloads offloads;
        offloads.tx_checksum = offload != 0;
        offloads.tso4 = offload == 2;
        offloads.max_fragments = offload == 2 ? 34 : 1;
        Pair net(Host::config(1, offloads), Host::config(2, offloads));
        int count = 0;
        net.tap = [&](const Frame&) { return ++count % 13 != 0; };
        const auto listener = *net.b.stack.tcp().listen({{}, 80}, 4);
        const auto c = *net.a.stack.connect({Ipv4Addr::of(10, 0, 0, 2), 80}, net.now);
        std::optional<tcp::Handle> s;
        std::vector<std::byte> sent(1 << 20), got;
        std::mt19937 random(13);
        for (auto& b : sent) b = static_cast<std::byte>(random());
        usize at = 0;
        for (int round = 0; round < 200'000 && got.size() < sent.size(); ++round) {
            if (at < sent.size())
                if (auto n = net.a.stack.tcp().write(c, Bytes(sent).subspan(at), net.now)) at += *n;
            if (!s)
                if (auto h = net.b.stack.tcp().accept(listener)) s = *h;
            std::byte buffer[4096];
            while (s) {
                auto n = net.b.stack.tcp().read(*s, buffer, net.now);
                if (!n) break;
                got.insert(got.end(), buffer, buffer + *n);
            }
            net.settle();
            net.advance(Duration::from_ms(1));
        }
        CHECK(got == sent);
        CHECK((net.a.large_out != 0) == (offload == 2));
    }
}

TEST_CASE("tcp through the stack: a merged frame comes up whole, and what nobody knows must fit a buffer") {
    Host h(1);
    introduce_peer(h, {});
    const auto listener = *h.stack.tcp().listen({{}, 80}, 4);
    const auto segment = [&](u32 seq, u32 ack, u8 flags, usize payload) {
        Frame s(20 + payload);
        put16(s, 0, 1234);
        put16(s, 2, 80);
        put32(s, 4, seq);
        put32(s, 8, ack);
        s[12] = 0x50;
        s[13] = flags;
        put16(s, 14, 60'000);
        for (usize i = 0; i < payload; ++i) s[20 + i] = static_cast<u8>(i * 7);
        InternetSum sum = InternetSum::pseudo_header(kPeer, kOurs, 6, s.size());
        sum.add(bytes_of(s));
        put16(s, 16, sum.checksum());
        return to_us(6, s);
    };
    h.input(segment(100, 0, 2, 0), {});
    const auto answer = h.output({});
    REQUIRE(answer);
    const u32 isn = take32(*answer, 38);
    h.input(segment(101, isn + 1, 0x10, 0), {});
    const auto c = *h.stack.tcp().accept(listener);
    using Checksum = PacketMeta::Checksum;
    Frame large = segment(101, isn + 1, 0x10, 8000);
    large.resize(large.size() + 9, 0xee);  // padding behind it
    h.input_merged(large, 1460, Checksum::none, {});
    std::vector<std::byte> got(10'000);
    const auto n = h.stack.tcp().read(c, got, {});
    REQUIRE(n);
    CHECK(*n == 8000);
    for (usize i = 0; i < 8000; ++i) REQUIRE(got[i] == std::byte(static_cast<u8>(i * 7)));
    CHECK(h.stack.tcp().stats().gso_in == 1);
    Frame lies = segment(8101, isn + 1, 0x10, 4000);
    put16(lies, 16, 4041);  // one byte more than there is
    h.input_merged(lies, 1460, Checksum::verified, {});
    CHECK(h.stack.statistics().ip_bad_length == 1);
    h.input_merged(to_us(99, Frame(6000)), 0, Checksum::none, {});
    CHECK(h.stack.statistics().ip_scattered == 1);
    h.stack.tcp().abort(c, {});
    h.output_all({});
}

TEST_CASE("loopback carries large segments, in views of the send buffer") {
    Host h(1);
    Instant now{1};
    const auto listener = *h.stack.tcp().listen({{}, 80}, 4);
    const auto c = *h.stack.connect({Ipv4Addr::of(127, 0, 0, 1), 80}, now);
    h.output_all(now);
    const auto s = *h.stack.tcp().accept(listener);
    std::vector<std::byte> sent(100'000), got;
    for (usize i = 0; i < sent.size(); ++i) sent[i] = std::byte(static_cast<u8>(i * 31 + (i >> 8)));
    usize at = 0;
    for (int round = 0; round < 10'000 && got.size() < sent.size(); ++round) {
        if (at < sent.size())
            if (auto n = h.stack.tcp().write(c, Bytes(sent).subspan(at), now)) at += *n;
        h.output_all(now);
        h.check_conservation();
        std::byte buffer[3000];
        while (auto n = h.stack.tcp().read(s, buffer, now)) got.insert(got.end(), buffer, buffer + *n);
        h.check_conservation();
        now = now + Duration::from_ms(1);
        h.stack.poll(now);
    }
    CHECK(got == sent);
    CHECK(h.stack.tcp().stats().gso_out != 0);
    CHECK(h.stack.tcp().stats().gso_in != 0);
    h.stack.tcp().abort(c, now);
    h.stack.tcp().abort(s, now);
    h.output_all(now);
}

TEST_CASE("a link that goes down for ten minutes costs no connection and no retransmission") {
    Pair net;
    const auto listener = *net.b.stack.tcp().listen({{}, 80}, 4);
    const auto c = *net.a.stack.connect({Ipv4Addr::of(10, 0, 0, 2), 80}, net.now);
    net.settle();
    const auto s = *net.b.stack.tcp().accept(listener);
    const auto link = [&](bool up) {
        net.a.stack.set_carrier(up, net.now);
        net.b.stack.set_carrier(up, net.now);
    };
    bool pulled = false;
    net.tap = [&](const Frame&) { return !pulled; };
    REQUIRE(net.a.stack.tcp().write(c, text("lost on the wire"), net.now));
    pulled = true;
    net.settle();
    link(false);
    const u64 before = net.a.stack.tcp().stats().segments_out;
    net.advance(Duration::from_s(300));
    REQUIRE(net.a.stack.tcp().write(c, text(" and written while it was down"), net.now));
    net.advance(Duration::from_s(300));
    CHECK(net.a.stack.tcp().stats().segments_out == before);
    CHECK(net.a.stack.tcp().stats().timeouts == 1);
    CHECK(net.a.stack.tcp().connections() == 1);

    u32 announced = 0;
    net.tap = [&](const Frame& f) {
        announced += take16(f, 12) == 0x0806 && f[0] == 0xff && take32(f, 28) == take32(f, 38);
        return true;
    };
    link(true);
    net.advance(Duration::from_ms(60));  // the second write waits for the ACK of the first (Nagle), and that is delayed
    std::byte buffer[100];
    const auto n = net.b.stack.tcp().read(s, buffer, net.now);
    REQUIRE(n);
    CHECK(std::string(reinterpret_cast<char*>(buffer), *n) == "lost on the wire and written while it was down");
    CHECK(announced == 2);
    // Both directions, and the first retransmission after the link's return may get lost without ending anything.
    announced = 0;
    net.a.stack.announce(net.now);
    net.advance(Duration::from_s(10));
    CHECK(announced >= 2);
    net.a.stack.tcp().abort(c, net.now);
    net.b.stack.tcp().abort(s, net.now);
    net.settle();
}

TEST_CASE("hostile frames: every length and every bit flip of good ones") {
    Host h(1);
    introduce_peer(h, {});
    (void)h.stack.udp().open({{}, 7});
    (void)h.stack.tcp().listen({{}, 80}, 4);
    Frame syn(20);
    put16(syn, 0, 1234);
    put16(syn, 2, 80);
    syn[12] = 0x50;
    syn[13] = 2;
    InternetSum sum = InternetSum::pseudo_header(kPeer, kOurs, 6, 20);
    sum.add(bytes_of(syn));
    put16(syn, 16, sum.checksum());
    Frame unreachable{3, 3, 0, 0, 0, 0, 0, 0};
    const Frame quoted = ipv4(17, kOurs, kPeer, udp(7, 7, {}));
    unreachable.insert(unreachable.end(), quoted.begin(), quoted.end());
    put16(unreachable, 2, internet_checksum(bytes_of(unreachable)));
    const std::vector<Frame> good{
        to_us(17, udp(9, 7, Frame(20))),
        to_us(1, icmp_echo(1, 2, 30)),
        to_us(6, syn),
        to_us(1, unreachable),
        ethernet(kOurMac, kPeerMac, 0x0800, ipv4(17, kPeer, kOurs, udp(9, 7, {}), {7, 7, 4, 0, 0, 0, 0, 0})),
        ethernet(kOurMac, kPeerMac, 0x0806, arp(1, kPeerMac, kPeer, {}, kOurs)),
        ethernet(MacAddr::broadcast(), kPeerMac, 0x0800,
                 ipv4(17, kPeer, Ipv4Addr::of(255, 255, 255, 255), udp(67, 68, Frame(300))))};
    Instant now{1};
    for (const Frame& f : good) {
        for (usize n = 0; n < f.size(); ++n) {
            Frame cut(f.begin(), f.begin() + static_cast<i64>(n));
            h.input(cut, now);
            h.output_all(now);
        }
        for (usize bit = 0; bit < f.size() * 8; ++bit) {
            for (const bool fix : {false, true}) {
                Frame flipped = f;
                flipped[bit / 8] ^= static_cast<u8>(1 << bit % 8);
                if (fix && flipped[12] == 8 && flipped[13] == 0 && (flipped[14] & 15) >= 5 &&
                    flipped.size() >= 14u + (flipped[14] & 15) * 4u) {
                    Frame ip(flipped.begin() + 14, flipped.end());
                    fix_ip_checksum(ip);
                    std::copy(ip.begin(), ip.end(), flipped.begin() + 14);
                }
                now = now + Duration::from_us(100);
                h.input(flipped, now);
                h.stack.poll(now);
                h.output_all(now);
            }
        }
        h.check_conservation();
    }
    // And it still works.
    introduce_peer(h, now);
    h.input(to_us(1, icmp_echo(1, 2, 30)), now);
    CHECK_FALSE(h.output_all(now).empty());
}

TEST_CASE("pump: a link without room is looked at again soon, whether or not it tells") {
    struct Full : NullLink {
        u16 space = 1;
        std::optional<Arm> armed;
        bool carrier() const { return true; }
        u16 room() const { return space; }
        bool rearm(Arm what) { return armed = what, false; }
    };
    Host a(1);
    Full link;
    Instant now{};
    while (!pump(link, a.stack, now) && a.stack.deadline() < now + Duration::from_ms(100))
        now = std::max(a.stack.deadline(), now + Duration::from_ms(1));
    CHECK(link.armed == Arm::rx);
    link.space = 0;
    for (int i = 0; i < 3; ++i) {
        REQUIRE_FALSE(pump(link, a.stack, now));
        CHECK(link.armed == Arm::rx_and_tx);
        CHECK(a.stack.deadline() > now);
        REQUIRE(a.stack.deadline() <= now + Duration::from_ms(20));
        now = a.stack.deadline();
    }
}
