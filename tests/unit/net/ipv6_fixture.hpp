// IPv6 frames by hand, and a host that has an address.
#pragma once

#include <random>

#include "fixture.hpp"
#include "net/ipv6.hpp"

namespace ringlet::net::test {

inline IpAddr ip(const char* text) {
    return *IpAddr::parse(text);
}
inline const IpAddr kPeer6 = ip("fe80::9"), kRouter6 = ip("fe80::fe"), kFar6 = ip("2001:db8:ffff::1");
inline constexpr MacAddr kRouterMac{{2, 0, 0, 0, 0, 0xfe}};
inline const IpAddr kPrefix = ip("2001:db8:1:2::");

inline void append(Frame& f, const Frame& more) {
    f.insert(f.end(), more.begin(), more.end());
}
inline void append(Frame& f, const IpAddr& a) {
    std::array<std::byte, 16> bytes;
    a.store(bytes);
    for (std::byte b : bytes) f.push_back(u8(b));
}
inline IpAddr take_ip(const Frame& f, usize at) {
    REQUIRE(f.size() >= at + 16);
    return IpAddr::from(std::as_bytes(std::span(f).subspan(at).first<16>()));
}

inline Frame ipv6(u8 next, const IpAddr& source, const IpAddr& destination, const Frame& payload, u8 hops = 64) {
    Frame f{0x60, 0, 0, 0, 0, 0, next, hops};
    put16(f, 4, u32(payload.size()));
    append(f, source);
    append(f, destination);
    append(f, payload);
    return f;
}
inline Frame with_sum(u8 protocol, const IpAddr& source, const IpAddr& destination, Frame message, usize at) {
    put16(message, at, 0);
    InternetSum sum = InternetSum::pseudo_header(source, destination, protocol, message.size());
    sum.add(bytes_of(message));
    put16(message, at, sum.checksum());
    return message;
}
inline MacAddr group_mac(const IpAddr& group) {
    const u32 low = u32(group.low());
    return {{0x33, 0x33, u8(low >> 24), u8(low >> 16), u8(low >> 8), u8(low)}};
}
/// An ICMPv6 message as a frame, checksum made right.
inline Frame icmp6(const IpAddr& source, const IpAddr& destination, const Frame& message, u8 hops = 255,
                   MacAddr from = kPeerMac) {
    const MacAddr to = destination.is_multicast() ? group_mac(destination) : kOurMac;
    return ethernet(to, from, 0x86dd,
                    ipv6(58, source, destination, with_sum(58, source, destination, message, 2), hops));
}
inline Frame link_address(u8 type, MacAddr mac) {
    Frame f{type, 1};
    f.insert(f.end(), mac.octets.begin(), mac.octets.end());
    return f;
}
inline Frame solicitation(const IpAddr& target, const Frame& options = {}) {
    Frame f{135, 0, 0, 0, 0, 0, 0, 0};
    append(f, target);
    append(f, options);
    return f;
}
inline Frame advertisement(const IpAddr& target, u8 flags, const Frame& options = {}) {
    Frame f{136, 0, 0, 0, flags, 0, 0, 0};
    append(f, target);
    append(f, options);
    return f;
}
inline Frame prefix_option(const IpAddr& prefix, u8 length = 64, u8 flags = 0xc0, u32 valid = 86400,
                           u32 preferred = 14400) {
    Frame f{3, 4, length, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    put32(f, 4, valid);
    put32(f, 8, preferred);
    append(f, prefix);
    return f;
}
/// RFC 4191 §2.3, in `units` of 8 bytes.
inline Frame route_option(const IpAddr& prefix, u8 length, u32 valid = 1800, u8 flags = 0, u8 units = 3) {
    Frame f{24, units, length, flags, 0, 0, 0, 0};
    put32(f, 4, valid);
    append(f, prefix);
    f.resize(units * 8u);
    return f;
}
inline Frame router_advertisement(const Frame& options, u16 lifetime = 1800, u8 flags = 0) {
    Frame f{134, 0, 0, 0, 64, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    put16(f, 6, lifetime);
    append(f, options);
    return f;
}
inline Frame from_router(const Frame& message, u8 hops = 255) {
    return icmp6(kRouter6, kAllNodes, message, hops, kRouterMac);
}
inline Frame udp6(const IpAddr& source, const IpAddr& destination, u16 from, u16 to, const Frame& payload) {
    return with_sum(17, source, destination, udp(from, to, payload), 6);
}

struct Host6 : Host {
    Instant now{1};
    static StackConfig config6(u8 n = 1, Offloads offloads = {}) {
        StackConfig c = config(n, offloads);
        c.ipv6 = make_ipv6;
        return c;
    }
    explicit Host6(const StackConfig& c = config6(), usize packets = 64) : Host(c, packets) {}

    const Statistics& stats() const { return stack.statistics(); }
    void give(const Frame& f) { input(f, now); }
    /// Lets time pass in small steps; returns the IPv6 frames that come out.
    std::vector<Frame> run(Duration d) {
        std::vector<Frame> all;
        const Instant end = now + d;
        for (;;) {
            stack.poll(now);
            for (Frame& f : output_all(now))
                if (take16(f, 12) == 0x86dd) all.push_back(std::move(f));
            if (now >= end) return all;
            Instant next = stack.deadline();
            if (next <= now) next = now + Duration::from_ms(1);
            now = next < end ? next : end;
        }
    }
    /// Who is given a datagram to `destination`; nobody: zeros.
    MacAddr hop_to(const IpAddr& destination) {
        const auto s = *stack.udp().open({{}, 0});
        const std::byte payload[1] = {};
        REQUIRE(stack.send_to(s, {destination, 7}, payload, now));
        const auto out = run({});
        stack.udp().close(s);
        return out.empty() ? MacAddr{} : *read_at<MacAddr>(bytes_of(out[0]), 0);
    }
    /// DAD done: the link-local address.
    IpAddr settle() {
        run(Duration::from_s(3));
        const auto info = stack.interface().ipv6;
        REQUIRE(info.addresses_used >= 1);
        REQUIRE(info.addresses[0].state == Ipv6AddressInfo::State::preferred);
        return info.addresses[0].address;
    }
    /// And a router with a prefix: the global address.
    IpAddr settle_with_router(const Frame& more = {}) {
        settle();
        Frame options = prefix_option(kPrefix);
        append(options, link_address(1, kRouterMac));
        append(options, more);
        give(from_router(router_advertisement(options)));
        run(Duration::from_s(3));
        const auto info = stack.interface().ipv6;
        REQUIRE(info.addresses_used == 2);
        REQUIRE(info.addresses[1].state == Ipv6AddressInfo::State::preferred);
        return info.addresses[1].address;
    }
    /// And the peer is known by either family.
    IpAddr settle_with_peer() {
        const IpAddr us = settle();
        introduce(kPeer6, kPeerMac, us);
        introduce_peer(*this, now);
        return us;
    }
    IpAddr link_local() const { return stack.interface().ipv6.addresses[0].address; }
    /// The neighbour answers every solicitation.
    void introduce(const IpAddr& who, MacAddr mac, const IpAddr& us) {
        give(icmp6(who, solicited_node(us), solicitation(us, link_address(1, mac)), 255, mac));
        run({});
    }
};

/// Those of `frames` that are ICMPv6 of `type`, hop-by-hop headers looked behind.
inline std::vector<Frame> icmp6_of(const std::vector<Frame>& frames, u8 type) {
    std::vector<Frame> out;
    for (const Frame& f : frames)
        if ((f[20] == 58 && f[54] == type) || (f[20] == 0 && f[54] == 58 && f[62] == type)) out.push_back(f);
    return out;
}
inline bool sum_is_right(const Frame& f, usize at = 54, u8 protocol = 58) {
    InternetSum sum = InternetSum::pseudo_header(take_ip(f, 22), take_ip(f, 38), protocol, f.size() - at);
    sum.add(bytes_of(f).subspan(at));
    return sum.is_valid();
}

inline Frame random_bytes(usize n, unsigned seed) {
    std::mt19937 engine(seed);
    Frame f(n);
    for (u8& b : f) b = u8(engine());
    return f;
}
/// The payload of the one datagram that socket `s` holds.
inline Frame received(Host& h, UdpHandle s) {
    std::vector<std::byte> buffer(70'000);
    const auto r = h.stack.udp().receive_from(s, buffer);
    if (!r) return {};
    Frame f(r->size);
    if (!f.empty()) std::memcpy(f.data(), buffer.data(), f.size());
    return f;
}

}  // namespace ringlet::net::test
