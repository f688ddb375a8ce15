// Datagrams that are larger than a frame, up to the largest there are, and the path's MTU for them (RFC 1191).
#include "ipv6_fixture.hpp"

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

constexpr Ipv4Addr kA = Ipv4Addr::of(10, 0, 0, 1), kB = Ipv4Addr::of(10, 0, 0, 2);

StackConfig config6(u8 n, Offloads offloads) {
    StackConfig c = Host::config(n, offloads);
    c.ipv6 = make_ipv6;
    return c;
}
bool is_udp4(const Frame& f) {
    return take16(f, 12) == 0x0800 && f[23] == 17;
}

}  // namespace

TEST_CASE("Datagrams of every size arrive as they were sent, over both families, with and without offload") {
    for (const bool offload : {false, true}) {
        CAPTURE(offload);
        const Offloads offloads{.tx_checksum = offload};
        Pair net(config6(1, offloads), config6(2, offloads), 512);
        net.advance(Duration::from_s(3));
        const IpAddr b6 = net.b.stack.interface().ipv6.addresses[0].address;
        const auto a = *net.a.stack.udp().open({{}, 1}), b = *net.b.stack.udp().open({{}, 2});
        usize fragments = 0;
        net.tap = [&](const Frame& f) {
            CHECK(f.size() <= 1514);
            fragments += (is_udp4(f) && (take16(f, 20) & 0x3fff) != 0) || (take16(f, 12) == 0x86dd && f[20] == 44);
            return true;
        };
        for (const IpAddr& to : {IpAddr(kB), b6}) {
            const usize whole = to.is_ipv4() ? 1472 : 1452, piece = to.is_ipv4() ? 1480 : 1448;
            for (const usize n : {usize{0}, usize{1}, whole - 1, whole, whole + 1, usize{1920}, 2 * piece - 8,
                                  2 * piece - 7, usize{9000}, usize{65'487}, Udp::kLargestPayload}) {
                CAPTURE(n);
                const Frame data = random_bytes(n, unsigned(n));
                fragments = 0;
                REQUIRE(net.a.stack.send_to(a, {to, 2}, bytes_of(data), net.now));
                net.settle();
                CHECK(net.b.stack.udp().readable(b));
                CHECK(received(net.b, b) == data);
                CHECK(fragments == (n <= whole ? 0 : (n + 8 + piece - 1) / piece));
            }
        }
        CHECK(net.b.stack.statistics().udp_bad_checksum == 0);
        CHECK(net.a.stack.statistics().no_packet == 0);
        CHECK(net.a.pool.free() == net.a.pool.total());
        CHECK(net.b.pool.free() == net.b.pool.total());
        const Frame more(Udp::kLargestPayload + 1);
        CHECK(net.a.stack.send_to(a, {kB, 2}, bytes_of(more), net.now).error() == Error::too_large);
    }
}

TEST_CASE("A large datagram to ourselves goes round in one piece") {
    Host6 h(Host6::config6(), 512);
    const IpAddr us = h.settle();
    const auto a = *h.stack.udp().open({{}, 1}), b = *h.stack.udp().open({{}, 2});
    const Frame data = random_bytes(Udp::kLargestPayload, 1);
    for (const IpAddr& to : {IpAddr(kA), IpAddr(Ipv4Addr::of(127, 0, 0, 1)), us}) {
        REQUIRE(h.stack.send_to(a, {to, 2}, bytes_of(data), h.now));
        CHECK(h.output_all(h.now).empty());
        CHECK(received(h, b) == data);
    }
    CHECK(h.stats().fragments_out == 0);
}

TEST_CASE("The first datagram to a neighbour waits for its answer as a whole") {
    Pair net(config6(1, {}), config6(2, {}), 512);
    net.advance(Duration::from_s(3));
    const IpAddr b6 = net.b.stack.interface().ipv6.addresses[0].address;
    for (const IpAddr& to : {IpAddr(kB), b6}) {
        const auto a = *net.a.stack.udp().open({{}, 1}), b = *net.b.stack.udp().open({{}, 2});
        net.a.stack.set_carrier(false, net.now);
        net.a.stack.set_carrier(true, net.now);  // all neighbours are forgotten
        net.advance(Duration::from_s(3));
        const Frame data = random_bytes(60'000, 2);
        REQUIRE(net.a.stack.send_to(a, {to, 2}, bytes_of(data), net.now));
        net.settle();
        CHECK(received(net.b, b) == data);
        net.a.stack.udp().close(a);
        net.b.stack.udp().close(b);
    }
    CHECK(net.a.stack.statistics().arp_queue_overflow == 0);
    CHECK(net.a.stack.statistics().nd_queue_overflow == 0);
}

TEST_CASE("What waits for neighbours that never answer is bounded in buffers") {
    Host h(Host::config(1), 1024);
    h.output_all({});
    const auto s = *h.stack.udp().open({{}, 1});
    const Frame data(20'000);
    for (u8 n = 100; n < 120; ++n) {
        REQUIRE(h.stack.send_to(s, {Ipv4Addr::of(10, 0, 0, n), 2}, bytes_of(data), {}));
        h.output_all({});
        CHECK(h.pool.total() - h.pool.free() <= Arp::kWaitingTotal);
    }
    CHECK(h.stack.statistics().arp_queue_overflow == 16);
}

TEST_CASE("Too few buffers: refused as a whole, nothing that was queued is lost, and told when there is room") {
    Pair net(Host::config(1), Host::config(2), 256);
    Udp& udp = net.a.stack.udp();
    const auto a = *udp.open({{}, 1}), other = *udp.open({{}, 3}), b = *net.b.stack.udp().open({{}, 2});
    const Frame huge(Udp::kLargestPayload), large = random_bytes(40'000, 1), small = random_bytes(100, 2);
    REQUIRE(net.a.stack.send_to(a, {kB, 2}, bytes_of(large), net.now));  // 28 buffers of the 64 that may queue
    REQUIRE(net.a.stack.send_to(a, {kB, 2}, bytes_of(large), net.now));
    CHECK(net.a.stack.send_to(a, {kB, 2}, bytes_of(large), net.now).error() == Error::would_block);
    CHECK_FALSE(udp.writable(a));  // for as much as it wanted
    CHECK(udp.writable(other));
    REQUIRE(net.a.stack.send_to(other, {kB, 2}, bytes_of(small), net.now));
    while (udp.next_ready()) {
    }
    const usize before = net.a.pool.free();
    CHECK(net.a.stack.send_to(a, {kB, 2}, bytes_of(large), net.now).error() == Error::would_block);
    CHECK(net.a.pool.free() == before);
    net.settle();
    CHECK(udp.next_ready() == a);
    CHECK(udp.writable(a));
    CHECK((received(net.b, b) == large && received(net.b, b) == small && received(net.b, b) == large));
    CHECK(net.a.stack.statistics().no_packet == 0);

    // The pool itself is empty: the socket is told when buffers are back, although nothing of its own was sent.
    std::vector<PacketBuffer> elsewhere;
    while (net.a.pool.free() > 10) elsewhere.push_back(*net.a.pool.allocate());
    CHECK(net.a.stack.send_to(a, {kB, 2}, bytes_of(large), net.now).error() == Error::would_block);
    CHECK(net.a.stack.statistics().no_packet == 1);
    const u64 shortages = net.a.pool.exhausted();
    CHECK_FALSE(net.a.stack.output(net.now));
    CHECK_FALSE(udp.next_ready());
    CHECK(net.a.pool.exhausted() == shortages + 1);  // so the pump asks for completions
    elsewhere.clear();
    CHECK_FALSE(net.a.stack.output(net.now));
    CHECK(udp.next_ready() == a);
    CHECK_FALSE(udp.has_output());

    // More than may ever queue; and a socket that is closed while it waits leaves no trace.
    Host tiny(Host::config(1), 64);
    const auto t = *tiny.stack.udp().open({{}, 1});
    CHECK(tiny.stack.send_to(t, {kB, 2}, bytes_of(huge), {}).error() == Error::no_memory);
    while (net.a.pool.free() > 0) elsewhere.push_back(*net.a.pool.allocate());
    CHECK(net.a.stack.send_to(a, {kB, 2}, bytes_of(small), net.now).error() == Error::would_block);
    CHECK(udp.has_output());
    udp.close(a);
    CHECK_FALSE(udp.has_output());
    elsewhere.clear();
}

TEST_CASE("Receive queues are bounded in buffers, all sockets together") {
    Host h(Host::config(1), 256);
    const auto a = *h.stack.udp().open({{}, 1}), b = *h.stack.udp().open({{}, 2});
    const Frame data(80'000 / 2);
    const usize fit = 256 / 4 / ((data.size() + 8 + Udp::kPiece - 1) / Udp::kPiece);  // to ourselves: large pieces
    for (usize i = 0; i <= fit; ++i) {
        REQUIRE(h.stack.send_to(a, {kA, 2}, bytes_of(data), {}));
        h.output_all({});
    }
    CHECK(h.stack.statistics().udp_memory == 1);
    for (usize i = 0; i < fit; ++i) CHECK(received(h, b).size() == data.size());
    CHECK(received(h, b).empty());
}

TEST_CASE("RFC 1191: what a router says about the path is believed of our own datagrams, and followed") {
    Host h(Host::config(1), 128);
    Instant now{1};
    const Ipv4Addr far = Ipv4Addr::of(192, 0, 2, 7), gateway = Ipv4Addr::of(10, 0, 0, 254);
    h.stack.poll(now);
    h.input(ethernet(kOurMac, kPeerMac, 0x0806, arp(1, kPeerMac, gateway, {}, kOurs)), now);
    h.output_all(now);
    const auto s = *h.stack.udp().open({{}, 500});
    const auto send = [&](usize n) {
        const Frame data(n);
        REQUIRE(h.stack.send_to(s, {far, 7}, bytes_of(data), now));
        return h.output_all(now);
    };
    auto out = send(1472);
    REQUIRE(out.size() == 1);
    CHECK(take16(out[0], 20) == 0x4000);  // DF
    const Frame quoted(out[0].begin() + 14, out[0].begin() + 14 + 28);
    const auto too_large = [&](u16 mtu, const Frame& about) {
        Frame e{3, 4, 0, 0, 0, 0, 0, 0};
        put16(e, 6, mtu);
        e.insert(e.end(), about.begin(), about.end());
        put16(e, 2, internet_checksum(bytes_of(e)));
        h.input(ethernet(kOurMac, kPeerMac, 0x0800, ipv4(1, gateway, kOurs, e)), now);
        return send(1472).size();
    };
    const auto altered = [&](usize at) {
        Frame f = quoted;
        f[at] ^= 1;
        return f;
    };
    CHECK(too_large(1300, altered(19)) == 1);  // to whom we never wrote
    CHECK(too_large(1300, altered(21)) == 1);  // from a port that is not open
    CHECK(too_large(1300, altered(15)) == 1);  // not from us
    CHECK(too_large(1300, Frame(quoted.begin(), quoted.end() - 1)) == 1);
    CHECK(too_large(1500, quoted) == 1);  // what was sent has room there
    Frame small = quoted;
    put16(small, 2, 1200);
    CHECK(too_large(1250, small) == 1);
    CHECK(h.stack.statistics().icmp_errors_ignored == 6);
    CHECK(too_large(1300, quoted) == 2);
    CHECK_FALSE(h.stack.udp().readable(s));  // no error: it is dealt with
    for (const Frame& f : send(3000)) {
        CHECK(f.size() <= 14 + 1300);
        CHECK((take16(f, 20) & 0x4000) == 0);
    }
    out = send(1272);
    REQUIRE(out.size() == 1);
    CHECK(take16(out[0], 20) == 0x4000);
    CHECK(too_large(1400, quoted) == 2);  // wider again: nobody says that in an error
    CHECK(send(1273).size() == 2);
    CHECK(too_large(0, quoted) == 2);  // an old router; 1492 is nothing new
    Frame shorter = quoted;
    put16(shorter, 2, 1300);
    CHECK(too_large(0, shorter) == 2);  // §5: the next lower common size, 1006
    CHECK(send(978).size() == 1);
    CHECK(send(979).size() == 2);
    // Lower than anybody's: what fits is sent without DF, for the path to cut.
    CHECK(too_large(68, quoted) == 3);
    out = send(524);
    REQUIRE(out.size() == 1);
    CHECK((take16(out[0], 20) & 0x4000) == 0);
    CHECK(internet_checksum(bytes_of(out[0]).subspan(14, 20)) == 0);
    // Ten minutes later the path may be wider.
    now = now + Duration::from_s(601);
    h.stack.poll(now);
    h.input(ethernet(kOurMac, kPeerMac, 0x0806, arp(1, kPeerMac, gateway, {}, kOurs)), now);
    h.output_all(now);
    CHECK(send(1472).size() == 1);
}

TEST_CASE("Datagrams queued before the path became narrower are cut again") {
    Host h(Host::config(1), 128);
    Instant now{1};
    introduce_peer(h, now);
    const auto s = *h.stack.udp().open({{}, 500});
    const Frame data = random_bytes(5000, 1), probe(1472);
    REQUIRE(h.stack.send_to(s, {kPeer, 7}, bytes_of(probe), now));
    const Frame sent = h.output_all(now).at(0);
    REQUIRE(h.stack.send_to(s, {kPeer, 7}, bytes_of(data), now));
    Frame e{3, 4, 0, 0, 0, 0, 1000 >> 8, 1000 & 0xff};
    e.insert(e.end(), sent.begin() + 14, sent.begin() + 14 + 28);
    put16(e, 2, internet_checksum(bytes_of(e)));
    h.input(ethernet(kOurMac, kPeerMac, 0x0800, ipv4(1, kPeer, kOurs, e)), now);
    Frame got(5008);
    usize bytes = 0;
    for (const Frame& f : h.output_all(now)) {
        CHECK(f.size() <= 14 + 1000);
        const usize at = (take16(f, 20) & 0x1fff) * 8, n = take16(f, 16) - 20;
        REQUIRE(at + n <= got.size());
        std::copy(f.begin() + 34, f.begin() + 34 + long(n), got.begin() + long(at));
        bytes += n;
    }
    CHECK(bytes == got.size());
    CHECK(Frame(got.begin() + 8, got.end()) == data);
    InternetSum sum = InternetSum::pseudo_header(kOurs, kPeer, 17, got.size());
    sum.add(bytes_of(got));
    CHECK(sum.is_valid());
}
