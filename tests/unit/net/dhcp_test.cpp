// The DHCP client against a scripted server: the whole life of a lease in virtual time, and servers that lie.
#include "fixture.hpp"

#include <random>

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

constexpr MacAddr kServerMac{{2, 0, 0, 0, 0, 99}};
constexpr Ipv4Addr kServer = Ipv4Addr::of(10, 0, 2, 2), kOffered = Ipv4Addr::of(10, 0, 2, 15);

struct Message {
    u8 type = 0;
    u32 xid = 0, ciaddr = 0, requested = 0, server = 0, source = 0, destination = 0;
    bool unicast_frame = false;
    std::string hostname;
};

/// Our client's messages among `frames`.
std::vector<Message> requests(const std::vector<Frame>& frames) {
    std::vector<Message> all;
    for (const Frame& f : frames) {
        if (take16(f, 12) != 0x0800 || f[23] != 17 || take16(f, 36) != 67) continue;
        REQUIRE(f.size() >= 14 + 20 + 8 + 300);
        CHECK(take32(f, 42 + 236) == 0x63825363);
        CHECK(std::memcmp(f.data() + 42 + 28, kOurMac.octets.data(), 6) == 0);
        InternetSum sum =
            InternetSum::pseudo_header(Ipv4Addr{take32(f, 26)}, Ipv4Addr{take32(f, 30)}, 17, f.size() - 34);
        sum.add(bytes_of(f).subspan(34));
        CHECK(sum.is_valid());
        Message m;
        m.xid = take32(f, 46);
        m.ciaddr = take32(f, 54);
        m.source = take32(f, 26);
        m.destination = take32(f, 30);
        m.unicast_frame = f[0] != 0xff;
        for (usize at = 42 + 240; f.at(at) != 255;) {
            const u8 code = f[at], length = f.at(at + 1);
            if (code == 53) m.type = f[at + 2];
            if (code == 50) m.requested = take32(f, at + 2);
            if (code == 54) m.server = take32(f, at + 2);
            if (code == 12) m.hostname.assign(reinterpret_cast<const char*>(&f[at + 2]), length);
            at += 2u + length;
        }
        all.push_back(m);
    }
    return all;
}

Frame option(u8 code, u32 value) {
    Frame f(6);
    f[0] = code;
    f[1] = 4;
    put32(f, 2, value);
    return f;
}
Frame operator+(Frame a, const Frame& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

Frame usual_options(u8 type, u32 lease = 3600) {
    return Frame{53, 1, type} + option(54, kServer.value) + option(51, lease) + option(1, 0xffffff00) +
           option(3, kServer.value) + option(6, Ipv4Addr::of(10, 0, 2, 3).value);
}

Frame bootp(u32 xid, Ipv4Addr yiaddr, const Frame& options) {
    Frame f(240);
    f[0] = 2;
    f[1] = 1;
    f[2] = 6;
    put32(f, 4, xid);
    put32(f, 16, yiaddr.value);
    std::copy(kOurMac.octets.begin(), kOurMac.octets.end(), f.begin() + 28);
    put32(f, 236, 0x63825363);
    return f + options;
}

Frame answer(u32 xid, const Frame& options, Ipv4Addr yiaddr = kOffered, Ipv4Addr to = Ipv4Addr{0xffffffff}) {
    return ethernet(to.is_broadcast() ? MacAddr::broadcast() : kOurMac, kServerMac, 0x0800,
                    ipv4(17, kServer, to, udp(67, 68, bootp(xid, yiaddr, options))));
}

struct Client {
    Host h;
    Instant now{1};
    static StackConfig config(Addressing a) {
        StackConfig c = Host::config(1);
        c.addressing = a;
        c.probe_interval = StackConfig{}.probe_interval;
        c.hostname = "box";
        return c;
    }
    explicit Client(const StackConfig& c) : h(c) {}
    explicit Client(Addressing a = Addressing::dhcp) : Client(config(a)) {}
    std::vector<Message> step(Duration d = {}) {
        now = now + d;
        h.stack.poll(now);
        const auto frames = h.output_all(now);
        auto m = requests(frames);
        for (const Frame& f : frames) {
            if (take16(f, 12) != 0x0806 || take32(f, 38) != kServer.value) continue;
            introduce_server();
            for (const Message& late : requests(late_)) m.push_back(late);
        }
        return m;
    }
    /// Runs to the next thing the client wants to say; returns it.
    Message next() {
        for (int i = 0; i < 100; ++i) {
            auto m = step();
            if (!m.empty()) return m[0];
            REQUIRE_FALSE(h.stack.deadline().is_never());
            if (now < h.stack.deadline()) now = h.stack.deadline();
        }
        FAIL("the client is silent");
        return {};
    }
    void bind(u32 lease = 3600) {
        const Message discover = next();
        h.input(answer(discover.xid, usual_options(2, lease) + Frame{255}), now);
        const Message request = next();
        h.input(answer(request.xid, usual_options(5, lease) + Frame{255}), now);
        settle_probe();
        REQUIRE(h.stack.interface().dhcp == DhcpState::bound);
    }
    /// Nobody has the address: three ARP probes go unanswered. Returns their number.
    usize settle_probe() {
        usize probes = 0;
        for (int i = 0; i < 10 && h.stack.interface().dhcp == DhcpState::probing; ++i) {
            h.stack.poll(now);
            for (const Frame& f : h.output_all(now)) probes += take16(f, 12) == 0x0806 && take32(f, 28) == 0;
            if (h.stack.interface().dhcp == DhcpState::probing) now = std::max(now, h.stack.deadline());
        }
        return probes;
    }
    /// Tells the client the server's MAC.
    void introduce_server() {
        h.input(ethernet(kOurMac, kServerMac, 0x0806, arp(1, kServerMac, kServer, {}, h.stack.ipv4().address)), now);
        late_ = h.output_all(now);
    }
    std::vector<Frame> late_;
};

}  // namespace

TEST_CASE("dhcp: discover, offer, request, ack; what the wire carries and what we have afterwards") {
    Client c;
    const Message discover = c.next();
    CHECK(discover.type == 1);
    CHECK(discover.source == 0);
    CHECK(discover.destination == 0xffffffff);
    CHECK(discover.hostname == "box");
    // To the address we do not have yet, as servers may.
    c.h.input(answer(discover.xid, usual_options(2) + Frame{255}, kOffered, kOffered), c.now);
    const Message request = c.next();
    CHECK(request.type == 3);
    CHECK(request.xid == discover.xid);
    CHECK(request.requested == kOffered.value);
    CHECK(request.server == kServer.value);
    c.h.input(answer(request.xid, usual_options(5) + Frame{255}), c.now);
    CHECK(c.h.stack.ipv4().address.is_unspecified());
    const Instant acknowledged = c.now;
    CHECK(c.settle_probe() == 3);
    CHECK((c.now - acknowledged).ms() == 60);
    CHECK(c.h.stack.take_change());
    const InterfaceInfo i = c.h.stack.interface();
    CHECK(i.dhcp == DhcpState::bound);
    CHECK(i.ipv4.address == kOffered);
    CHECK(i.ipv4.prefix == 24);
    CHECK(i.ipv4.gateway == kServer);
    CHECK(i.ipv4.dns[0] == Ipv4Addr::of(10, 0, 2, 3));
    CHECK(i.dhcp_server == kServer);
    CHECK_FALSE(i.fallback);
    const auto announcement = c.h.output_all((c.h.stack.poll(c.now), c.now));
    REQUIRE(announcement.size() == 1);
    CHECK(take32(announcement[0], 28) == kOffered.value);
}

TEST_CASE("dhcp: renews by unicast at T1, rebinds by broadcast at T2, gives the address up at the end") {
    Client c;
    c.bind(1000);
    const Instant bound = c.now;
    Message m = c.next();
    CHECK((c.now - bound).ms() >= 500'000 - 4'000);
    CHECK(m.type == 3);
    CHECK(m.ciaddr == kOffered.value);
    CHECK(m.destination == kServer.value);
    CHECK(m.requested == 0);
    SECTION("renewed") {
        c.h.input(answer(m.xid, usual_options(5, 2000) + Frame{255}, kOffered, kOffered), c.now);
        CHECK(c.h.stack.interface().dhcp == DhcpState::bound);
        CHECK((c.h.stack.interface().lease_end - c.now).ms() == 2'000'000);
        CHECK(c.h.stack.ipv4().address == kOffered);
    }
    SECTION("refused") {
        c.h.input(answer(m.xid, Frame{53, 1, 6} + option(54, kServer.value) + Frame{255}, {}, kOffered), c.now);
        CHECK(c.h.stack.ipv4().address.is_unspecified());
        CHECK(c.next().type == 1);
    }
    SECTION("silence") {
        while (m.destination != 0xffffffff) m = c.next();
        CHECK((c.now - bound).ms() >= 875'000 - 4'000);
        CHECK(c.h.stack.interface().dhcp == DhcpState::rebinding);
        CHECK(c.h.stack.ipv4().address == kOffered);
        while (m.ciaddr != 0) m = c.next();
        CHECK(m.type == 1);
        CHECK((c.now - bound).ms() >= 1'000'000 - 4'000);
        CHECK(c.h.stack.ipv4().address.is_unspecified());
    }
}

TEST_CASE("dhcp: when the link comes back it asks whether the lease holds, and uses it meanwhile") {
    Client c;
    c.bind(1000);
    c.step(Duration::from_s(100));
    c.h.stack.set_carrier(false, c.now);
    CHECK(c.step(Duration::from_s(10)).empty());
    c.h.stack.set_carrier(true, c.now);
    const Message m = c.next();
    CHECK(m.type == 3);
    CHECK(m.requested == kOffered.value);
    CHECK(m.server == 0);
    CHECK(m.ciaddr == 0);
    CHECK(m.source == 0);
    CHECK(m.destination == 0xffffffff);
    CHECK(c.h.stack.interface().dhcp == DhcpState::rebooting);
    CHECK(c.h.stack.ipv4().address == kOffered);
    (void)c.h.stack.take_change();
    SECTION("confirmed") {
        c.h.input(answer(m.xid, usual_options(5, 2000) + Frame{255}), c.now);
        CHECK(c.h.stack.interface().dhcp == DhcpState::bound);
        CHECK((c.h.stack.interface().lease_end - c.now).ms() == 2'000'000);
        CHECK_FALSE(c.h.stack.take_change());
    }
    SECTION("another network") {
        c.h.input(answer(m.xid, Frame{53, 1, 6} + option(54, Ipv4Addr::of(10, 0, 2, 77).value) + Frame{255}, {}),
                  c.now);
        CHECK(c.h.stack.ipv4().address.is_unspecified());
        CHECK(c.next().type == 1);
    }
    SECTION("silence") {
        const Instant asked = c.now;
        for (int i = 0; i < 3; ++i) CHECK(c.next().requested == kOffered.value);
        const Message renewal = c.next();
        CHECK(renewal.ciaddr == kOffered.value);
        CHECK(c.h.stack.interface().dhcp == DhcpState::renewing);
        CHECK((c.now - asked).ms() >= 370'000);
        CHECK(c.h.stack.ipv4().address == kOffered);
    }
    SECTION("the lease ends while the link is down") {
        c.h.stack.set_carrier(false, c.now);
        c.step(Duration::from_s(2000));
        c.h.stack.set_carrier(true, c.now);
        CHECK(c.next().type == 1);
        CHECK(c.h.stack.ipv4().address.is_unspecified());
    }
}

TEST_CASE("dhcp: nobody answers: backs off, falls back only when told to, and still listens") {
    for (const Addressing a : {Addressing::dhcp, Addressing::dhcp_then_fixed}) {
        Client c(a);
        int sent = 0;
        Message last;
        for (int i = 0; i < 600; ++i) {
            for (const Message& m : c.step(Duration::from_s(1))) {
                ++sent;
                last = m;
            }
        }
        CHECK(sent >= 10);
        CHECK(sent <= 20);
        CHECK(c.h.stack.interface().fallback == (a == Addressing::dhcp_then_fixed));
        CHECK(c.h.stack.ipv4().address == (a == Addressing::dhcp_then_fixed ? kOurs : Ipv4Addr{}));
        c.h.input(answer(last.xid, usual_options(2) + Frame{255}), c.now);
        last = c.next();
        CHECK(last.type == 3);
        c.h.input(answer(last.xid, usual_options(5) + Frame{255}), c.now);
        c.settle_probe();
        CHECK(c.h.stack.ipv4().address == kOffered);
        CHECK_FALSE(c.h.stack.interface().fallback);
    }
}

TEST_CASE("dhcp: strangers, old conversations and lies are ignored") {
    Client c;
    const Message discover = c.next();
    auto still_selecting = [&](const Frame& f) {
        c.h.input(f, c.now);
        CHECK(c.h.stack.interface().dhcp == DhcpState::selecting);
    };
    still_selecting(answer(discover.xid + 1, usual_options(2) + Frame{255}));
    still_selecting(answer(discover.xid, usual_options(5) + Frame{255}));
    still_selecting(answer(discover.xid, usual_options(2) + Frame{255}, Ipv4Addr{}));
    still_selecting(answer(discover.xid, usual_options(2) + Frame{255}, Ipv4Addr::of(127, 0, 0, 1)));
    still_selecting(answer(discover.xid, usual_options(2) + Frame{255}, Ipv4Addr::of(230, 0, 0, 1)));
    still_selecting(answer(discover.xid, Frame{53, 1, 2, 255}));                      // no server
    still_selecting(answer(discover.xid, Frame{53, 0, 255}));                         // length 0
    still_selecting(answer(discover.xid, usual_options(2) + Frame{3, 200, 1}));       // beyond the end
    still_selecting(answer(discover.xid, usual_options(2) + Frame{51}));              // no length
    still_selecting(answer(discover.xid, usual_options(2) + option(1, 0xff00ff00)));  // a mask with holes
    still_selecting(answer(discover.xid, usual_options(2) + Frame{1, 3, 255, 255, 255, 255}));
}

TEST_CASE("dhcp: an ACK that cannot be used binds nothing") {
    struct Bad {
        const char* why;
        Frame options;
        Ipv4Addr address;
    };
    const Frame head = Frame{53, 1, 5} + option(54, kServer.value);
    const Bad bad[] = {
        {"another address", usual_options(5), Ipv4Addr::of(10, 0, 2, 16)},
        {"no lease", head + option(1, 0xffffff00), kOffered},
        {"lease 0", head + option(51, 0), kOffered},
        {"the network's own address", head + option(51, 3600) + option(1, ~15u), Ipv4Addr::of(10, 0, 2, 15)},
        {"everything is on the link", head + option(51, 3600) + option(1, 0), kOffered},
        {"another server", Frame{53, 1, 5} + option(54, kServer.value + 1) + option(51, 3600), kOffered},
    };
    for (const Bad& b : bad) {
        INFO(b.why);
        Client c;
        const Message discover = c.next();
        c.h.input(answer(discover.xid, usual_options(2) + Frame{255}), c.now);
        const Message request = c.next();
        c.h.input(answer(request.xid, b.options + Frame{255}, b.address), c.now);
        CHECK(c.h.stack.ipv4().address.is_unspecified());
        c.next();  // and it goes on asking
    }
    // Lies beside the point are left out: a multicast router, T1 after T2, T2 after the end.
    Client c;
    const Message discover = c.next();
    c.h.input(answer(discover.xid, usual_options(2) + Frame{255}), c.now);
    const Message request = c.next();
    c.h.input(answer(request.xid, head + option(51, 1000) + option(3, 0xe0000001) + option(58, 2000) +
                                      option(59, 3000) + Frame{255}),
              c.now);
    c.settle_probe();
    CHECK(c.h.stack.ipv4().address == kOffered);
    CHECK(c.h.stack.ipv4().gateway.is_unspecified());
    CHECK(c.h.stack.deadline() <= c.now + Duration::from_s(500));
}

TEST_CASE("dhcp: an infinite lease never ends; options may hide in file and sname") {
    Client c;
    const Message discover = c.next();
    Frame offer = bootp(discover.xid, kOffered, Frame{52, 1, 3, 53, 1, 2, 255});
    const Frame in_file = option(54, kServer.value) + Frame{255};
    std::copy(in_file.begin(), in_file.end(), offer.begin() + 108);
    const Frame in_sname = option(51, 0xffffffff) + Frame{255};
    std::copy(in_sname.begin(), in_sname.end(), offer.begin() + 44);
    c.h.input(ethernet(kOurMac, kServerMac, 0x0800, ipv4(17, kServer, kOffered, udp(67, 68, offer))), c.now);
    const Message request = c.next();
    CHECK(request.server == kServer.value);
    c.h.input(answer(request.xid, usual_options(5, 0xffffffff) + Frame{255}), c.now);
    c.settle_probe();
    CHECK(c.h.stack.interface().lease_end.is_never());
    for (int i = 0; i < 10; ++i) {
        c.step(Duration::from_s(10));
        c.h.output_all(c.now);
    }
    CHECK(c.h.stack.deadline().is_never());
    CHECK(c.step(Duration::from_s(86'400 * 365)).empty());
}

TEST_CASE("dhcp: an address that somebody has is declined, and asked for no more") {
    Client c;
    const Message discover = c.next();
    c.h.input(answer(discover.xid, usual_options(2) + Frame{255}), c.now);
    const Message request = c.next();
    c.h.input(answer(request.xid, usual_options(5) + Frame{255}), c.now);
    c.step();
    SECTION("its owner answers the probe") {
        c.h.input(ethernet(kOurMac, kPeerMac, 0x0806, arp(2, kPeerMac, kOffered, kOurMac, {})), c.now);
    }
    SECTION("its owner asks for somebody") {
        c.h.input(ethernet(MacAddr::broadcast(), kPeerMac, 0x0806, arp(1, kPeerMac, kOffered, {}, kServer)), c.now);
    }
    SECTION("another one probes for it") {
        c.h.input(ethernet(MacAddr::broadcast(), kPeerMac, 0x0806, arp(1, kPeerMac, {}, {}, kOffered)), c.now);
    }
    const auto said = c.step();
    REQUIRE(said.size() == 1);
    CHECK(said[0].type == 4);
    CHECK(said[0].requested == kOffered.value);
    CHECK(said[0].server == kServer.value);
    CHECK(said[0].ciaddr == 0);
    CHECK(said[0].source == 0);
    CHECK(said[0].destination == 0xffffffff);
    CHECK(said[0].xid != request.xid);
    CHECK(said[0].hostname.empty());
    CHECK(c.h.stack.statistics().dhcp_declined == 1);
    const Instant declined = c.now;
    const Message again = c.next();
    CHECK(again.type == 1);
    CHECK(again.requested == 0);
    CHECK((c.now - declined).ms() == 10'000);
    CHECK(c.h.stack.ipv4().address.is_unspecified());
}

TEST_CASE("dhcp: a probe is not disturbed by others, and can be left out") {
    StackConfig config = Client::config(Addressing::dhcp);
    config.probe_interval = GENERATE(Duration{}, Duration::from_s(1));
    Client c(config);
    const Message discover = c.next();
    c.h.input(answer(discover.xid, usual_options(2) + Frame{255}), c.now);
    const Message request = c.next();
    c.h.input(answer(request.xid, usual_options(5) + Frame{255}), c.now);
    const Instant acknowledged = c.now;
    c.h.input(ethernet(MacAddr::broadcast(), kPeerMac, 0x0806, arp(1, kPeerMac, kPeer, {}, kServer)), c.now);
    c.h.input(ethernet(MacAddr::broadcast(), kPeerMac, 0x0806, arp(1, kPeerMac, {}, {}, kServer)), c.now);
    CHECK(c.settle_probe() == (config.probe_interval.ns == 0 ? 0 : 3));
    CHECK((c.now - acknowledged).ms() == 3 * config.probe_interval.ms());
    CHECK(c.h.stack.ipv4().address == kOffered);
}

TEST_CASE("dhcp: given back on request; the server hears of it before the address goes") {
    Client c;
    c.bind(1000);
    c.introduce_server();
    c.h.stack.release(c.now);
    const auto said = c.step();
    REQUIRE(said.size() == 1);
    CHECK(said[0].type == 7);
    CHECK(said[0].ciaddr == kOffered.value);
    CHECK(said[0].source == kOffered.value);
    CHECK(said[0].destination == kServer.value);
    CHECK(said[0].server == kServer.value);
    CHECK(said[0].requested == 0);
    CHECK(c.h.stack.ipv4().address == kOffered);
    c.step(Dhcp::kReleaseWait);
    CHECK(c.h.stack.ipv4().address.is_unspecified());
    CHECK(c.h.stack.interface().dhcp == DhcpState::off);
    CHECK(c.step(Duration::from_s(100'000)).empty());
}

TEST_CASE("dhcp: renewed on request; after a lost lease the old address is asked for") {
    Client c;
    c.bind(1000);
    c.step(Duration::from_s(10));
    c.h.stack.renew(c.now);
    Message m = c.next();
    CHECK(m.ciaddr == kOffered.value);
    c.h.input(answer(m.xid, usual_options(5, 1000) + Frame{255}, kOffered, kOffered), c.now);
    CHECK((c.h.stack.interface().lease_end - c.now).ms() == 1'000'000);
    do m = c.next();
    while (m.type != 1);
    CHECK(m.requested == kOffered.value);
}

TEST_CASE("dhcp: times that make no sense are replaced, and renewals never come too fast") {
    struct Times {
        u32 lease, t1, t2, expected_t1, expected_t2;
    };
    const Times all[] = {
        {1000, 0, 0, 500, 875},       {1000, 400, 600, 400, 600},
        {1000, 2000, 3000, 500, 875}, {1000, 700, 600, 500, 600},
        {1000, 0xffffffff, 1, 1, 1},  {10, 0, 0, 5, 8},
        {1000, 999, 999, 999, 999},   {0xfffffffe, 0, 0, 0x7fffffff, 3758096382},
    };
    for (const Times& t : all) {
        CAPTURE(t.lease, t.t1, t.t2);
        Client c;
        const Message discover = c.next();
        c.h.input(answer(discover.xid, usual_options(2) + Frame{255}), c.now);
        const Message request = c.next();
        const Instant asked = c.now;
        c.h.input(answer(request.xid, usual_options(5, t.lease) + option(58, t.t1) + option(59, t.t2) + Frame{255}),
                  c.now);
        c.settle_probe();
        Message m = c.next();
        CHECK((c.now - asked).ms() / 1000 == t.expected_t1);
        int renewals = 0;
        while (m.destination != 0xffffffff) {
            ++renewals;
            m = c.next();
        }
        CHECK((c.now - asked).ms() / 1000 == t.expected_t2);
        CHECK(renewals <= 28);
    }
}

TEST_CASE("dhcp: the MTU it tells bounds datagrams and segments, never above the link's") {
    struct Case {
        u32 told, mtu;
    };
    for (const Case& t : {Case{1400, 1400}, Case{576, 576}, Case{575, 1500}, Case{67, 1500}, Case{9000, 1500}}) {
        CAPTURE(t.told);
        Client c;
        const Message discover = c.next();
        c.h.input(answer(discover.xid, usual_options(2) + Frame{255}), c.now);
        const Message request = c.next();
        c.h.input(answer(request.xid,
                         usual_options(5) + Frame{26, 2, static_cast<u8>(t.told >> 8), static_cast<u8>(t.told), 255}),
                  c.now);
        c.settle_probe();
        CHECK(c.h.stack.interface().mtu == t.mtu);
        c.introduce_server();
        const auto s = c.h.stack.udp().open({});
        REQUIRE(s);
        const std::vector<std::byte> data(1472);
        CHECK(c.h.stack.send_to(*s, {kServer, 9}, Bytes(data).first(t.mtu - 28), c.now));
        CHECK(c.h.output(c.now)->size() == 14 + t.mtu);
        if (t.mtu < 1500) {  // larger ones go in fragments
            CHECK(c.h.stack.send_to(*s, {kServer, 9}, Bytes(data).first(t.mtu - 27), c.now));
            CHECK(c.h.output(c.now)->size() <= 14 + t.mtu);
            CHECK(c.h.output(c.now)->size() < 14 + t.mtu);
        }
        REQUIRE(c.h.stack.connect({kServer, 80}, c.now));
        const auto syn = c.h.output(c.now);
        REQUIRE(syn);
        CHECK(take32(*syn, 54) == (0x02040000 | (t.mtu - 40)));
    }
}

TEST_CASE("dhcp: random option bytes, seed 2131") {
    std::mt19937 random(2131);
    for (int round = 0; round < 300; ++round) {
        Client c;
        const Message discover = c.next();
        for (int i = 0; i < 10; ++i) {
            Frame options = usual_options(static_cast<u8>(random() % 8), static_cast<u32>(random()));
            for (int k = 0; k < 4; ++k) options[random() % options.size()] = static_cast<u8>(random());
            options.resize(random() % (options.size() + 1));
            c.h.input(answer(discover.xid, options,
                             Ipv4Addr{kOffered.value ^ (random() % 4 == 0 ? static_cast<u32>(random()) : 0)}),
                      c.now);
            c.step(Duration::from_ms(300));
            c.h.check_conservation();
        }
        const Ipv4Config got = c.h.stack.ipv4();
        if (!got.address.is_unspecified()) CHECK(got.prefix >= 1);
    }
}
