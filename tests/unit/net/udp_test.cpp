// UDP sockets: who hears what, connected or not, one of many; ICMP errors; groups; bounds.
#include "fixture.hpp"

#include <set>
#include <string>

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

constexpr Ipv4Addr kGroup = Ipv4Addr::of(239, 1, 2, 3), kOther = Ipv4Addr::of(239, 1, 2, 4);
constexpr MacAddr kGroupMac{{1, 0, 0x5e, 1, 2, 3}};

struct Box {
    Host h{1};
    Instant now{1};
    Udp& udp_ = h.stack.udp();
    Box() { introduce_peer(h, now); }
    void hear(u16 from, u16 to, std::string_view what, Ipv4Addr source = kPeer, Ipv4Addr destination = kOurs,
              MacAddr mac = kOurMac) {
        h.input(ethernet(mac, kPeerMac, 0x0800,
                         ipv4(17, source, destination, net::test::udp(from, to, Frame(what.begin(), what.end())))),
                now);
    }
    /// "-": nothing; else the payload, or the error.
    std::string read(UdpHandle s) {
        char buffer[64];
        const auto r = udp_.receive_from(s, std::as_writable_bytes(std::span(buffer)));
        if (r) return std::string(buffer, r->size);
        return r.error() == Error::would_block ? "-" : std::string(to_string(r.error()));
    }
    /// ICMP about what we sent from `from` to kPeer:`to`.
    void icmp_error(u8 type, u8 code, u16 from, u16 to, Ipv4Addr remote = kPeer) {
        Frame e(8);
        e[0] = type;
        e[1] = code;
        const Frame quoted = ipv4(17, kOurs, remote, net::test::udp(from, to, {}));
        e.insert(e.end(), quoted.begin(), quoted.end());
        put16(e, 2, internet_checksum(bytes_of(e)));
        h.input(ethernet(kOurMac, kPeerMac, 0x0800, ipv4(1, kPeer, kOurs, e)), now);
    }
};

Bytes text(std::string_view s) {
    return std::as_bytes(std::span(s));
}

}  // namespace

TEST_CASE("udp: the connected socket hears its peer alone, the open one all others") {
    Box b;
    const auto open = *b.udp_.open({{}, 500}, PortUse::shared);
    const auto connected = *b.udp_.open({{}, 500}, PortUse::shared);
    REQUIRE(b.udp_.connect(connected, {kPeer, 7}));
    b.hear(7, 500, "peer");
    b.hear(8, 500, "other port");
    b.hear(7, 500, "other host", Ipv4Addr::of(10, 0, 0, 8));
    CHECK(b.read(connected) == "peer");
    CHECK(b.read(connected) == "-");
    CHECK(b.read(open) == "other port");
    CHECK(b.read(open) == "other host");
    CHECK(b.udp_.remote(open).error() == Error::not_connected);
    CHECK(b.udp_.remote(connected) == Endpoint{kPeer, 7});
    // What it sends goes there and nowhere else.
    CHECK(b.h.stack.send_to(connected, {}, text("x"), b.now));
    CHECK(b.h.stack.send_to(connected, {kPeer, 7}, text("x"), b.now));
    CHECK(b.h.stack.send_to(connected, {kPeer, 8}, text("x"), b.now).error() == Error::invalid);
    CHECK(b.h.stack.send_to(open, {}, text("x"), b.now).error() == Error::not_connected);
    const auto sent = b.h.output_all(b.now);
    REQUIRE(sent.size() == 2);
    CHECK(take16(sent[0], 36) == 7);
    // Connecting drops what strangers have said; undone, it hears everybody.
    b.hear(9, 500, "early");
    REQUIRE(b.udp_.connect(open, {kPeer, 10}));
    CHECK(b.read(open) == "-");
    REQUIRE(b.udp_.connect(open, {}));
    b.hear(11, 500, "late");
    CHECK(b.read(open) == "late");
    CHECK(b.udp_.connect(open, {kGroup, 7}).error() == Error::invalid);
    CHECK(b.udp_.connect(open, {Ipv4Addr{}, 7}).error() == Error::invalid);
}

TEST_CASE("udp: icmp errors reach the connected socket, others only when the port is closed") {
    struct Case {
        u8 type, code;
        const char* connected;
        const char* open;
    };
    const std::string refused(to_string(Error::connection_refused)), away(to_string(Error::unreachable));
    for (const auto& [type, code, connected_says, open_says] : {std::tuple{3, 3, refused, refused},
                                                                {3, 1, away, std::string("-")},
                                                                {3, 0, away, std::string("-")},
                                                                {3, 13, away, std::string("-")},
                                                                {11, 0, away, std::string("-")}}) {
        CAPTURE(type, code);
        Box b;
        const auto open = *b.udp_.open({{}, 500}), connected = *b.udp_.open({{}, 501});
        REQUIRE(b.udp_.connect(connected, {kPeer, 7}));
        REQUIRE(b.h.stack.send_to(open, {kPeer, 7}, text("x"), b.now));
        b.h.output_all(b.now);
        while (b.udp_.next_ready()) {
        }
        b.icmp_error(static_cast<u8>(type), static_cast<u8>(code), 501, 8);  // never sent there
        b.icmp_error(static_cast<u8>(type), static_cast<u8>(code), 502, 7);  // no such socket
        b.icmp_error(static_cast<u8>(type), static_cast<u8>(code), 501, 7, Ipv4Addr::of(10, 0, 0, 8));
        CHECK_FALSE(b.udp_.readable(connected));
        CHECK(b.h.stack.statistics().icmp_errors_ignored == 3);
        b.icmp_error(static_cast<u8>(type), static_cast<u8>(code), 500, 7);
        b.icmp_error(static_cast<u8>(type), static_cast<u8>(code), 501, 7);
        CHECK(b.udp_.readable(connected));
        b.hear(7, 501, "after");
        CHECK(b.read(connected) == connected_says);
        CHECK(b.read(connected) == "after");
        CHECK(b.read(open) == open_says);
    }
}

TEST_CASE("udp: groups: joined sockets on the port hear, each its own copy; others do not") {
    Box b;
    const auto first = *b.udp_.open({{}, 5353}, PortUse::shared), second = *b.udp_.open({{}, 5353}, PortUse::shared),
               outside = *b.udp_.open({{}, 5353}, PortUse::shared), elsewhere = *b.udp_.open({{}, 5354});
    b.hear(9, 5353, "nobody", kPeer, kGroup, kGroupMac);
    CHECK(b.h.stack.statistics().ip_not_ours == 1);
    REQUIRE(b.h.stack.join(first, kGroup, b.now));
    REQUIRE(b.h.stack.join(second, kGroup, b.now));
    REQUIRE(b.h.stack.join(elsewhere, kGroup, b.now));
    CHECK(b.h.stack.join(first, kGroup, b.now).error() == Error::exists);
    CHECK(b.h.stack.join(first, kPeer, b.now).error() == Error::invalid);
    CHECK(b.h.stack.leave(outside, kGroup, b.now).error() == Error::not_found);
    b.hear(9, 5353, "all", kPeer, kGroup, kGroupMac);
    b.hear(9, 5353, "other group", kPeer, kOther, kGroupMac);
    CHECK(b.read(first) == "all");
    CHECK(b.read(second) == "all");
    for (const UdpHandle s : {first, second, outside, elsewhere}) CHECK(b.read(s) == "-");
    // No ICMP answers to a group, whoever listens.
    b.h.output_all(b.now);
    b.hear(9, 4000, "closed port", kPeer, kGroup, kGroupMac);
    CHECK(b.h.output_all(b.now).empty());
    REQUIRE(b.h.stack.leave(first, kGroup, b.now));
    b.hear(9, 5353, "fewer", kPeer, kGroup, kGroupMac);
    CHECK(b.read(first) == "-");
    CHECK(b.read(second) == "fewer");
    // The last to close leaves the group, and the routers are told (a report of "to include", type 3).
    auto leaves = [&] {
        bool told = false;
        b.h.stack.poll(b.now);
        for (const Frame& f : b.h.output_all(b.now)) told |= f[23] == 2 && f.at(46) == 3;
        return told;
    };
    b.h.stack.close(second, b.now);
    CHECK_FALSE(leaves());
    b.h.stack.close(elsewhere, b.now);
    CHECK(leaves());
    for (usize i = 0; i < Udp::kGroups; ++i)
        CHECK(b.h.stack.join(first, Ipv4Addr{kGroup.value + static_cast<u32>(i)}, b.now));
    CHECK(b.h.stack.join(first, Ipv4Addr::of(224, 0, 0, 99), b.now).error() == Error::no_space);
    // What we send to one stays on the link.
    b.h.output_all(b.now);
    REQUIRE(b.h.stack.send_to(first, {kGroup, 5353}, text("x"), b.now));
    const auto sent = b.h.output_all(b.now);
    REQUIRE(sent.size() == 1);
    CHECK(std::memcmp(sent[0].data(), kGroupMac.octets.data(), 6) == 0);
    CHECK(sent[0][22] == 1);
}

TEST_CASE("udp: a broadcast reaches every socket on its port, unicast one of those that share it") {
    Box b;
    const auto first = *b.udp_.open({{}, 67}, PortUse::shared), second = *b.udp_.open({{}, 67}, PortUse::shared);
    CHECK(b.udp_.open({{}, 67}).error() == Error::in_use);
    const auto exclusive = *b.udp_.open({{}, 68});
    CHECK(b.udp_.open({{}, 68}, PortUse::shared).error() == Error::in_use);
    b.hear(9, 67, "hello", kPeer, Ipv4Addr{0xffffffff}, MacAddr::broadcast());
    b.hear(9, 67, "subnet", kPeer, Ipv4Addr::of(10, 0, 0, 255), MacAddr::broadcast());
    for (const UdpHandle s : {first, second}) {
        CHECK(b.read(s) == "hello");
        CHECK(b.read(s) == "subnet");
    }
    b.hear(9, 67, "one");
    CHECK((b.read(first) == "one") != (b.read(second) == "one"));
    CHECK(b.read(exclusive) == "-");
    REQUIRE(b.h.stack.send_to(exclusive, {Ipv4Addr{0xffffffff}, 9}, text("x"), b.now));
    CHECK(b.h.output_all(b.now)[0][0] == 0xff);
}

TEST_CASE("udp: ephemeral ports are spread over half the numbers, queues are bounded") {
    Box b;
    std::set<u16> ports;
    for (int i = 0; i < 500; ++i) {
        const auto s = *b.udp_.open({});
        ports.insert(b.udp_.local(s)->port);
        b.udp_.close(s);
    }
    CHECK(ports.size() > 480);
    CHECK(*ports.begin() >= Udp::kFirstEphemeral);
    CHECK(*ports.begin() < Udp::kFirstEphemeral + 2000);
    CHECK(*ports.rbegin() > 63'500);
    // Writers share a quarter of the pool.
    const auto s = *b.udp_.open({}), t = *b.udp_.open({});
    usize queued = 0;
    for (int i = 0; i < 100; ++i)
        queued += b.h.stack.send_to(i % 2 == 0 ? s : t, {kPeer, 9}, text("x"), b.now).has_value();
    CHECK(queued == b.h.pool.total() / 4);
    CHECK_FALSE(b.udp_.writable(s));
    CHECK(b.h.output_all(b.now).size() == queued);
    CHECK(b.udp_.writable(s));
}
