// The HTTP side of the default appliance: what is accepted, what is refused, and with which status.
#include <catch2/catch.hpp>

#include <ctime>
#include <random>
#include <string>

#include "examples/httpd/http.hpp"

using namespace httpd;

namespace {
Request request;
Parsed parse(const std::string& text) {
    return parse_request(text, request);
}
Status refused(const std::string& text) {
    const Parsed p = parse(text);
    CHECK(p.state == Parsed::State::refused);
    return p.status;
}
std::string path_of(const std::string& target) {
    Request r;
    return decode_path(target, r) ? std::string(r.decoded_path()) : "refused";
}
std::string date(u64 t) {
    char to[kDateBytes];
    return std::string(format_date(t, to));
}
}  // namespace

TEST_CASE("a plain request is understood") {
    const std::string text =
        "GET /a/b.txt?x=1 HTTP/1.1\r\nHost: h\r\nRange: bytes=5-9\r\nIf-None-Match: \"e\"\r\n\r\nGET";
    const Parsed p = parse(text);
    CHECK(p.state == Parsed::State::complete);
    CHECK(p.head_bytes == text.size() - 3);
    CHECK(request.method == Method::get);
    CHECK(request.decoded_path() == "/a/b.txt");
    CHECK(request.query == "x=1");
    CHECK(request.keep_alive);
    CHECK(*request.range->first == 5);
    CHECK(request.if_none_match == "\"e\"");
}

TEST_CASE("every prefix of a request is incomplete, never refused") {
    const std::string text = "HEAD /index.html HTTP/1.1\r\nHost: example\r\nContent-Length: 0\r\n\r\n";
    for (usize n = 0; n < text.size(); ++n) CHECK(parse(text.substr(0, n)).state == Parsed::State::incomplete);
    CHECK(parse(text).state == Parsed::State::complete);
}

TEST_CASE("keep-alive follows the version and the Connection field") {
    parse("GET / HTTP/1.0\r\n\r\n");
    CHECK_FALSE(request.keep_alive);
    parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    CHECK(request.keep_alive);
    parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, close\r\n\r\n");
    CHECK_FALSE(request.keep_alive);
    parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    CHECK(request.keep_alive);
    parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    CHECK_FALSE(request.keep_alive);  // its body may come or not: the next request could not be told from it
}

TEST_CASE("what RFC 9112 forbids is refused with the right status") {
    CHECK(refused("GET /\r\n\r\n") == Status::bad_request);
    CHECK(refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == Status::version_not_supported);
    CHECK(refused("GET / HTTP/1.1\r\n\r\n") == Status::bad_request);
    CHECK(refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == Status::bad_request);
    CHECK(refused("GET / HTTP/1.1\r\nHost : a\r\n\r\n") == Status::bad_request);
    CHECK(refused("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n") == Status::bad_request);
    CHECK(refused("GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n") == Status::bad_request);
    CHECK(refused("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n") ==
          Status::bad_request);
    CHECK(refused("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n") == Status::bad_request);
    CHECK(refused("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n") ==
          Status::bad_request);
    CHECK(refused("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") == Status::length_required);
    CHECK(refused("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n") == Status::content_too_large);
    CHECK(refused("GET /" + std::string(3000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n") == Status::uri_too_long);
    CHECK(refused("GET /" + std::string(3000, 'a')) == Status::uri_too_long);
    CHECK(refused("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(9000, 'a')) == Status::header_fields_too_large);
    CHECK(refused("G@T / HTTP/1.1\r\nHost: a\r\n\r\n") == Status::bad_request);
    CHECK(refused("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n") == Status::bad_request);
}

TEST_CASE("an unknown method parses, so that it can be answered with 405") {
    CHECK(parse("DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n").state == Parsed::State::complete);
    CHECK(request.method == Method::other);
    CHECK(parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").state == Parsed::State::complete);
}

TEST_CASE("paths are decoded once and cannot leave the root") {
    CHECK(path_of("/") == "/");
    CHECK(path_of("/a%20b/c") == "/a b/c");
    CHECK(path_of("/a/./b/../c/") == "/a/c/");
    CHECK(path_of("//a///b") == "/a/b");
    CHECK(path_of("/..") == "refused");
    CHECK(path_of("/a/../../b") == "refused");
    CHECK(path_of("/%2e%2e/etc") == "refused");
    CHECK(path_of("/a/%2e%2e/b") == "/b");
    CHECK(path_of("/a%2fb") == "refused");
    CHECK(path_of("/a%00b") == "refused");
    CHECK(path_of("/a%2") == "refused");
    CHECK(path_of("/%252e%252e/") == "/%2e%2e/");
    CHECK(path_of("a") == "refused");
    CHECK(path_of("http://host/x/y") == "/x/y");
    CHECK(path_of("http://host") == "/");
    CHECK(path_of("/" + std::string(300, 'n')) == "refused");
    CHECK(path_of("/x?y/../..") == "/x");
}

TEST_CASE("ranges resolve as RFC 9110 §14.1.2 says") {
    const auto r = [](std::optional<u64> a, std::optional<u64> b, u64 size) { return resolve(RangeSpec{a, b}, size); };
    CHECK(r(0, 0, 10)->bytes == 1);
    CHECK(r(5, {}, 10)->bytes == 5);
    CHECK(r(5, 100, 10)->bytes == 5);
    CHECK_FALSE(r(10, {}, 10));
    CHECK(r({}, 3, 10)->first == 7);
    CHECK(r({}, 30, 10)->first == 0);
    CHECK_FALSE(r({}, 0, 10));
    CHECK_FALSE(r(0, 0, 0));
    parse("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1,5-6\r\n\r\n");
    CHECK_FALSE(request.range);
    parse("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=9-5\r\n\r\n");
    CHECK_FALSE(request.range);
    parse("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=99999999999999999999-\r\n\r\n");
    CHECK_FALSE(request.range);
}

TEST_CASE("entity tags compare weakly") {
    CHECK(etag_matches("\"a\", W/\"b\"", "\"b\""));
    CHECK(etag_matches("*", "\"x\""));
    CHECK_FALSE(etag_matches("\"a\"", "\"ab\""));
    CHECK_FALSE(etag_matches("", "\"ab\""));
}

TEST_CASE("dates agree with the C library, both ways") {
    CHECK(date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT");
    std::mt19937_64 random(7);
    for (int i = 0; i < 20000; ++i) {
        const std::time_t t = static_cast<std::time_t>(random() % 250000000000ull);
        char expected[64];
        std::tm tm{};
        gmtime_r(&t, &tm);
        std::strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        REQUIRE(date(static_cast<u64>(t)) == expected);
        REQUIRE(parse_date(expected) == static_cast<u64>(t));
    }
    CHECK_FALSE(parse_date("Sun, 06 Nov 1994 08:49:37 CET"));
    CHECK_FALSE(parse_date("Sun, 06 Foo 1994 08:49:37 GMT"));
    CHECK(date(~u64{0}).ends_with("9999 00:00:00 GMT"));
}

TEST_CASE("types, and text made safe for HTML and URLs") {
    CHECK(content_type("/x/index.HTML") == "text/html; charset=utf-8");
    CHECK(content_type("/x.d/file") == "application/octet-stream");
    char one[1], three[3];
    CHECK(html_escape('<', one) == "&lt;");
    CHECK(html_escape('a', one) == "a");
    CHECK(url_escape('/', three) == "%2F");
    CHECK(url_escape('\xff', three) == "%FF");
}

TEST_CASE("mutated requests never crash the parser") {
    const std::string good = "GET /a%20b/../c HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\nIf-Modified-Since: Sun, 06 "
                             "Nov 1994 08:49:37 GMT\r\n\r\n";
    std::mt19937 random(11);
    for (int i = 0; i < 50000; ++i) {
        std::string s = good;
        for (unsigned k = random() % 4; k != ~0u; --k) s[random() % s.size()] = static_cast<char>(random());
        s.resize(random() % (s.size() + 1));
        const Parsed p = parse(s);
        if (p.state == Parsed::State::complete) REQUIRE(p.head_bytes <= s.size());
    }
}
