// DHCP messages as bytes: every option right, wrong and hostile.
#include <catch2/catch.hpp>

#include <random>
#include <string>
#include <vector>

#include "net/dhcp_message.hpp"
#include "net/dns_name.hpp"
#include "tests/fuzz/parsers.hpp"

using namespace ringlet;
using namespace ringlet::net;

namespace {

using Data = std::vector<u8>;

Data message(const Data& options, const Data& file = {}, const Data& sname = {}) {
    Data m(240);
    m[0] = 2;
    m[1] = 1;
    m[2] = 6;
    m[16] = 10;
    m[19] = 5;
    std::copy(sname.begin(), sname.end(), m.begin() + 44);
    std::copy(file.begin(), file.end(), m.begin() + 108);
    m[236] = 0x63, m[237] = 0x82, m[238] = 0x53, m[239] = 0x63;
    m.insert(m.end(), options.begin(), options.end());
    return m;
}

struct Read {
    dhcp::Verdict verdict;
    dhcp::Answer answer;
    u64 bad = 0;
    explicit Read(const Data& m) { verdict = dhcp::parse(std::as_bytes(std::span(m)), answer, bad); }
};

Data with(std::initializer_list<u8> more) {
    Data d{53, 1, 5, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16};
    d.insert(d.end(), more);
    d.push_back(255);
    return d;
}

}  // namespace

TEST_CASE("dhcp messages: every option that is asked for") {
    const Read r(message(with({1,  4, 255, 255, 240, 0,   3,  8,   10,  0,   0,   254, 10,  0, 0, 253,  //
                               6,  8, 9,   9,   9,   9,   0,  0,   0,   0,                              //
                               12, 3, 'B', 'o', 'x', 15,  6,  'C', 'o', 'r', 'p', '.', 'x',             //
                               26, 2, 5,   120, 28,  4,   10, 0,   15,  255, 42,  4,   10,  0, 0, 7,    //
                               58, 4, 0,   0,   0,   100, 59, 4,   0,   0,   0,   200})));
    CHECK(r.verdict == dhcp::Verdict::good);
    CHECK(r.bad == 0);
    const dhcp::Answer& a = r.answer;
    CHECK(a.type == dhcp::MessageType::ack);
    CHECK(a.server == Ipv4Addr::of(10, 0, 0, 1));
    CHECK(a.lease_seconds == 3600u);
    CHECK(a.renewal_seconds == 100u);
    CHECK(a.rebinding_seconds == 200u);
    CHECK(a.prefix == 20);
    CHECK(a.router == Ipv4Addr::of(10, 0, 0, 254));
    CHECK(a.hints.hostname.view() == "box");
    CHECK(a.hints.search.view() == "corp.x");
    CHECK(a.hints.mtu == 1400);
    CHECK(a.hints.broadcast == Ipv4Addr::of(10, 0, 15, 255));
    REQUIRE(a.hints.dns.size() == 1);  // 0.0.0.0 is nobody
    CHECK(a.hints.dns[0] == Ipv4Addr::of(9, 9, 9, 9));
    REQUIRE(a.hints.ntp.size() == 1);
    CHECK(a.hints.ntp[0] == Ipv4Addr::of(10, 0, 0, 7));
}

TEST_CASE("dhcp messages: what a lease needs must be right, the rest is left out when it is not") {
    for (const Data& bad : {with({1, 3, 255, 255, 255}), with({1, 4, 255, 0, 255, 0}), with({51, 1, 9}),
                            with({53, 1, 5}), with({54, 1, 1}), Data{53, 0, 255}, Data{53, 1, 99, 255}, Data{255},
                            Data{}, with({200, 255, 1}), Data{53, 1, 5, 7}})
        CHECK(Read(message(bad)).verdict == dhcp::Verdict::malformed);
    for (const Data& odd :
         {with({6, 3, 1, 2, 3}), with({6, 0}), with({3, 0}), with({42, 5, 1, 2, 3, 4, 5}), with({26, 1, 9}),
          with({26, 2, 0, 67}), with({28, 2, 1, 1}), with({58, 3, 0, 0, 1}), with({12, 2, 'a', ' '}), with({12, 0}),
          with({15, 3, 'a', '.', '.'}), with({119, 2, 0xc0, 0}), with({121, 0}), with({121, 2, 33, 0}),
          with({121, 5, 24, 10, 0, 0, 1}), with({119, 2, 9, 'a'})}) {
        const Read r(message(odd));
        CAPTURE(odd);
        CHECK(r.verdict == dhcp::Verdict::good);
        CHECK(r.bad == 1);
        CHECK(r.answer.hints == NetworkHints{});
        CHECK(r.answer.router.is_unspecified());
    }
    Data m = message(with({}));
    for (const auto& [at, value] : {std::pair{0, 1}, {1, 6}, {2, 16}, {239, 0}}) {
        Data wrong = m;
        wrong[static_cast<usize>(at)] = static_cast<u8>(value);
        CHECK(Read(wrong).verdict == dhcp::Verdict::malformed);
    }
    for (usize n = 0; n < 240; ++n)
        CHECK(Read(Data(m.begin(), m.begin() + static_cast<i64>(n))).verdict != dhcp::Verdict::good);
}

TEST_CASE("dhcp messages: the search list, its pointers, its end") {
    struct Case {
        Data value;
        std::string search;
    };
    const Case cases[] = {
        // RFC 3397's own: eng.apple.com and marketing.apple.com, the second pointing into the first.
        {{3, 'e', 'n', 'g', 5,   'a', 'p', 'p', 'l', 'e', 3,   'c',  'o', 'm',
          0, 9,   'm', 'a', 'r', 'k', 'e', 't', 'i', 'n', 'g', 0xc0, 4},
         "eng.apple.com marketing.apple.com"},
        {{1, 'a', 0, 1, 'b', 0, 0xc0, 3}, "a b b"},
        {{1, 'a', 0, 1, 'b', 0xc0, 3}, "a"},  // points at itself
        {{1, 'a', 0, 1, 'b', 0xc0, 5}, "a"},  // forward
        {{1, 'a', 0, 0xc0, 3}, "a"},          // a pointer to itself
        {{1, 'a', 0, 0x41, 'b', 0}, "a"},     // a reserved label type
        {{1, 'a', 0, 2, 'b', '\n', 0}, "a"},  // not a host name
        {{1, 'a', 0, 0}, "a"},                // the root
        {{1, 'a', 0, 1, 'b'}, "a"},           // no end
    };
    for (const Case& c : cases) {
        Data options = with({});
        options.pop_back();
        options.push_back(119);
        options.push_back(static_cast<u8>(c.value.size()));
        options.insert(options.end(), c.value.begin(), c.value.end());
        const Read r(message(options));
        CHECK(r.answer.hints.search.view() == c.search);
    }
    // RFC 3396: one value in two parts, cut in the middle of a label, the second in `file`.
    Data options = with({52, 1, 1, 119, 3, 3, 'e', 'n'});
    const Read r(message(options, {119, 2, 'g', 0, 255}));
    CHECK(r.verdict == dhcp::Verdict::good);
    CHECK(r.answer.hints.search.view() == "eng");
    // As long as it fits 255 characters.
    options = with({});
    options.pop_back();
    for (int i = 0; i < 20; ++i) {
        options.insert(options.end(), {119, 62, 60});
        options.insert(options.end(), 60, static_cast<u8>('a' + i));
        options.push_back(0);
    }
    CHECK(Read(message(options)).answer.hints.search.view().size() == 4 * 61 - 1);
}

TEST_CASE("dhcp messages: classless routes") {
    const Read r(message(with({3,  4, 10, 0, 0, 9, 121, 23, 0, 10, 0, 0, 1, 24, 192, 168, 7, 10, 0, 0, 2,  //
                               32, 1, 2,  3, 4, 0, 0,   0,  0, 0})));
    CHECK(r.bad == 1);  // cut off at the end: none of it is believed
    CHECK(r.answer.router == Ipv4Addr::of(10, 0, 0, 9));
    const Read good(
        message(with({3,  4, 10, 0, 0, 9, 121, 35, 0, 10, 0,  0,   1,  24, 192, 168, 7, 10, 0,   0, 2,  //
                      32, 1, 2,  3, 4, 0, 0,   0,  0, 9,  11, 255, 10, 0,  0,   3,   8, 12, 224, 0, 0, 1})));
    CHECK(good.bad == 0);
    CHECK(good.answer.router == Ipv4Addr::of(10, 0, 0, 1));  // not option 3
    const auto& routes = good.answer.hints.routes;
    REQUIRE(routes.size() == 3);
    CHECK(routes[0] == ClasslessRoute{Ipv4Addr::of(192, 168, 7, 0), 24, Ipv4Addr::of(10, 0, 0, 2)});
    CHECK(routes[1] == ClasslessRoute{Ipv4Addr::of(1, 2, 3, 4), 32, {}});
    CHECK(routes[2] == ClasslessRoute{Ipv4Addr::of(11, 128, 0, 0), 9, Ipv4Addr::of(10, 0, 0, 3)});
}

TEST_CASE("dhcp messages: a question has all it needs and fits") {
    dhcp::Question q;
    q.type = dhcp::MessageType::request;
    q.requested = q.server = Ipv4Addr::of(1, 2, 3, 4);
    const std::string longest(80, 'h');
    q.hostname = longest;
    q.message = longest;
    Data m(dhcp::Question::kBytes, 0xee);
    dhcp::build(q, std::as_writable_bytes(std::span(m)));
    usize at = 240, options = 0;
    while (m.at(at) != 255) {
        at += 2u + m.at(at + 1);
        ++options;
    }
    CHECK(options == 8);
    CHECK(at < m.size());
}

TEST_CASE("names: text and wire, their limits, and what is below what") {
    using dns::Name;
    char text[Name::kTextBytes];
    CHECK(Name::parse("Www.Example.COM")->text(text) == "www.example.com");
    CHECK(*Name::parse("a.b.") == *Name::parse("A.B"));
    for (const std::string& bad : {std::string(""), std::string("."), std::string("a..b"), std::string(".a"),
                                   std::string("a b"), std::string("a\0b", 3), std::string(64, 'a'), std::string("ä")})
        CHECK_FALSE(Name::parse(bad));
    std::string longest;
    for (int i = 0; i < 127; ++i) longest += "a.";
    REQUIRE(Name::parse(longest));
    CHECK(Name::parse(longest)->wire().size() == 255);
    CHECK(Name::parse(longest)->dots() == 126);
    CHECK(Name::parse(longest)->text(text).size() == 253);
    CHECK_FALSE(Name::parse(longest + "a"));
    CHECK_FALSE(Name::parse("b")->with_suffix(*Name::parse(longest)));
    CHECK(*Name::parse("www")->with_suffix(*Name::parse("x.y")) == *Name::parse("www.x.y"));
    CHECK(Name::parse("a.b.c")->is_within(*Name::parse("b.c")));
    CHECK(Name::parse("b.c")->is_within(*Name::parse("b.c")));
    CHECK(Name::parse("b.c")->is_within(Name()));
    CHECK_FALSE(Name::parse("ab.c")->is_within(*Name::parse("b.c")));
    CHECK_FALSE(Name::parse("c")->is_within(*Name::parse("b.c")));
    const Data strange{3, 0, 0xff, '.', 1, 'A', 0};
    usize at = 0;
    const auto name = Name::read(std::as_bytes(std::span(strange)), at);
    REQUIRE(name);
    CHECK(at == strange.size());
    CHECK(name->text(text) == "???.a");
    CHECK_FALSE(name->is_hostname());
    // 255 bytes by pointers: each step backwards, and still too long.
    Data chain{0};
    for (usize i = 0; i < 60; ++i) {
        const usize back = i == 0 ? 0 : chain.size() - 7;
        chain.insert(chain.end(), {4, 'a', 'b', 'c', 'd', static_cast<u8>(0xc0 | back >> 8), static_cast<u8>(back)});
    }
    at = chain.size() - 7 * 11;
    CHECK(Name::read(std::as_bytes(std::span(chain)), at));
    at = chain.size() - 7;
    CHECK_FALSE(Name::read(std::as_bytes(std::span(chain)), at));
}

TEST_CASE("dhcp messages: random bytes, seed 2132") {
    const unsigned seed = 2132;
    std::mt19937 random(seed);
    for (u32 round = 0; round < 20'000; ++round) {
        Data bytes(random() % 400);
        for (u8& b : bytes) b = static_cast<u8>(random() % 3 == 0 ? random() : random() % 8);
        CAPTURE(seed, round);
        fuzz::dhcp_message(bytes);
    }
}
