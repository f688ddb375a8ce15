// Addresses as values. Context: any.
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string_view>

#include "lib/endian.hpp"
#include "lib/format.hpp"

namespace ringlet::net {

struct MacAddr {
    std::array<u8, 6> octets{};
    friend constexpr auto operator<=>(const MacAddr&, const MacAddr&) = default;
    constexpr bool is_multicast() const { return octets[0] & 1; }
    static std::optional<MacAddr> parse(std::string_view text);  ///< "52:54:00:12:34:56"; exactly six pairs of digits
    static constexpr MacAddr broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
};

/// An IPv4 address in host byte order.
struct Ipv4Addr {
    u32 value = 0;
    friend constexpr auto operator<=>(Ipv4Addr, Ipv4Addr) = default;
    constexpr bool is_unspecified() const { return value == 0; }
    constexpr bool is_broadcast() const { return value == 0xffff'ffffu; }
    constexpr bool is_multicast() const { return (value >> 28) == 0xe; }
    constexpr bool is_loopback() const { return (value >> 24) == 127; }
    static constexpr Ipv4Addr of(u8 a, u8 b, u8 c, u8 d) { return {u32(a) << 24 | u32(b) << 16 | u32(c) << 8 | d}; }
    static std::optional<Ipv4Addr> parse(std::string_view text);  ///< "10.0.2.15"; exactly four decimal numbers
};

struct Endpoint {
    Ipv4Addr address;
    u16 port = 0;
    friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

/// "10.0.2.15" into `to`.
std::string_view to_text(Ipv4Addr a, std::span<char, 16> to);
/// "52:54:00:12:34:56" into `to`.
std::string_view to_text(const MacAddr& a, std::span<char, 18> to);

}  // namespace ringlet::net
