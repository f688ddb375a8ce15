// Several interfaces in one stack: who answers by which, what goes where, what one that is down or full leaves of the
// others.
#include <map>

#include "fixture.hpp"
#include "net/ipv6.hpp"
#include "net/pump.hpp"

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

constexpr MacAddr kMac[] = {{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 0x11}}};
constexpr Ipv4Addr kOur[] = {Ipv4Addr::of(10, 0, 0, 1), Ipv4Addr::of(10, 1, 0, 1)};
constexpr Ipv4Addr kNear[] = {Ipv4Addr::of(10, 0, 0, 2), Ipv4Addr::of(10, 1, 0, 2)};
constexpr Ipv4Addr kRouter[] = {Ipv4Addr::of(10, 0, 0, 254), Ipv4Addr::of(10, 1, 0, 254)};
constexpr Ipv4Addr kFar = Ipv4Addr::of(192, 0, 2, 9);

/// A stack with two interfaces; every neighbour that it asks for is at kPeerMac.
struct Two {
    std::vector<std::byte> memory = std::vector<std::byte>(256 * PacketBuffer::kSize);
    PacketPool pool{memory, DmaAddr(0x10'0000)};
    Stack stack;
    Instant now{1};
    u32 room = 3;

    static StackConfig first() {
        StackConfig c = Host::config(1);
        return c;
    }
    static InterfaceConfig second() {
        InterfaceConfig c;
        c.addressing = Addressing::fixed;
        c.fixed = {kOur[1], 24, kRouter[1], {}};
        c.mac = kMac[1];
        return c;
    }
    explicit Two(const StackConfig& a = first(), InterfaceConfig b = second()) : stack(a, pool, {&b, 1}) {
        REQUIRE(stack.interface_count() == 2);
        stack.start(now);
        (void)take();
    }
    ~Two() {
        CHECK(pool.free() + stack.packets_held() == pool.total());
        CHECK(stack.others_are_known());
    }
    void input(u8 i, const Frame& f) {
        auto p = pool.allocate();
        REQUIRE(p);
        std::memcpy(p->append(f.size()).data(), f.data(), f.size());
        stack.input(std::move(*p), now, i);
    }
    /// What goes out by each, ARP answered and left out.
    std::map<u8, std::vector<Frame>> take() {
        std::map<u8, std::vector<Frame>> all;
        u8 to = 9;
        stack.poll(now);
        while (auto p = stack.output(now, room, to)) {
            REQUIRE((room >> to & 1) == 1);
            Frame f(p->size());
            std::memcpy(f.data(), p->data().data(), f.size());
            CHECK(std::memcmp(f.data() + 6, kMac[to].octets.data(), 6) == 0);
            if (take16(f, 12) != 0x0806) {
                all[to].push_back(f);
            } else if (take16(f, 20) == 1 && take32(f, 28) != take32(f, 38)) {
                const Ipv4Addr asked{take32(f, 38)}, asker{take32(f, 28)};
                p.reset();
                input(to, ethernet(kMac[to], kPeerMac, 0x0806, arp(2, kPeerMac, asked, kMac[to], asker)));
            }
        }
        return all;
    }
    /// By which interface a datagram from a fresh socket goes; -1: none.
    int way(Ipv4Addr to, Ipv4Addr from = {}, u16 scope = 0) {
        const auto s = *stack.udp().open({from.is_unspecified() ? IpAddr{} : IpAddr(from), 0});
        int by = -1;
        if (stack.send_to(s, {to, 9, scope}, bytes_of(Frame{1}), now))
            for (const auto& [i, frames] : take()) {
                REQUIRE(frames.size() == 1);
                CHECK(take32(frames[0], 26) == kOur[i].value);
                by = i;
            }
        stack.udp().close(s);
        return by;
    }
    Frame echo(u8 i, Ipv4Addr from, Ipv4Addr to) {
        return ethernet(kMac[i], kPeerMac, 0x0800, ipv4(1, from, to, icmp_echo(1, 2, 4)));
    }
};

}  // namespace

TEST_CASE("Interfaces: each network goes by its own, everything else by the first default route") {
    Two t;
    CHECK(t.way(kNear[0]) == 0);
    CHECK(t.way(kNear[1]) == 1);
    CHECK(t.way(kFar) == 0);
    CHECK(t.way(Ipv4Addr::of(255, 255, 255, 255)) == 0);
    CHECK(t.way(Ipv4Addr::of(10, 1, 0, 255)) == 1);
    CHECK(t.way(Ipv4Addr::of(239, 1, 1, 1)) == 0);
    // The address of ours decides, and a scope does.
    CHECK(t.way(kFar, kOur[1]) == 1);
    CHECK(t.way(kFar, kOur[0]) == 0);
    CHECK(t.way(kFar, {}, 2) == 1);
    CHECK(t.way(Ipv4Addr::of(239, 1, 1, 1), {}, 2) == 1);
    CHECK(t.way(kFar, {}, 3) == -1);
    CHECK(t.way(kNear[0], kOur[1]) == 1);  // by its router
    // A route names its interface.
    REQUIRE(t.stack.add_route({{Ipv4Addr::of(192, 0, 2, 0), 24, kRouter[1]}, 0, RouteInfo::Origin::configured, 1}));
    CHECK(t.way(kFar) == 1);
    CHECK(t.stack.add_route({{Ipv4Addr::of(192, 0, 3, 0), 24, kRouter[1]}, 0, RouteInfo::Origin::configured, 2})
              .error() == Error::invalid);
    CHECK(t.stack.configure(Addressing::none, {}, t.now, 2).error() == Error::invalid);
    REQUIRE(t.stack.configure(Addressing::none, {}, t.now, 0));
    CHECK(t.way(Ipv4Addr::of(9, 9, 9, 9)) == 1);
}

TEST_CASE("Interfaces: an address is reached by its own interface alone, and answers by it") {
    Two t;
    for (const u8 i : {u8{0}, u8{1}}) {
        t.input(i, t.echo(i, kFar, kOur[i]));  // from beyond: not by the default route but as it came
        auto out = t.take();
        REQUIRE(out[i].size() == 1);
        CHECK(out[u8(1 - i)].empty());
        CHECK(take32(out[i][0], 26) == kOur[i].value);
    }
    t.input(1, t.echo(1, kNear[1], kOur[0]));
    CHECK(t.take().empty());
    CHECK(t.stack.statistics().ip_wrong_interface == 1);
    t.input(1, t.echo(1, kNear[1], kNear[0]));  // we are no router
    CHECK(t.take().empty());
    CHECK(t.stack.statistics().ip_not_ours == 1);
    // Nor does one answer ARP for the other.
    t.input(1, ethernet(MacAddr::broadcast(), kPeerMac, 0x0806, arp(1, kPeerMac, kNear[1], {}, kOur[0])));
    u8 to;
    CHECK_FALSE(t.stack.output(t.now, 3, to));
    // To ourselves it stays inside, whichever of our addresses.
    const auto a = *t.stack.udp().open({kOur[0], 7}), b = *t.stack.udp().open({kOur[1], 8});
    REQUIRE(t.stack.send_to(a, {kOur[1], 8}, bytes_of(Frame{5}), t.now));
    CHECK(t.take().empty());
    std::byte got[4];
    const auto r = t.stack.udp().receive_from(b, got);
    REQUIRE(r);
    CHECK(r->from.address == IpAddr(kOur[0]));
}

TEST_CASE("Interfaces: what one has lost or lacks room for does not stop the other") {
    Two t;
    const auto listener = *t.stack.tcp().listen({{}, 80}, 8);
    tcp::Handle conn[2];
    for (u8 i = 0; i < 2; ++i) {
        const auto h = *t.stack.connect({kNear[i], 90}, t.now);
        auto syn = t.take()[i].at(0);
        Frame f(20);
        put16(f, 0, 90);
        put16(f, 2, take16(syn, 34));
        put32(f, 4, 1000);
        put32(f, 8, take32(syn, 38) + 1);
        f[12] = 0x50;
        f[13] = 0x12;
        put16(f, 14, 60000);
        InternetSum sum = InternetSum::pseudo_header(kNear[i], kOur[i], 6, f.size());
        sum.add(bytes_of(f));
        put16(f, 16, sum.checksum());
        t.input(i, ethernet(kMac[i], kPeerMac, 0x0800, ipv4(6, kNear[i], kOur[i], f)));
        (void)t.take();
        REQUIRE(t.stack.tcp().readiness(h).writable);
        conn[i] = h;
    }
    const Frame data(100);
    SECTION("full") {
        t.room = 2;
        for (const auto h : conn) REQUIRE(t.stack.tcp().write(h, bytes_of(data), t.now));
        auto out = t.take();
        CHECK(out[1].size() == 1);
        CHECK(t.way(kNear[0]) == -1);  // waits for room
        t.room = 3;
        CHECK(t.take()[0].size() == 2);
        // Datagrams without end do not fill the pool.
        t.room = 2;
        const auto s = *t.stack.udp().open({{}, 0});
        for (usize i = 0; i < Stack::kFrames + 5; ++i) {
            REQUIRE(t.stack.send_to(s, {kNear[0], 9}, bytes_of(data), t.now));
            (void)t.take();
        }
        CHECK(t.stack.statistics().link_full == 5);
        CHECK(t.way(kNear[1]) == 1);
        t.room = 3;
        CHECK(t.take()[0].size() == Stack::kFrames);
    }
    SECTION("without carrier") {
        t.stack.set_carrier(false, t.now, 0);
        for (const auto h : conn) REQUIRE(t.stack.tcp().write(h, bytes_of(data), t.now));
        auto out = t.take();
        CHECK(out[0].empty());
        CHECK(out[1].size() == 1);
        CHECK(t.way(kFar) == 1);            // the other default route
        CHECK(t.way(kFar, kOur[0]) == -1);  // but not under this address
        t.stack.set_carrier(true, t.now, 0);
        out = t.take();
        CHECK(out[0].size() == 1);  // what was not said
        CHECK(t.way(kFar) == 0);
    }
    t.stack.tcp().close(listener, t.now);
}

TEST_CASE("Interfaces: one address belongs to one of them") {
    InterfaceConfig same = Two::second();
    same.fixed = {kOur[0], 24, kRouter[0], {}};
    Two t(Two::first(), same);
    CHECK(t.stack.ipv4(0).address == kOur[0]);
    CHECK(t.stack.ipv4(1).address.is_unspecified());
    CHECK(t.stack.interface(1).refused);
    REQUIRE(t.stack.configure(Addressing::none, {}, t.now, 0));
    t.now = t.now + Stack::kAskAgain;
    (void)t.take();
    CHECK(t.stack.ipv4(1).address == kOur[0]);
}

TEST_CASE("Interfaces: groups are joined on all, and IPv6 has its own addresses on each") {
    StackConfig a = Two::first();
    InterfaceConfig b = Two::second();
    a.ipv6 = b.ipv6 = make_ipv6;
    Two t(a, b);
    t.now = t.now + Duration::from_s(3);
    (void)t.take();
    t.now = t.now + Duration::from_s(3);
    (void)t.take();
    const IpAddr ours[] = {t.stack.interface(0).ipv6.addresses[0].address,
                           t.stack.interface(1).ipv6.addresses[0].address};
    CHECK(ours[0] != ours[1]);
    const auto s = *t.stack.udp().open({{}, 5353});
    const IpAddr group = Ipv4Addr::of(224, 0, 0, 251), group6 = IpAddr::of(u64{0xff02} << 48, 0xfb);
    REQUIRE(t.stack.join(s, group, t.now));
    REQUIRE(t.stack.join(s, group6, t.now));
    auto out = t.take();
    CHECK_FALSE(out[0].empty());
    CHECK(out[0].size() == out[1].size());
    for (u16 scope = 1; scope <= 2; ++scope) {
        REQUIRE(t.stack.send_to(s, {group6, 5353, scope}, bytes_of(Frame{1}), t.now));
        out = t.take();
        REQUIRE(out.size() == 1);
        CHECK(out.begin()->first == scope - 1);
        std::byte got[4];  // we are members: it names the interface
        const auto r = t.stack.udp().receive_from(s, got);
        REQUIRE(r);
        CHECK(r->from.address == ours[scope - 1]);
        CHECK(r->from.scope == scope);
    }
    t.stack.close(s, t.now);
    CHECK(t.take().size() == 2);
    CHECK(t.stack.connect({IpAddr::of(u64{0xfe80} << 48, 7), 80, 3}, t.now).error() == Error::unreachable);
    REQUIRE(t.stack.connect({IpAddr::of(u64{0xfe80} << 48, 7), 80, 2}, t.now));
    out = t.take();  // a question for the neighbour, by the second
    REQUIRE(out.size() == 1);
    CHECK(out.begin()->first == 1);
}
