// Extension headers, fragments of both families, errors about them, and IGMP.
#include "ipv6_fixture.hpp"

#include <algorithm>
#include <random>

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

using Outcome = ExtensionChain::Outcome;

/// One fragment of an IPv4 datagram, as a frame to us.
Frame fragment4(u16 id, usize offset, bool more, const Frame& piece, u8 protocol = 17, const Frame& options = {}) {
    Frame f = ipv4(protocol, kPeer, kOurs, piece, options);
    put16(f, 4, id);
    put16(f, 6, u32(offset / 8) | (more ? 0x2000u : 0u));
    fix_ip_checksum(f);
    return ethernet(kOurMac, kPeerMac, 0x0800, f);
}
Frame fragment_header(u8 next, u32 id, usize offset, bool more) {
    Frame f{next, 0, 0, 0, 0, 0, 0, 0};
    put16(f, 2, u32(offset) | (more ? 1u : 0u));
    put32(f, 4, id);
    return f;
}
Frame fragment6(const IpAddr& us, u32 id, usize offset, bool more, const Frame& piece, u8 next = 17,
                const Frame& before = {}) {
    Frame payload = before;
    append(payload, fragment_header(next, id, offset, more));
    append(payload, piece);
    return ethernet(kOurMac, kPeerMac, 0x86dd, ipv6(before.empty() ? 44 : 60, kPeer6, us, payload));
}
Frame part(const Frame& f, usize at, usize n) {
    return Frame(f.begin() + long(at), f.begin() + long(std::min(at + n, f.size())));
}
Frame udp_with_sum(u16 from, u16 to, const Frame& payload) {
    return with_sum(17, kPeer, kOurs, udp(from, to, payload), 6);
}

/// walk_extensions over an IPv6 header and `payload`, which begins with a header of kind `next`.
ExtensionChain walk(u8 next, const Frame& payload) {
    const Frame f = ipv6(next, kPeer6, kPeer6, payload);
    return walk_extensions(bytes_of(f));
}

}  // namespace

TEST_CASE("RFC 8200 §4: extension headers, one thing at a time") {
    const Frame pad{59, 0, 1, 4, 0, 0, 0, 0};  // names "nothing", PadN
    const auto named = [&](u8 next) { return Frame{next, 0, 1, 4, 0, 0, 0, 0}; };
    SECTION("none, and a well-formed chain") {
        CHECK(walk(17, Frame(8)).outcome == Outcome::upper_layer);
        CHECK(walk(17, Frame(8)).offset == 40);
        CHECK(walk(59, {}).outcome == Outcome::nothing);
        Frame chain = named(60);
        append(chain, named(43));
        append(chain, Frame{6, 0, 0, 0, 0, 0, 0, 0});  // routing, type 0, no segments left
        const auto c = walk(0, chain);
        CHECK(c.outcome == Outcome::upper_layer);
        CHECK(c.protocol == 6);
        CHECK(c.offset == 64);
        CHECK(c.named_at == 56);
    }
    SECTION("hop-by-hop options come first or not at all") {
        Frame chain = named(0);
        append(chain, named(17));
        const auto c = walk(60, chain);
        CHECK(c.outcome == Outcome::problem);
        CHECK(c.code == 1);
        CHECK(c.pointer == 40);
    }
    SECTION("a routing header with segments left is refused (RFC 5095)") {
        const auto c = walk(43, {17, 0, 0, 1, 0, 0, 0, 0});
        CHECK(c.outcome == Outcome::problem);
        CHECK(c.code == 0);
        CHECK(c.pointer == 42);
    }
    SECTION("§4.2: what the type of an unknown option says") {
        const auto with = [&](u8 type) { return walk(60, {17, 0, type, 4, 0, 0, 0, 0}); };
        CHECK(with(0x1e).outcome == Outcome::upper_layer);
        CHECK(with(0x5e).outcome == Outcome::discard);
        CHECK(with(0x9e).outcome == Outcome::problem);
        CHECK(with(0x9e).code == 2);
        CHECK(with(0x9e).pointer == 42);
        CHECK(with(0xde).outcome == Outcome::problem_unless_multicast);
    }
    SECTION("lengths: every one that does not fit") {
        for (u8 length = 0; length < 255; ++length)
            CHECK((walk(60, {17, 0, 1, length, 0, 0, 0, 0}).outcome == Outcome::upper_layer) == (length <= 4));
        for (u8 n = 1; n != 0; ++n) CHECK(walk(60, {17, n, 1, 4, 0, 0, 0, 0}).outcome == Outcome::discard);
        for (usize n = 0; n < 8; ++n) CHECK(walk(60, Frame(n)).outcome == Outcome::discard);
        CHECK(walk(60, {17, 0, 1, 3, 0, 0, 0, 1}).outcome == Outcome::discard);  // an option's type, and no length
    }
    SECTION("a chain of 1,000, and 1,000 options") {
        Frame chain;
        for (int i = 0; i < 1000; ++i) append(chain, named(60));
        CHECK(walk(60, chain).outcome == Outcome::discard);
        Frame options{17, 255};
        while (options.size() < 2048) append(options, Frame{0x1e, 0});
        CHECK(walk(60, options).outcome == Outcome::discard);
        Frame few{17, 1};
        while (few.size() < 16) few.push_back(0);  // Pad1
        CHECK(walk(60, few).outcome == Outcome::upper_layer);
    }
    SECTION("RFC 6946: a fragment that is all there is nothing special") {
        CHECK(walk(44, fragment_header(17, 5, 0, false)).outcome == Outcome::upper_layer);
        CHECK(walk(44, fragment_header(17, 5, 8, false)).outcome == Outcome::fragment);
        CHECK(walk(44, fragment_header(17, 5, 0, true)).outcome == Outcome::fragment);
    }
}

TEST_CASE("RFC 4443: errors are sent where they may be, and no more than twenty a second") {
    Host6 h;
    const IpAddr us = h.settle();
    h.introduce(kPeer6, kPeerMac, us);
    const auto answer = [&](const Frame& f) {
        h.give(f);
        const auto out = h.run({});
        return out.empty() ? Frame{} : out[0];
    };
    const auto packet = [&](u8 next, const Frame& payload, const IpAddr& to) {
        return ethernet(to.is_multicast() ? group_mac(to) : kOurMac, kPeerMac, 0x86dd, ipv6(next, kPeer6, to, payload));
    };
    Frame e = answer(packet(17, udp6(kPeer6, us, 9, 4711, {1, 2, 3}), us));
    REQUIRE(!e.empty());
    CHECK((e[54] == 1 && e[55] == 4));
    CHECK(sum_is_right(e));
    CHECK(e.size() == 14 + 40 + 8 + 40 + 11);
    e = answer(packet(200, Frame(8), us));
    REQUIRE(!e.empty());
    CHECK((e[54] == 4 && e[55] == 1 && take32(e, 58) == 6));
    e = answer(packet(60, {17, 0, 0xde, 4, 0, 0, 0, 0}, us));
    REQUIRE(!e.empty());
    CHECK((e[54] == 4 && e[55] == 2 && take32(e, 58) == 42));
    e = answer(packet(60, {17, 0, 0x9e, 4, 0, 0, 0, 0}, kAllNodes));  // RFC 4443 §2.4 e.3: even then
    CHECK(!e.empty());
    e = answer(packet(17, udp6(kPeer6, us, 9, 4711, Frame(1400)), us));
    CHECK(e.size() == 14 + 1280);
    // Not about groups, not about errors, not to nobody.
    CHECK(answer(packet(60, {17, 0, 0xde, 4, 0, 0, 0, 0}, kAllNodes)).empty());
    CHECK(answer(packet(17, udp6(kPeer6, kAllNodes, 9, 4711, {1}), kAllNodes)).empty());
    Frame chain{58, 0, 0xde, 4, 0, 0, 0, 0};
    append(chain, Frame{1, 4, 0, 0, 0, 0, 0, 0});
    e = answer(packet(60, chain, us));
    CHECK(!e.empty());  // the walk ended before the error inside could be seen
    CHECK(answer(ethernet(kOurMac, kPeerMac, 0x86dd, ipv6(17, {}, us, udp6({}, us, 9, 4711, {1})))).empty());
    usize sent = 0;
    for (int i = 0; i < 100; ++i) sent += !answer(packet(200, Frame(8), us)).empty();
    CHECK(sent == 20 - 6);
    CHECK(h.stats().icmp_errors_limited == 100 - sent);
}

TEST_CASE("RFC 8201, RFC 4443 §2.4 d: packet too big is believed about what we sent, and never below 1280") {
    Host6 h;
    const IpAddr us = h.settle_with_router();
    const auto s = *h.stack.udp().open({{}, 1000});
    REQUIRE(h.stack.send_to(s, {kFar6, 7}, std::vector<std::byte>(1400), h.now));
    auto out = h.run({});
    REQUIRE(out.size() == 1);
    const auto too_big = [&](u32 mtu, const Frame& quoted) {
        Frame m{2, 0, 0, 0, 0, 0, 0, 0};
        put32(m, 4, mtu);
        append(m, quoted);
        h.give(icmp6(kRouter6, us, m, 255, kRouterMac));
        return h.stack.ipv6()->path_mtu(kFar6, h.now);
    };
    const Frame quoted = part(out[0], 14, 1200);
    Frame foreign = quoted;
    foreign[39] ^= 1;  // to whom we never wrote
    CHECK(too_big(1300, foreign) == 1500);
    foreign = quoted;
    foreign[41] ^= 1;  // from a port that is not open
    CHECK(too_big(1300, foreign) == 1500);
    foreign = quoted;
    foreign[23] ^= 1;  // not from us
    CHECK(too_big(1300, foreign) == 1500);
    for (usize n = 0; n < 48; ++n) CHECK(too_big(1300, part(quoted, 0, n)) == 1500);
    CHECK(too_big(1279, quoted) == 1500);
    CHECK(too_big(1300, quoted) == 1300);
    // From now on in fragments, which the other side can put together.
    const Frame data = random_bytes(1500, 5);
    REQUIRE(h.stack.send_to(s, {kFar6, 7}, bytes_of(data), h.now));
    out = h.run({});
    REQUIRE(out.size() == 2);
    Host6 peer(Host6::config6(2));
    Statistics stats;
    Reassembly reassembly(peer.pool, stats);
    std::optional<PacketBuffer> whole;
    for (const Frame& f : out) {
        CHECK(f.size() <= 14 + 1300);
        CHECK(f[20] == 44);
        auto p = peer.pool.allocate();
        std::memcpy(p->append(f.size() - 14).data(), f.data() + 14, f.size() - 14);
        const u32 field = take16(f, 56);
        whole = reassembly.add({us, kFar6, take32(f, 58), 44}, {std::move(*p), 48, field & 0xfff8, (field & 1) != 0},
                               Duration::from_s(60), {});
    }
    REQUIRE(whole);
    CHECK(whole->flatten());
    Frame got(whole->size() - 48);
    std::memcpy(got.data(), whole->data().data() + 48, got.size());
    CHECK(part(got, 8, 9999) == data);
    InternetSum sum = InternetSum::pseudo_header(us, kFar6, 17, got.size());
    sum.add(bytes_of(got));
    CHECK(sum.is_valid());
    // A wider path is found again.
    h.run(Duration::from_s(601));
    CHECK(h.stack.ipv6()->path_mtu(kFar6, h.now) == 1500);
}

TEST_CASE("Fragments of both families become the datagram they were, in any order and doubled") {
    Host6 h;
    const IpAddr us = h.settle();
    h.stack.poll(h.now);
    const auto s = *h.stack.udp().open({{}, 7});
    std::mt19937 engine(20261126);
    for (int round = 0; round < 60; ++round) {
        const bool v6 = round % 2 == 0;
        const usize size = 1 + engine() % (round % 7 == 0 ? 9000 : 3000);
        const Frame data = random_bytes(size, unsigned(round));
        const Frame datagram = v6 ? udp6(kPeer6, us, 9, 7, data) : udp_with_sum(9, 7, data);
        const usize step = 8 * (4 + engine() % 160);
        std::vector<Frame> frames;
        for (usize at = 0; at < datagram.size(); at += step) {
            const Frame piece = part(datagram, at, step);
            const bool more = at + step < datagram.size();
            if (!more && at == 0) break;
            frames.push_back(v6 ? fragment6(us, u32(round), at, more, piece) : fragment4(u16(round), at, more, piece));
        }
        if (frames.empty() || frames.size() > 7) continue;  // an eighth of this small pool
        std::shuffle(frames.begin(), frames.end(), engine);
        if (engine() % 2 == 0) frames.insert(frames.begin() + 1, frames[0]);
        CAPTURE(round, size, step);
        for (const Frame& f : frames) h.give(f);
        CHECK(received(h, s) == data);
        h.check_conservation();
    }
    CHECK(h.stats().reassembled > 20);
    CHECK(h.stats().udp_bad_checksum == 0);
    h.stack.udp().close(s);
    CHECK(h.pool.free() == h.pool.total());
}

TEST_CASE("An echo that came in fragments is answered in fragments") {
    const usize payload = GENERATE(usize{1800}, usize{9001});  // the latter in several buffers
    Host6 h;
    const IpAddr us = h.settle_with_peer();
    Frame request = icmp_echo(1, 2, payload);
    request[0] = 128;
    request = with_sum(58, kPeer6, us, request, 2);
    const Frame four = icmp_echo(1, 2, payload);
    const auto answered = [&](const Frame& message, usize headers, auto fragment) {
        for (usize at = 0; at < message.size(); at += 1200)
            h.give(fragment(at, at + 1200 < message.size(), part(message, at, 1200)));
        Frame whole;
        for (const Frame& f : h.output_all(h.now)) {
            CHECK(f.size() <= 1514);
            append(whole, part(f, headers, 9999));
        }
        return whole;
    };
    const Frame got4 = answered(four, 34, [](usize at, bool more, Frame p) { return fragment4(1, at, more, p, 1); });
    const Frame got6 =
        answered(request, 62, [&](usize at, bool more, Frame p) { return fragment6(us, 1, at, more, p, 58); });
    REQUIRE(got4.size() == four.size());
    CHECK(got4[0] == 0);
    CHECK(internet_checksum(bytes_of(got4)) == 0);
    CHECK(part(got4, 8, 9999) == part(four, 8, 9999));
    REQUIRE(got6.size() == request.size());
    CHECK(got6[0] == 129);
    CHECK(with_sum(58, us, kPeer6, got6, 2) == got6);
    CHECK(part(got6, 8, 9999) == part(request, 8, 9999));
    h.check_conservation();
}

TEST_CASE("Fragments are whole though a device has merged what they answer anyhow") {
    const usize first = GENERATE(usize{62}, usize{1000}, usize{1499}), payload = GENERATE(usize{1600}, usize{5000});
    Host6 h;
    const IpAddr us = h.settle_with_peer();
    Frame request = icmp_echo(1, 2, payload);
    const Frame four = ethernet(kOurMac, kPeerMac, 0x0800, ipv4(1, kPeer, kOurs, request));
    request[0] = 128;
    request = with_sum(58, kPeer6, us, request, 2);
    const Frame six = ethernet(kOurMac, kPeerMac, 0x86dd, ipv6(58, kPeer6, us, request));
    for (const bool v6 : {false, true}) {
        CAPTURE(v6);
        const Frame& f = v6 ? six : four;
        auto p = scatter(h.pool, bytes_of(f), first, 2003);  // without room in front, as for the largest frames
        REQUIRE(p);
        h.stack.input(std::move(*p), h.now);
        Frame whole;
        for (const Frame& got : h.output_all(h.now)) {
            const usize at = v6 ? take16(got, 56) & ~7u : (take16(got, 20) & 0x1fff) * 8;
            REQUIRE(at == whole.size());
            append(whole, part(got, v6 ? 62 : 34, 9999));
        }
        REQUIRE(whole.size() == payload + 8);
        CHECK(part(whole, 8, 9999) == part(request, 8, 9999));
    }
    h.check_conservation();
}

TEST_CASE("RFC 7739 §5.3: the ids of one peer's fragments do not tell those of another's") {
    Host6 h;
    const IpAddr us = h.settle(), other6 = IpAddr::of(u64{0xfe80} << 48, 0x77);
    const Ipv4Addr other = Ipv4Addr::of(10, 0, 0, 77);
    for (const IpAddr& a : {kPeer6, other6}) h.introduce(a, kPeerMac, us);
    for (const Ipv4Addr a : {kPeer, other}) h.give(ethernet(kOurMac, kPeerMac, 0x0806, arp(1, kPeerMac, a, {}, kOurs)));
    h.output_all(h.now);
    const auto s = *h.stack.udp().open({{}, 7});
    const Frame data = random_bytes(1600, 1);
    const auto id_to = [&](const IpAddr& to) {
        REQUIRE(h.stack.send_to(s, {to, 9}, bytes_of(data), h.now));
        const auto out = h.output_all(h.now);
        REQUIRE(out.size() == 2);
        const bool v4 = take16(out[0], 12) == 0x0800;
        const auto id = [v4](const Frame& f) { return v4 ? u32{take16(f, 18)} << 16 : take32(f, 58); };
        CHECK(id(out[0]) == id(out[1]));
        return id(out[0]);
    };
    for (const auto& [one, two] : {std::pair{IpAddr(kPeer), IpAddr(other)}, std::pair{IpAddr(kPeer6), other6}}) {
        const u32 a = id_to(one), b = id_to(two), again = id_to(one);
        CHECK(a != again);
        CHECK(std::min(b - a, a - b) > 100u << 16);
    }
}

TEST_CASE("RFC 5722: an overlap ends the datagram and all that still comes of it") {
    Host6 h;
    const IpAddr us = h.settle();
    const auto s = *h.stack.udp().open({{}, 7});
    const Frame datagram = udp6(kPeer6, us, 9, 7, random_bytes(56, 1));  // 64 bytes
    const auto piece = [&](u32 id, usize at, usize n) {
        return fragment6(us, id, at, at + n < 64, part(datagram, at, n));
    };
    struct Case {
        const char* what;
        std::vector<Frame> frames;
    };
    Frame other = datagram;
    other[20] ^= 1;
    const Case cases[] = {
        {"one byte group twice", {piece(1, 0, 32), piece(1, 24, 16), piece(1, 40, 24)}},
        {"inside another", {piece(2, 0, 32), piece(2, 8, 8), piece(2, 32, 32)}},
        {"around another", {piece(3, 8, 8), piece(3, 0, 32), piece(3, 32, 32)}},
        {"the same place, other bytes",
         {piece(4, 0, 32), fragment6(us, 4, 0, true, part(other, 0, 32)), piece(4, 32, 32)}},
        {"two ends",
         {fragment6(us, 5, 32, false, part(datagram, 32, 32)), fragment6(us, 5, 32, false, Frame(16)),
          piece(5, 0, 32)}},
        {"beyond the end",
         {fragment6(us, 6, 32, false, part(datagram, 32, 32)), fragment6(us, 6, 64, true, Frame(8)), piece(6, 0, 32)}},
        {"an end before what is there",
         {fragment6(us, 7, 64, true, Frame(8)), fragment6(us, 7, 32, false, part(datagram, 32, 32)), piece(7, 0, 32)}},
    };
    for (const Case& c : cases) {
        CAPTURE(c.what);
        for (const Frame& f : c.frames) h.give(f);
        for (const Frame& f : c.frames) h.give(f);  // still poisoned
        CHECK(received(h, s).empty());
        h.check_conservation();
    }
    CHECK(h.stats().fragments_overlap == 4);
    CHECK(h.pool.free() == h.pool.total());
    h.run(Duration::from_s(61));  // and afterwards the number is free again
    h.give(piece(1, 0, 32));
    h.give(piece(1, 32, 32));
    CHECK(received(h, s) == part(datagram, 8, 56));
}

TEST_CASE("Fragments that lie about lengths are dropped") {
    Host6 h;
    const IpAddr us = h.settle();
    h.introduce(kPeer6, kPeerMac, us);
    const auto code = [&](const Frame& f) {
        h.give(f);
        const auto out = h.run({});
        return out.empty() ? -1 : out[0][54] * 256 + out[0][55];
    };
    const Frame start = part(udp6(kPeer6, us, 9, 7, Frame(200)), 0, 64);
    CHECK(code(fragment6(us, 1, 0, true, part(start, 0, 63))) == 4 * 256 + 0);  // not a multiple of 8
    CHECK(code(fragment6(us, 2, 65528, false, Frame(16))) == 4 * 256 + 0);      // beyond 65,535
    CHECK(code(fragment6(us, 3, 64, false, {})) == -1);                         // nothing in it
    CHECK(code(fragment6(us, 4, 0, true, {17, 0, 1, 4, 0, 0, 0, 0}, 60)) ==
          4 * 256 + 3);  // RFC 7112: headers cut short
    CHECK(code(fragment6(us, 5, 0, true, {}, 17)) == 4 * 256 + 3);
    CHECK(code(fragment6(us, 6, 0, true, fragment_header(17, 7, 0, true), 44)) == -1);  // fragments of fragments
    CHECK(h.stats().fragments_bad == 6);
    CHECK(h.pool.free() == h.pool.total());
    for (usize n = 0; n < 8; ++n) h.give(ethernet(kOurMac, kPeerMac, 0x86dd, ipv6(44, kPeer6, us, Frame(n, 1))));
    CHECK(h.stats().ip6_extension == 8);
    // IPv4: the same, in its own words.
    h.give(fragment4(1, 0, true, Frame(63)));
    h.give(fragment4(2, 65528, false, Frame(16)));
    h.give(fragment4(3, 64, false, {}));
    CHECK(h.stats().fragments_bad == 9);
    CHECK(h.pool.free() == h.pool.total());
}

TEST_CASE("RFC 8200 §4.5, RFC 792: what never becomes whole is dropped in time, and its sender told") {
    Host6 h;
    const IpAddr us = h.settle_with_peer();
    h.give(fragment6(us, 1, 0, true, part(udp6(kPeer6, us, 9, 7, Frame(200)), 0, 64)));
    h.give(fragment6(us, 2, 64, true, Frame(64)));  // not the first: no word about it
    h.give(fragment4(3, 0, true, part(udp_with_sum(9, 7, Frame(200)), 0, 64)));
    CHECK(h.pool.free() == h.pool.total() - 3);
    std::vector<Frame> all;
    for (int i = 0; i < 65; ++i) {
        h.stack.poll(h.now);
        for (Frame& f : h.output_all(h.now)) all.push_back(std::move(f));
        h.now = h.now + Duration::from_s(1);
    }
    const auto exceeded6 = icmp6_of(all, 3);
    REQUIRE(exceeded6.size() == 1);
    CHECK(exceeded6[0][55] == 1);
    CHECK(std::count_if(all.begin(), all.end(), [](const Frame& f) {
              return take16(f, 12) == 0x0800 && f[23] == 1 && f[34] == 11 && f[35] == 1;
          }) == 1);
    CHECK(h.stats().fragments_timeout == 3);
    CHECK(h.pool.free() == h.pool.total());
}

TEST_CASE("A flood of fragments holds an eighth of the pool, and honest ones pass again afterwards") {
    Host6 h(Host6::config6(), 128);
    const IpAddr us = h.settle();
    const auto s = *h.stack.udp().open({{}, 7});
    std::mt19937 engine(1);
    for (u32 i = 0; i < 5000; ++i) {
        if (i % 2 == 0)
            h.give(fragment6(us, engine() % 64, 8 + 8 * (engine() % 4000), true, Frame(8 + 8 * (engine() % 8))));
        else
            h.give(fragment4(u16(engine() % 64), 8 + 8 * (engine() % 4000), true, Frame(8)));
        REQUIRE(h.pool.free() >= h.pool.total() - h.pool.total() / 8);
    }
    h.check_conservation();
    CHECK(h.stats().fragments_limited > 1000);
    const Frame data = random_bytes(1000, 3);
    const Frame datagram = udp_with_sum(9, 7, data);
    h.give(fragment4(999, 0, true, part(datagram, 0, 504)));
    h.give(fragment4(999, 504, false, part(datagram, 504, 9999)));
    CHECK(received(h, s) == data);
}

TEST_CASE("TCP arrives in fragments too; its header must be in the first") {
    Host6 h;
    const IpAddr us = h.settle();
    const auto l = *h.stack.tcp().listen({{}, 80}, 4);
    Frame syn(20);
    put16(syn, 0, 4000);
    put16(syn, 2, 80);
    put32(syn, 4, 100);
    syn[12] = 0x50;
    syn[13] = 2;
    put16(syn, 14, 65535);
    syn = with_sum(6, kPeer6, us, syn, 16);
    h.give(fragment6(us, 1, 0, true, part(syn, 0, 16), 6));
    h.give(fragment6(us, 1, 16, false, part(syn, 16, 4), 6));
    CHECK(h.stack.tcp().stats().bad_header == 1);  // across two buffers: refused, not read
    h.give(ethernet(kOurMac, kPeerMac, 0x86dd, ipv6(6, kPeer6, us, syn)));
    CHECK(h.stack.tcp().connections() == 1);
    h.stack.tcp().close(l, h.now);
}

TEST_CASE("IPv4 datagrams larger than the MTU leave in fragments that come together again") {
    Pair net;
    const auto a = *net.a.stack.udp().open({{}, 1}), b = *net.b.stack.udp().open({{}, 2});
    const Frame data = random_bytes(1920, 9);
    usize fragments = 0;
    net.tap = [&](const Frame& f) {
        if (f[23] == 17) ++fragments;
        CHECK(f.size() <= 1514);
        return true;
    };
    REQUIRE(net.a.stack.send_to(a, {Ipv4Addr::of(10, 0, 0, 2), 2}, bytes_of(data), net.now));
    net.settle();
    CHECK(fragments == (data.size() + 8 + 1479) / 1480);
    CHECK(received(net.b, b) == data);
    CHECK(net.b.stack.statistics().reassembled == 1);
}

TEST_CASE("RFC 3376: joins are reported twice, queries answered, leaves told") {
    Host h(1);
    Instant now{1};
    const auto run = [&](Duration d) {
        std::vector<Frame> all;
        for (const Instant end = now + d; now <= end; now = now + Duration::from_ms(10)) {
            h.stack.poll(now);
            for (Frame& f : h.output_all(now))
                if (take16(f, 12) == 0x0800 && f[23] == 2) all.push_back(std::move(f));
        }
        return all;
    };
    const Ipv4Addr group = Ipv4Addr::of(239, 1, 2, 3);
    run(Duration::from_s(5));
    REQUIRE(h.stack.join(group, now));
    REQUIRE(h.stack.join(group, now));  // nested
    auto out = run(Duration::from_s(3));
    REQUIRE(out.size() == 2);
    const Frame& r = out[0];
    CHECK(take32(r, 30) == Ipv4Addr::of(224, 0, 0, 22).value);
    CHECK((r[0] == 1 && r[2] == 0x5e && r[5] == 22));
    CHECK((r[14] == 0x46 && r[22] == 1 && r[34] == 148));  // router alert, TTL 1
    CHECK(internet_checksum(bytes_of(r).subspan(14, 24)) == 0);
    CHECK(internet_checksum(bytes_of(r).subspan(38)) == 0);
    CHECK((r[38] == 0x22 && take16(r, 44) == 1 && r[46] == 4));
    CHECK(take32(r, 50) == group.value);
    const auto query = [&](Ipv4Addr which, u8 ttl = 1) {
        Frame m{0x11, 20, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0};
        put32(m, 4, which.value);
        put16(m, 2, internet_checksum(bytes_of(m)));
        Frame f = ipv4(2, kPeer, kAllHosts, m);
        f[8] = ttl;
        fix_ip_checksum(f);
        h.input(ethernet({{1, 0, 0x5e, 0, 0, 1}}, kPeerMac, 0x0800, f), now);
        return run(Duration::from_s(3));
    };
    out = query({});
    REQUIRE(out.size() == 1);
    CHECK(out[0][46] == 2);
    CHECK(query(group).size() == 1);
    CHECK(query(Ipv4Addr::of(239, 9, 9, 9)).empty());
    CHECK(query({}, 64).empty());
    CHECK(h.stack.statistics().igmp_bad == 1);
    // A datagram to the group arrives; to another it does not.
    const auto s = *h.stack.udp().open({{}, 7});
    REQUIRE(h.stack.udp().join(s, group));
    for (const Ipv4Addr& to : {group, Ipv4Addr::of(239, 9, 9, 9)})
        h.input(ethernet({{1, 0, 0x5e, 1, 2, 3}}, kPeerMac, 0x0800, ipv4(17, kPeer, to, udp(9, 7, {42}))), now);
    CHECK(received(h, s) == Frame{42});
    CHECK(received(h, s).empty());
    h.stack.leave(group, now);
    CHECK(run(Duration::from_s(3)).empty());
    h.stack.leave(group, now);
    out = run(Duration::from_s(3));
    REQUIRE(out.size() == 2);
    CHECK(out[0][46] == 3);
    CHECK(query({}).empty());
    CHECK(h.stack.join(kPeer, now).error() == Error::invalid);
    CHECK(h.stack.join(ip("ff02::5"), now).error() == Error::unreachable);
}

TEST_CASE("RFC 3810: queries are answered for the groups asked about") {
    Host6 h;
    const IpAddr us = h.settle();
    h.run(Duration::from_s(60));
    const auto query = [&](const IpAddr& group, u8 hops = 1) {
        Frame m{130, 0, 0, 0, 0x03, 0xe8, 0, 0};
        append(m, group);
        append(m, Frame{0, 0, 0, 0});
        h.give(icmp6(kRouter6, kAllNodes, m, hops, kRouterMac));
        return icmp6_of(h.run(Duration::from_s(2)), 143);
    };
    auto out = query({});
    REQUIRE(out.size() == 1);
    CHECK(out[0][70] == 2);
    CHECK(take_ip(out[0], 74) == solicited_node(us));
    CHECK(query(solicited_node(us)).size() == 1);
    CHECK(query(ip("ff02::1:ff00:1")).empty());
    CHECK(query({}, 2).empty());
    CHECK(h.stats().mld_bad == 1);
}
