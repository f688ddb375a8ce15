// The resolver in virtual time against scripted servers: what it asks, what it believes, when it gives up; and messages
// that lie in every field.
#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "lib/endian.hpp"
#include "net/dns_resolver.hpp"
#include "tests/fuzz/parsers.hpp"

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::dns;

namespace {

using Data = std::vector<u8>;

Data operator+(Data a, const Data& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}
Data be(u32 v, int bytes) {
    Data d;
    for (int i = bytes - 1; i >= 0; --i) d.push_back(static_cast<u8>(v >> 8 * i));
    return d;
}
Data wire(std::string_view name) {
    const Name n = name.empty() ? Name() : *Name::parse(name);
    const Bytes b = n.wire();
    const auto* p = reinterpret_cast<const u8*>(b.data());
    return Data(p, p + b.size());
}
Data record(const Data& owner, u16 type, u32 ttl, const Data& rdata, u16 klass = 1) {
    return owner + be(type, 2) + be(klass, 2) + be(ttl, 4) + be(static_cast<u32>(rdata.size()), 2) + rdata;
}
Data a_record(std::string_view owner, Ipv4Addr a, u32 ttl = 60) {
    return record(wire(owner), 1, ttl, be(a.value, 4));
}
Data cname(std::string_view owner, std::string_view target, u32 ttl = 60) {
    return record(wire(owner), 5, ttl, wire(target));
}
Data soa(std::string_view zone, u32 ttl, u32 minimum) {
    return record(wire(zone), 6, ttl,
                  wire("ns.x") + wire("admin.x") + be(1, 4) + be(2, 4) + be(3, 4) + be(4, 4) + be(minimum, 4));
}
/// A response; `counts`: answers, authority, additional.
Data response(u16 id, u16 flags, const Data& question, std::array<u16, 3> counts, const Data& records) {
    return be(id, 2) + be(flags, 2) + be(1, 2) + be(counts[0], 2) + be(counts[1], 2) + be(counts[2], 2) + question +
           records;
}
Data question(std::string_view name, u16 type = 1) {
    return wire(name) + be(type, 2) + be(1, 2);
}
Bytes bytes(const Data& d) {
    return std::as_bytes(std::span(d));
}
std::optional<Answer> read(const Data& m, std::string_view name = "www.x.org", Type type = Type::a, u16 id = 7) {
    return read_answer(bytes(m), id, {*Name::parse(name), type});
}
using Kind = Answer::Kind;

constexpr Ipv4Addr k1 = Ipv4Addr::of(192, 0, 2, 1), k2 = Ipv4Addr::of(192, 0, 2, 2);
constexpr IpAddr kServers[] = {Ipv4Addr::of(10, 0, 0, 53), Ipv4Addr::of(10, 0, 0, 54)};

/// The resolver and what it asks.
struct Bench {
    Resolver r{SipKey{1, 2}};
    Instant now{1'000'000'000};
    Settings settings{.servers = kServers, .search = "", .ndots = 1, .hosts = {}, .ipv6 = false};
    explicit Bench() { r.configure(settings); }
    struct Asked {
        u8 query = 0xff;
        u16 id = 0, type = 0;
        std::string name;
        IpAddr server;
        bool tcp = false, edns = false;
    };
    std::vector<Asked> ask() {
        std::vector<Asked> all;
        std::byte m[kQueryBytes];
        while (const auto out = r.output(m, now)) {
            Asked a;
            a.query = out->query;
            a.server = out->server;
            a.tcp = out->transport == Resolver::Transport::tcp;
            const Bytes message(m, out->size);
            a.id = *read_at<be16>(message, 0);
            CHECK(*read_at<be16>(message, 2) == 0x0100);
            a.edns = *read_at<be16>(message, 10) == 1;
            usize at = 12;
            char text[Name::kTextBytes];
            a.name = Name::read(message, at)->text(text);
            a.type = *read_at<be16>(message, at);
            CHECK(at + 4 + (a.edns ? 11 : 0) == out->size);
            all.push_back(a);
        }
        return all;
    }
    Asked ask_one() {
        const auto all = ask();
        REQUIRE(all.size() == 1);
        return all[0];
    }
    void answer(const Asked& q, u16 flags, std::array<u16, 3> counts, const Data& records) {
        r.input(q.query,
                bytes(response(q.id, static_cast<u16>(0x8180 | flags), question(q.name, q.type), counts, records)),
                now);
    }
    void wait() {
        REQUIRE_FALSE(r.deadline().is_never());
        now = std::max(now, r.deadline());
        r.poll(now);
    }
    /// "1.2.3.4 5.6.7.8", or the error, or "-" while there is none.
    std::string result(u32 id) {
        const auto l = r.result(id);
        if (!l) return l.error() == Error::would_block ? "-" : std::string(to_string(l.error()));
        std::string all;
        for (const IpAddr& a : *l) {
            char text[kAddressText];
            all += (all.empty() ? "" : " ") + std::string(to_text(a, std::span<char, kAddressText>(text)));
        }
        return all;
    }
};
const std::string kNotFound(to_string(Error::not_found)), kTimedOut(to_string(Error::timed_out)),
    kIo(to_string(Error::io)), kUnreachable(to_string(Error::unreachable));

}  // namespace

TEST_CASE("dns: an answer, its addresses, its lifetime") {
    const auto a = read(response(7, 0x8180, question("WWW.x.org"), {3, 0, 0},
                                 a_record("www.x.org", k1, 300) + a_record("www.x.org", k2, 20) +
                                     a_record("other.org", Ipv4Addr::of(6, 6, 6, 6), 1)));
    REQUIRE(a);
    CHECK(a->kind == Kind::addresses);
    REQUIRE(a->addresses.size() == 2);
    CHECK(a->addresses[0] == IpAddr(k1));
    CHECK(a->ttl == 20);
    const auto six =
        read(response(7, 0x8180, question("www.x.org", 28), {1, 0, 0},
                      record(wire("www.x.org"), 28, 5, be(0x20010db8, 4) + be(0, 4) + be(0, 4) + be(9, 4))),
             "www.x.org", Type::aaaa);
    REQUIRE(six);
    CHECK(six->addresses[0] == IpAddr::of(u64{0x20010db8} << 32, 9));
}

TEST_CASE("dns: what is not the answer to our question is not looked at") {
    const Data good = response(7, 0x8180, question("www.x.org"), {1, 0, 0}, a_record("www.x.org", k1));
    CHECK(read(good));
    CHECK_FALSE(read(good, "www.x.org", Type::a, 8));                                                     // id
    CHECK_FALSE(read(good, "www.y.org"));                                                                 // name
    CHECK_FALSE(read(good, "www.x.org", Type::aaaa));                                                     // type
    CHECK_FALSE(read(response(7, 0x0180, question("www.x.org"), {1, 0, 0}, a_record("www.x.org", k1))));  // a question
    CHECK_FALSE(read(response(7, 0x8980, question("www.x.org"), {1, 0, 0}, a_record("www.x.org", k1))));  // opcode
    CHECK_FALSE(
        read(response(7, 0x8180, wire("www.x.org") + be(1, 2) + be(3, 2), {1, 0, 0}, a_record("www.x.org", k1))));
    for (const u8 count : {u8{0}, u8{2}, u8{255}}) {
        Data m = good;
        m[5] = count;
        CHECK_FALSE(read(m));
    }
    for (usize n = 0; n < 27; ++n) CHECK_FALSE(read(Data(good.begin(), good.begin() + static_cast<i64>(n))));
    // Cut off behind the question it is ours, and broken.
    for (usize n = 27; n < good.size(); ++n)
        CHECK(read(Data(good.begin(), good.begin() + static_cast<i64>(n)))->kind == Kind::failed);
}

TEST_CASE("dns: lies in every field of the records") {
    struct Case {
        const char* why;
        Data records;
        u16 answers = 1;
        Kind kind = Kind::failed;
    };
    const Data owner = wire("www.x.org");
    const Case cases[] = {
        {"too many claimed", a_record("www.x.org", k1), 2},
        {"65535 claimed", a_record("www.x.org", k1), 65535},
        {"five bytes of address", record(owner, 1, 60, be(1, 4) + be(1, 1))},
        {"three bytes of address", record(owner, 1, 60, be(1, 3))},
        {"an owner that points to itself", record({0xc0, 27}, 1, 60, be(k1.value, 4))},
        {"an owner that points forward", record({0xc0, 40}, 1, 60, be(k1.value, 4))},
        {"an owner that points beyond the end", record({0xff, 0xff}, 1, 60, be(k1.value, 4))},
        {"a label type that does not exist", record({0x80, 1}, 1, 60, be(k1.value, 4))},
        {"rdata beyond the end", owner + be(1, 2) + be(1, 2) + be(60, 4) + be(400, 2) + be(k1.value, 4)},
        {"a CNAME that is longer than its rdata", owner + be(5, 2) + be(1, 2) + be(60, 4) + be(3, 2) + wire("a.b")},
        {"a CNAME that is shorter than its rdata", record(owner, 5, 60, wire("a") + Data{0})},
        {"a CNAME to itself", cname("www.x.org", "www.x.org")},
        {"a CNAME loop", cname("www.x.org", "b.org") + cname("b.org", "www.x.org"), 2},
        {"a chaos record", record(owner, 1, 60, be(k1.value, 4), 3), 1, Kind::no_data},
        {"somebody else's address", a_record("evil.org", k1), 1, Kind::no_data},
        {"nobody's address", a_record("www.x.org", Ipv4Addr{}), 1, Kind::no_data},
        {"a group's address", a_record("www.x.org", Ipv4Addr::of(224, 0, 0, 1)), 1, Kind::no_data},
        {"a pointer to the question", record({0xc0, 12}, 1, 60, be(k1.value, 4)), 1, Kind::addresses},
    };
    for (const Case& c : cases) {
        INFO(c.why);
        const auto a = read(response(7, 0x8180, question("www.x.org"), {c.answers, 0, 0}, c.records));
        REQUIRE(a);
        CHECK(a->kind == c.kind);
        CHECK(a->addresses.empty() == (c.kind != Kind::addresses));
    }
    // An IPv4 address as an IPv6 one, which no host may use.
    const auto mapped = read(response(7, 0x8180, question("www.x.org", 28), {1, 0, 0},
                                      record(owner, 28, 60, be(0, 4) + be(0, 4) + be(0xffff, 4) + be(k1.value, 4))),
                             "www.x.org", Type::aaaa);
    CHECK(mapped->kind == Kind::no_data);
    // Three hundred addresses: 128 records are too many already.
    Data many;
    for (u32 i = 0; i < 129; ++i) many = many + record({0xc0, 12}, 1, 60, be(k1.value + i, 4));
    CHECK(read(response(7, 0x8180, question("www.x.org"), {129, 0, 0}, many))->kind == Kind::failed);
    CHECK(read(response(7, 0x8180, question("www.x.org"), {128, 0, 0}, many))->addresses.size() == kAddresses);
    // A lifetime with the top bit set is none (RFC 2181 §8).
    CHECK(read(response(7, 0x8180, question("www.x.org"), {1, 0, 0}, a_record("www.x.org", k1, 0x80000001)))->ttl == 0);
}

TEST_CASE("dns: chains are followed in any order, to a bound; negative answers say for how long") {
    auto chain = [](unsigned links) {
        Data records = a_record("n" + std::to_string(links) + ".org", k1, 500);
        for (unsigned i = links; i > 0; --i)
            records = records + cname(i == 1 ? "www.x.org" : "n" + std::to_string(i - 1) + ".org",
                                      "n" + std::to_string(i) + ".org", 100 + i);
        return read(response(7, 0x8180, question("www.x.org"), {static_cast<u16>(links + 1), 0, 0}, records));
    };
    CHECK(chain(1)->ttl == 101);
    CHECK(chain(kLongestChain)->kind == Kind::addresses);
    CHECK(chain(kLongestChain + 1)->kind == Kind::failed);
    auto negative = [](u16 flags, const Data& answers, u16 n, const Data& authority) {
        return *read(response(7, flags, question("www.x.org"), {n, 1, 0}, answers + authority));
    };
    CHECK(negative(0x8183, {}, 0, soa("x.org", 600, 30)).kind == Kind::no_name);
    CHECK(negative(0x8183, {}, 0, soa("x.org", 600, 30)).ttl == 30);
    CHECK(negative(0x8180, {}, 0, soa("org", 20, 30)).kind == Kind::no_data);
    CHECK(negative(0x8180, {}, 0, soa("", 20, 30)).ttl == 20);
    CHECK(negative(0x8183, {}, 0, soa("y.org", 600, 30)).ttl == 0);  // not its zone
    CHECK(negative(0x8183, {}, 0, record(wire("x.org"), 6, 600, wire("a") + wire("b") + be(0, 4))).ttl == 0);
    const Answer there = negative(0x8180, cname("www.x.org", "cdn.net", 50), 1, soa("cdn.net", 600, 30));
    CHECK(there.kind == Kind::no_data);
    CHECK(there.ttl == 30);
    const Answer on = negative(0x8180, cname("www.x.org", "cdn.net", 50), 1, soa("x.org", 600, 30));
    CHECK(on.kind == Kind::elsewhere);
    CHECK(on.target == *Name::parse("cdn.net"));
    CHECK(negative(0x8182, {}, 0, soa("x.org", 1, 1)).kind == Kind::failed);
    CHECK(negative(0x8185, {}, 0, soa("x.org", 1, 1)).kind == Kind::failed);
    CHECK(negative(0x8381, {}, 0, soa("x.org", 1, 1)).kind == Kind::truncated);
    CHECK(negative(0x8181, {}, 0, soa("x.org", 1, 1)).kind == Kind::not_understood);
    CHECK(read(be(7, 2) + be(0x8184, 2) + be(0, 4) + be(0, 4))->kind == Kind::not_understood);
    CHECK_FALSE(read(be(7, 2) + be(0x8180, 2) + be(0, 4) + be(0, 4)));
}

TEST_CASE("dns: asked once, answered to all, kept for its time, asked again") {
    Bench b;
    const u32 first = *b.r.start("www.x.org", Family::any, b.now),
              second = *b.r.start("WWW.x.org.", Family::ipv4, b.now);
    const auto q = b.ask_one();
    CHECK(q.name == "www.x.org");
    CHECK(q.type == 1);
    CHECK(q.edns);
    CHECK_FALSE(q.tcp);
    CHECK(q.server == kServers[0]);
    CHECK(b.result(first) == "-");
    CHECK_FALSE(b.r.take_change());
    b.answer(q, 0, {1, 0, 0}, a_record("www.x.org", k1, 30));
    CHECK(b.r.take_change());
    CHECK(b.result(first) == "192.0.2.1");
    CHECK(b.result(second) == "192.0.2.1");
    CHECK(b.r.result(first).error() == Error::invalid);
    CHECK(b.r.is_idle());
    CHECK(b.r.deadline().is_never());
    b.now = b.now + Duration::from_s(29);
    CHECK(b.result(*b.r.start("www.x.org", Family::any, b.now)) == "192.0.2.1");
    CHECK(b.ask().empty());
    b.now = b.now + Duration::from_s(1);
    const u32 third = *b.r.start("www.x.org", Family::any, b.now);
    CHECK(b.result(third) == "-");
    b.answer(b.ask_one(), 0, {1, 0, 0}, a_record("www.x.org", k2, 0));  // not to be kept at all
    CHECK(b.result(third) == "192.0.2.2");
    CHECK(b.result(*b.r.start("www.x.org", Family::any, b.now)) == "-");
}

TEST_CASE("dns: literals, hosts and localhost need no server; nonsense is refused") {
    Bench b;
    const HostEntry hosts[] = {{"db", Ipv4Addr::of(10, 1, 1, 1)}, {"db", IpAddr::of(0xfd00ull << 48, 1)}};
    b.settings.servers = {};
    b.settings.hosts = hosts;
    b.r.configure(b.settings);
    auto now_is = [&](std::string_view name, Family f) { return b.result(*b.r.start(name, f, b.now)); };
    CHECK(now_is("10.2.3.4", Family::any) == "10.2.3.4");
    CHECK(now_is("10.2.3.4", Family::ipv6) == kNotFound);
    CHECK(now_is("fe80::1", Family::ipv6) == "fe80::1");
    CHECK(now_is("DB", Family::any) == "10.1.1.1 fd00::1");
    CHECK(now_is("db", Family::ipv6) == "fd00::1");
    CHECK(now_is("localhost", Family::ipv4) == "127.0.0.1");
    CHECK(now_is("a.localhost.", Family::ipv6) == "::1");
    CHECK(b.r.start("www.x.org", Family::any, b.now).error() == Error::unreachable);
    for (const char* bad : {"", ".", "a..b", "a b", "-\xff", "a/b"})
        CHECK(b.r.start(bad, Family::any, b.now).error() == Error::invalid);
}

TEST_CASE("dns: the search list, by the number of dots") {
    struct Case {
        const char* name;
        std::vector<std::string> asked;
    };
    for (const Case& c :
         {Case{"host", {"host.a.example", "host.b", "host"}},
          Case{"host.sub", {"host.sub", "host.sub.a.example", "host.sub.b"}}, Case{"host.", {"host"}}}) {
        Bench b;
        b.settings.search = " a.example,,b ..bad.. ";
        b.r.configure(b.settings);
        const u32 id = *b.r.start(c.name, Family::any, b.now);
        for (const std::string& name : c.asked) {
            const auto q = b.ask_one();
            CHECK(q.name == name);
            b.answer(q, 3, {0, 1, 0}, soa("", 60, 60));
        }
        CHECK(b.result(id) == kNotFound);
        CHECK(b.result(*b.r.start(c.name, Family::any, b.now)) == kNotFound);  // from the cache, all of it
        CHECK(b.ask().empty());
    }
    Bench b;
    b.settings.search = "a.example b";
    b.r.configure(b.settings);
    const u32 id = *b.r.start("host", Family::any, b.now);
    b.answer(b.ask_one(), 3, {0, 0, 0}, {});
    b.answer(b.ask_one(), 0, {1, 0, 0}, a_record("host.b", k1));
    CHECK(b.result(id) == "192.0.2.1");
}

TEST_CASE("dns: silent servers are asked in turn, with fresh ids, ever more patiently, and then no more") {
    Bench b;
    const u32 id = *b.r.start("www.x.org", Family::any, b.now);
    const Instant start = b.now;
    std::vector<u16> ids;
    std::vector<i64> at;
    for (int i = 0; i < 6; ++i) {
        const auto q = b.ask_one();
        CHECK(q.server == kServers[i % 2]);
        ids.push_back(q.id);
        at.push_back((b.now - start).ms());
        b.wait();
    }
    CHECK(at == std::vector<i64>{0, 1000, 2000, 4000, 6000, 10000});
    std::sort(ids.begin(), ids.end());
    CHECK(std::unique(ids.begin(), ids.end()) == ids.end());
    CHECK(b.result(id) == kTimedOut);
    CHECK((b.now - start).ms() == 14000);
    CHECK(b.ask().empty());
    CHECK(b.r.is_idle());
}

TEST_CASE("dns: a server that says no is left for the next; when all do, that is the result") {
    Bench b;
    const u32 id = *b.r.start("www.x.org", Family::any, b.now);
    auto q = b.ask_one();
    b.answer(q, 2, {0, 0, 0}, {});
    q = b.ask_one();
    CHECK(q.server == kServers[1]);
    SECTION("the other answers, and is asked first from then on") {
        b.answer(q, 0, {1, 0, 0}, a_record("www.x.org", k1));
        CHECK(b.result(id) == "192.0.2.1");
        CHECK(b.r.start("www.y.org", Family::any, b.now));
        CHECK(b.ask_one().server == kServers[1]);
    }
    SECTION("the other says no too") {
        b.answer(q, 5, {0, 0, 0}, {});
        CHECK(b.result(id) == kIo);
    }
    SECTION("the other cannot be reached") {
        b.r.failed(q.query, b.now);
        CHECK(b.result(id) == kUnreachable);
    }
    SECTION("the other is silent: it alone is asked again") {
        b.wait();
        q = b.ask_one();
        CHECK(q.server == kServers[1]);
        b.answer(q, 0, {1, 0, 0}, a_record("www.x.org", k1));
        CHECK(b.result(id) == "192.0.2.1");
    }
    SECTION("it does not know EDNS: once more without") {
        b.answer(q, 1, {0, 0, 0}, {});
        q = b.ask_one();
        CHECK(q.server == kServers[1]);
        CHECK_FALSE(q.edns);
        b.answer(q, 1, {0, 0, 0}, {});
        CHECK(b.result(id) == kIo);
    }
    CHECK(b.ask().empty());
}

TEST_CASE("dns: truncated: by TCP from the same server; forged answers change nothing") {
    Bench b;
    const u32 id = *b.r.start("www.x.org", Family::any, b.now);
    auto q = b.ask_one();
    for (u32 i = 0; i < 1000; ++i)
        b.r.input(q.query,
                  bytes(response(static_cast<u16>(q.id + 1 + i), 0x8180, question("www.x.org"), {1, 0, 0},
                                 a_record("www.x.org", Ipv4Addr::of(6, 6, 6, 6)))),
                  b.now);
    CHECK(b.r.counters().ignored == 1000);
    b.answer(q, 0x0200, {0, 0, 0}, {});
    q = b.ask_one();
    CHECK(q.tcp);
    CHECK(q.server == kServers[0]);
    SECTION("answered") {
        b.answer(q, 0, {1, 0, 0}, a_record("www.x.org", k1));
        CHECK(b.result(id) == "192.0.2.1");
    }
    SECTION("truncated again, which makes no sense: the next server") {
        b.answer(q, 0x0200, {0, 0, 0}, {});
        q = b.ask_one();
        CHECK_FALSE(q.tcp);
        CHECK(q.server == kServers[1]);
    }
    SECTION("silent") {
        b.wait();
        CHECK(b.ask_one().server == kServers[1]);
    }
}

TEST_CASE("dns: a chain that leads elsewhere is asked for there, not without end") {
    Bench b;
    const u32 id = *b.r.start("www.x.org", Family::any, b.now);
    b.answer(b.ask_one(), 0, {1, 0, 0}, cname("www.x.org", "cdn.net", 40));
    auto q = b.ask_one();
    CHECK(q.name == "cdn.net");
    b.answer(q, 0, {1, 0, 0}, a_record("cdn.net", k1, 500));
    CHECK(b.result(id) == "192.0.2.1");
    b.now = b.now + Duration::from_s(39);
    CHECK(b.result(*b.r.start("www.x.org", Family::any, b.now)) == "192.0.2.1");
    b.now = b.now + Duration::from_s(1);
    const u32 again = *b.r.start("www.x.org", Family::any, b.now);
    unsigned hops = 0;
    for (; b.result(again) == "-" && hops < 100; ++hops) {
        q = b.ask_one();
        b.answer(q, 0, {1, 0, 0}, cname(q.name, "n" + std::to_string(hops) + ".net"));
        if (hops + 1 == kLongestChain) break;
    }
    CHECK(hops + 1 == kLongestChain);
    CHECK(b.result(again) == kIo);
}

TEST_CASE("dns: both families at once; the one that is late does not hold up the other for long") {
    Bench b;
    b.settings.ipv6 = true;
    b.r.configure(b.settings);
    const u32 id = *b.r.start("www.x.org", Family::any, b.now);
    const auto both = b.ask();
    REQUIRE(both.size() == 2);
    CHECK(both[1].type == 28);
    const Data six = record(wire("www.x.org"), 28, 60, be(0x20010db8, 4) + be(0, 4) + be(0, 4) + be(1, 4));
    b.answer(both[0], 0, {1, 0, 0}, a_record("www.x.org", k1));
    CHECK(b.result(id) == "-");
    SECTION("both: IPv6 first") {
        b.answer(both[1], 0, {1, 0, 0}, six);
        CHECK(b.result(id) == "2001:db8::1 192.0.2.1");
    }
    SECTION("no IPv6 address") {
        b.answer(both[1], 0, {0, 0, 0}, {});
        CHECK(b.result(id) == "192.0.2.1");
    }
    SECTION("silence") {
        const Instant asked = b.now;
        b.wait();
        CHECK((b.now - asked).ms() == Resolver::kSecondFamily.ms());
        CHECK(b.result(id) == "192.0.2.1");
        b.answer(both[1], 0, {1, 0, 0}, six);  // late, and kept
        CHECK(b.r.is_idle());
        CHECK(b.result(*b.r.start("www.x.org", Family::ipv6, b.now)) == "2001:db8::1");
    }
}

TEST_CASE("dns: bounds: lookups, queries, the cache; cancelled lookups leave nothing") {
    Bench b;
    std::vector<u32> ids;
    for (usize i = 0; i < Resolver::kLookups; ++i)
        ids.push_back(*b.r.start("h" + std::to_string(i) + ".x", Family::any, b.now));
    CHECK(b.r.start("one.more", Family::any, b.now).error() == Error::no_space);
    CHECK(b.ask().size() == Resolver::kQueries);
    for (const u32 id : ids) b.r.cancel(id);
    CHECK(b.r.is_idle());
    CHECK(b.r.deadline().is_never());
    CHECK(b.ask().empty());
    // A thousand names: the cache keeps kCache of them, and the resolver works on.
    for (u32 i = 0; i < 1000; ++i) {
        const u32 id = *b.r.start("n" + std::to_string(i) + ".x", Family::any, b.now);
        const auto q = b.ask_one();
        b.answer(q, 0, {1, 0, 0}, a_record(q.name, Ipv4Addr{k1.value + i}, 100 + i));
        REQUIRE(b.result(id) != "-");
    }
    u32 kept = 0;
    for (u32 i = 0; i < 1000; ++i) {
        const u32 id = *b.r.start("n" + std::to_string(i) + ".x", Family::any, b.now);
        kept += b.r.result(id).has_value();
        b.r.cancel(id);
    }
    CHECK(kept == Resolver::kCache);
    // An absurd lifetime is cut.
    const u32 id = *b.r.start("long.x", Family::any, b.now);
    b.answer(b.ask_one(), 0, {1, 0, 0}, a_record("long.x", k1, 0x7fffffff));
    CHECK(b.result(id) == "192.0.2.1");
    b.now = b.now + Duration::from_s(Resolver::kLongestTtl);
    CHECK(b.result(*b.r.start("long.x", Family::any, b.now)) == "-");
    REQUIRE(b.r.start("kept.x", Family::any, b.now));
    for (const auto& q : b.ask()) b.answer(q, 0, {1, 0, 0}, a_record(q.name, k1));
    CHECK(b.result(*b.r.start("kept.x", Family::any, b.now)) == "192.0.2.1");
    // Other servers, in another network perhaps: nothing of the old ones is believed.
    const IpAddr other[] = {Ipv4Addr::of(10, 9, 9, 9)};
    b.settings.servers = other;
    b.r.configure(b.settings);
    const u32 fresh = *b.r.start("kept.x", Family::any, b.now);
    CHECK(b.result(fresh) == "-");
    // And none at all while something is asked.
    b.settings.servers = {};
    b.r.configure(b.settings);
    CHECK(b.ask().empty());
    CHECK(b.result(fresh) == kUnreachable);
}

TEST_CASE("dns: random messages, seed 1035") {
    const unsigned seed = 1035;
    std::mt19937 random(seed);
    const Data good =
        response(0, 0x8180, question("www.x.org"), {3, 1, 0},
                 cname("www.x.org", "b.org") + a_record("b.org", k1) + a_record("b.org", k2) + soa("org", 9, 9));
    for (u32 round = 0; round < 30'000; ++round) {
        Data m = round % 2 == 0 ? good : Data(random() % 300);
        for (u32 i = 0; i < 1 + random() % 6; ++i)
            if (!m.empty())
                m[random() % m.size()] = static_cast<u8>(random() % 4 == 0 ? 0xc0 | random() % 4 : random());
        if (random() % 3 == 0) m.resize(random() % (m.size() + 1));
        CAPTURE(seed, round);
        fuzz::dns_message(m);
        fuzz::dns_resolver(m);
    }
}
