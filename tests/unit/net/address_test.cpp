// Addresses of both families: text (RFC 4291 §2.2, RFC 5952), classes, and what the mapped form promises to sums.
#include <catch2/catch.hpp>

#include "net/checksum.hpp"
#include "net/tcp/isn.hpp"

using namespace ringlet;
using namespace ringlet::net;

namespace {

std::string text_of(const IpAddr& a) {
    char text[kAddressText];
    return std::string(to_text(a, text));
}

}  // namespace

TEST_CASE("IPv6 addresses are read in every form of RFC 4291 and written in the one of RFC 5952") {
    const std::pair<const char*, const char*> table[] = {
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},     // RFC 5952 §4.2.3: the first of equals
        {"2001:0db8:0:0:0:0:2:1", "2001:db8::2:1"},        // §4.1: leading zeros go
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},  // §4.2.2: one group is not shortened
        {"2001:DB8::ABCD", "2001:db8::abcd"},              // §4.3: lower case
        {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},                 // the longest run
        {"0:0:0:4:5:6:7:8", "::4:5:6:7:8"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},  // RFC 4291 §2.2 form 3
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
        {"::ffff:10.0.2.15", "10.0.2.15"},  // the mapped form is IPv4
        {"10.0.2.15", "10.0.2.15"},
        {"0.0.0.0", "0.0.0.0"},
    };
    for (const auto& [in, out] : table) {
        CAPTURE(in);
        const auto a = IpAddr::parse(in);
        REQUIRE(a);
        CHECK(text_of(*a) == out);
        CHECK(IpAddr::parse(out) == a);
    }
}

TEST_CASE("What is no address is refused") {
    for (const char* bad : {"",
                            ":",
                            ":::",
                            "1",
                            "1:2:3:4:5:6:7",
                            "1:2:3:4:5:6:7:8:9",
                            "1::2::3",
                            "::1:",
                            ":1::",
                            "1:::2",
                            "12345::",
                            "g::",
                            "::1.2.3",
                            "::1.2.3.4:5",
                            "1.2.3.4::",
                            "1:2:3:4:5:6:7:1.2.3.4",
                            "::1.2.3.256",
                            "::1 ",
                            " ::1",
                            "::1%1",
                            "[::1]",
                            "1:2:3:4:5:6:7:8::",
                            "::1:2:3:4:5:6:7:8",
                            "::-1",
                            "0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0"}) {
        CAPTURE(bad);
        CHECK_FALSE(IpAddr::parse(bad));
    }
}

TEST_CASE("Addresses know what they are, whatever their family") {
    const auto a = [](const char* text) { return *IpAddr::parse(text); };
    CHECK(a("10.0.0.1").is_ipv4());
    CHECK(a("10.0.0.1").ipv4() == Ipv4Addr::of(10, 0, 0, 1));
    CHECK_FALSE(a("::").is_ipv4());
    CHECK_FALSE(a("::fffe:10.0.0.1").is_ipv4());
    for (const char* t : {"::", "0.0.0.0"}) CHECK(a(t).is_unspecified());
    for (const char* t : {"::1", "0.0.0.1", "::fffe:0:0"}) CHECK_FALSE(a(t).is_unspecified());
    for (const char* t : {"::1", "127.0.0.1", "127.9.9.9"}) CHECK(a(t).is_loopback());
    for (const char* t : {"::2", "128.0.0.1", "::", "1::1"}) CHECK_FALSE(a(t).is_loopback());
    for (const char* t : {"ff02::1", "ff00::", "224.0.0.1", "239.255.255.255"}) CHECK(a(t).is_multicast());
    for (const char* t : {"fe80::1", "223.255.255.255", "240.0.0.1", "255.255.255.255"})
        CHECK_FALSE(a(t).is_multicast());
    CHECK(a("255.255.255.255").is_broadcast());
    for (const char* t : {"fe80::1", "febf::1", "ff02::1", "ff12::1"}) CHECK(a(t).is_link_local());
    for (const char* t : {"fec0::1", "ff05::1", "2001::1", "10.0.0.1"}) CHECK_FALSE(a(t).is_link_local());
    CHECK(IpAddr::of(u64{0xfe80} << 48, 1) == a("fe80::1"));
    std::array<std::byte, 16> bytes{};
    a("2001:db8::5").store(bytes);
    CHECK((bytes[0] == std::byte{0x20} && bytes[3] == std::byte{0xb8} && bytes[15] == std::byte{5}));
    CHECK(IpAddr::from(bytes) == a("2001:db8::5"));
}

TEST_CASE("`::` covers both families, 0.0.0.0 its own") {
    const auto a = [](const char* text) { return *IpAddr::parse(text); };
    for (const char* t : {"10.0.0.1", "2001::1", "::1"}) CHECK(a(t).is_covered_by(a("::")));
    CHECK(a("10.0.0.1").is_covered_by(a("0.0.0.0")));
    CHECK_FALSE(a("2001::1").is_covered_by(a("0.0.0.0")));
    CHECK_FALSE(a("::1").is_covered_by(a("0.0.0.0")));
    CHECK(a("10.0.0.1").is_covered_by(a("10.0.0.1")));
    CHECK_FALSE(a("10.0.0.1").is_covered_by(a("10.0.0.2")));
    CHECK_FALSE(a("::").is_covered_by(a("0.0.0.0")));
}

TEST_CASE("Endpoints as text") {
    char text[kEndpointText];
    CHECK(to_text(Endpoint{Ipv4Addr::of(10, 0, 0, 1), 80}, text) == "10.0.0.1:80");
    CHECK(to_text(Endpoint{*IpAddr::parse("fe80::1"), 80}, text) == "[fe80::1]:80");
    CHECK(to_text(Endpoint{*IpAddr::parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 65535}, text) ==
          "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

TEST_CASE("RFC 4007 §11: zones") {
    const IpAddr local = *IpAddr::parse("fe80::1");
    CHECK(parse_zoned("fe80::1") == Endpoint{local});
    CHECK(parse_zoned("10.0.0.1") == Endpoint{Ipv4Addr::of(10, 0, 0, 1)});
    CHECK(parse_zoned("fe80::1%net0") == Endpoint{local, 0, 1});
    CHECK(parse_zoned("fe80::1%3") == Endpoint{local, 0, 3});
    CHECK(parse_zoned("ff02::1%net1") == Endpoint{*IpAddr::parse("ff02::1"), 0, 2});
    CHECK(parse_zoned("fe80::1%net255") == Endpoint{local, 0, 256});
    for (const char* wrong : {"fe80::1%", "fe80::1%net", "fe80::1%eth0", "fe80::1%0", "fe80::1%net0%1", "fe80::1%-1",
                              "fe80::1%net256", "2001:db8::1%net0", "10.0.0.1%net0", "%net0", ""})
        CHECK_FALSE(parse_zoned(wrong));
    char text[kEndpointText];
    CHECK(to_text(Endpoint{local, 80, 2}, text) == "[fe80::1%net1]:80");
    CHECK(to_text(Endpoint{*IpAddr::parse("2001::1"), 80, 2}, text) == "[2001::1]:80");  // it needs none
    CHECK(to_text(Endpoint{*IpAddr::parse("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 65535, 65535}, text) ==
          "[febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff%net65534]:65535");
}

TEST_CASE("One pseudo-header for both families") {
    const auto sum = [](std::initializer_list<u32> words) {
        u32 s = 0;
        for (u32 w : words) s += (w >> 16) + (w & 0xffff);
        while (s >> 16 != 0) s = (s >> 16) + (s & 0xffff);
        return u16(s);
    };
    const auto v4 = InternetSum::pseudo_header(Ipv4Addr::of(10, 0, 2, 15), Ipv4Addr::of(10, 0, 2, 2), 6, 40);
    CHECK(v4.sum() == sum({0x0a00'020f, 0x0a00'0202, 6, 40}));
    const auto v6 =
        InternetSum::pseudo_header(*IpAddr::parse("2001:db8::1"), *IpAddr::parse("fe80::2:3"), 58, 0x1'2345);
    CHECK(v6.sum() == sum({0x2001'0db8, 1, 0xfe80'0000, 0x0002'0003, 58, 0x1'2345}));
}

TEST_CASE("The connection table's hash sees every part of both endpoints, and spreads") {
    std::array<u8, 16> secret{1, 2, 3};
    const tcp::Secrets secrets(secret);
    const Endpoint l{*IpAddr::parse("2001:db8::1"), 80}, r{*IpAddr::parse("2001:db8::2"), 4000};
    const u32 h = secrets.bucket(l, r);
    CHECK(h != secrets.bucket(r, l));
    for (int bit = 0; bit < 128; ++bit) {
        const u64 high = bit < 64 ? u64{1} << bit : 0, low = bit < 64 ? 0 : u64{1} << (bit - 64);
        const IpAddr other = IpAddr::of(l.address.high() ^ high, l.address.low() ^ low);
        CHECK(secrets.bucket({other, 80}, r) != h);
        CHECK(secrets.bucket(l, {IpAddr::of(r.address.high() ^ high, r.address.low() ^ low), 4000}) != h);
    }
    for (int bit = 0; bit < 16; ++bit) CHECK(secrets.bucket(l, {r.address, u16(4000 ^ 1 << bit)}) != h);
    // 4096 ports of one peer into 512 buckets: 8 each on average, and no bucket far from it.
    std::array<int, 512> used{};
    for (u32 port = 20000; port < 24096; ++port)
        ++used[secrets.bucket({Ipv4Addr::of(10, 0, 0, 1), 80}, {Ipv4Addr::of(10, 0, 0, 2), u16(port)}) % 512];
    CHECK(*std::max_element(used.begin(), used.end()) <= 28);
    secret[5] = 9;
    CHECK(tcp::Secrets(secret).bucket(l, r) != h);
}
