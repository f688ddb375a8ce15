// Parsers fed with any bytes: what they take must be within their bounds. Used by the fuzzers and, with random bytes,
// by the unit tests. A broken promise ends the program.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>

#include "net/dhcp_message.hpp"
#include "net/dns_resolver.hpp"
#include "net/sntp.hpp"

namespace ringlet::fuzz {

inline void promise(bool kept) {
    if (!kept) std::abort();
}

/// An answer of a DHCP server: with a header that passes, so that the options are reached.
inline void dhcp_message(std::span<const u8> bytes) {
    static std::byte m[1500];
    const usize n = std::min(bytes.size(), sizeof(m) - 240);
    std::memset(m, 0, 240);
    const u8 head[] = {2, 1, 6}, magic[] = {0x63, 0x82, 0x53, 0x63};
    std::memcpy(m, head, 3);
    std::memcpy(m + 236, magic, 4);
    if (n > 0) std::memcpy(m + 240, bytes.data(), n);
    if (n > 192) std::memcpy(m + 44, bytes.data() + n - 192, 192);  // for overloaded options
    net::dhcp::Answer a;
    u64 bad = 0;
    if (net::dhcp::parse(Bytes(m, 240 + n), a, bad) != net::dhcp::Verdict::good) return;
    promise(!a.prefix || *a.prefix <= 32);
    promise(a.hints.mtu == 0 || a.hints.mtu >= 576);
    for (const net::Ipv4Addr address : a.hints.dns) promise(net::dhcp::is_plausible_host(address));
    for (const net::ClasslessRoute& r : a.hints.routes) promise(r.prefix >= 1 && r.prefix <= 32);
    for (const char c : a.hints.search.view()) promise(c == ' ' || (c >= '-' && c <= 'z'));
}

/// A server's answer: the first two bytes are made to be the right id, whatever the rest says.
inline void dns_message(std::span<const u8> bytes) {
    const net::dns::Question question{*net::dns::Name::parse("www.x.org"), net::dns::Type::a};
    const Bytes message = std::as_bytes(bytes);
    const auto id = read_at<be16>(message, 0);
    const auto a = net::dns::read_answer(message, id ? u16{*id} : u16{0}, question);
    if (!a) return;
    promise(a->addresses.empty() == (a->kind != net::dns::Answer::Kind::addresses));
    for (const net::IpAddr& address : a->addresses) promise(address.is_ipv4() && !address.is_unspecified());
    promise(a->ttl <= 0x7fff'ffff);
}

/// Bytes decide what servers say, what callers want and how time passes: every lookup ends, and the resolver is idle
/// then.
inline void dns_resolver(std::span<const u8> bytes) {
    using namespace net;
    static constexpr IpAddr kServers[] = {Ipv4Addr::of(10, 0, 0, 1), Ipv4Addr::of(10, 0, 0, 2)};
    dns::Resolver r(SipKey{3, 4});
    r.configure({.servers = kServers, .search = "x.org y", .ndots = 1, .hosts = {}, .ipv6 = true});
    Instant now{1};
    usize at = 0;
    auto next = [&] { return at < bytes.size() ? bytes[at++] : u8{0}; };
    const char* names[] = {"www", "www.x.org", "www.x.org.", "b"};
    u32 ids[4];
    for (usize i = 0; i < 4; ++i) ids[i] = r.start(names[i], dns::Family{static_cast<u8>(next() % 3)}, now).value_or(0);
    for (u32 step = 0; !r.is_idle(); ++step) {
        promise(step < 4000);
        std::byte query[dns::kQueryBytes];
        if (const auto out = r.output(query, now)) {
            const u8 what = next();
            if (what % 4 == 0) r.failed(out->query, now);
            if (what % 4 == 1) continue;
            // The bytes as they are, under the id and the question that were asked.
            std::byte answer[600];
            const usize n = std::min(out->size, usize{280});
            std::memcpy(answer, query, n);
            const usize more = std::min<usize>(bytes.size() - at, 300);
            if (more != 0) std::memcpy(answer + n, bytes.data() + at, more);
            answer[2] |= std::byte{0x80};
            answer[3] = std::byte{static_cast<u8>(next() & 15)};
            answer[7] = std::byte{static_cast<u8>(next() % 4)};
            answer[9] = std::byte{static_cast<u8>(next() % 4)};
            answer[11] = std::byte{0};
            r.input(out->query, Bytes(answer, n + more), now);
            continue;
        }
        now = std::max(now, r.deadline());
        r.poll(now);
    }
    for (const u32 id : ids) {
        const auto result = r.result(id);
        promise(id == 0 || result || result.error() != Error::would_block);
    }
}

/// An NTP server's answer: nothing but a good one sets the clock.
inline void sntp_message(std::span<const u8> bytes) {
    static constexpr net::IpAddr kServer[] = {net::Ipv4Addr::of(10, 0, 0, 1)};
    net::Sntp s(SipKey{5, 6});
    Instant now{1};
    s.set_servers(kServer, now);
    for (usize at = 0; at + 48 <= bytes.size(); at += 48) {
        s.poll(now);
        std::byte request[net::Sntp::kMessageBytes], answer[net::Sntp::kMessageBytes];
        if (!s.output(request, now)) {
            promise(!s.deadline().is_never() || s.status().sent != 0);
            if (s.deadline().is_never()) return;
            now = std::max(now, s.deadline());
            continue;
        }
        std::memcpy(answer, bytes.data() + at, sizeof(answer));
        if (bytes[at] % 2 == 0) std::memcpy(answer + 24, request + 40, 8);
        now = now + Duration::from_ms(5);
        s.input(answer, 1'800'000'000'000'000'000, now);
        if (const auto c = s.take_correction()) promise(c->unix_ns >= 1'735'689'600'000'000'000);
    }
}

}  // namespace ringlet::fuzz
