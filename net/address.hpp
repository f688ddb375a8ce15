// Addresses as values. Context: any.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstring>
#include <optional>
#include <string_view>

#include "lib/bytes.hpp"
#include "lib/endian.hpp"
#include "lib/format.hpp"

namespace ringlet::net {

struct MacAddr {
    std::array<u8, 6> octets{};
    /// As one number: two loads, which the compiler does not make of what a constant needs.
    constexpr u64 value() const {
        if (std::is_constant_evaluated()) {
            const auto words = std::bit_cast<std::array<u16, 3>>(octets);
            return u64{words[0]} | u64{words[1]} << 16 | u64{words[2]} << 32;
        }
        u32 low;
        u16 high;
        std::memcpy(&low, octets.data(), sizeof(low));
        std::memcpy(&high, octets.data() + sizeof(low), sizeof(high));
        return low | u64{high} << 32;
    }
    friend constexpr bool operator==(const MacAddr& a, const MacAddr& b) { return a.value() == b.value(); }
    constexpr bool is_multicast() const { return octets[0] & 1; }
    static std::optional<MacAddr> parse(std::string_view text);  ///< "52:54:00:12:34:56"; exactly six pairs of digits
    static constexpr MacAddr broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
};

/// An IPv4 address in host byte order: where only IPv4 can be meant (ARP, DHCP, IPv4's own header).
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

/// An address of either family, as the sixteen bytes of an IPv6 address; IPv4 is its mapped form ::ffff:a.b.c.d
/// (RFC 4291 §2.5.5.2), so that comparing, hashing and summing take no branch. No packet may carry the mapped form
/// itself: input drops it. `::` is "any" of both families, 0.0.0.0 any of IPv4.
class IpAddr {
public:
    constexpr IpAddr() = default;
    constexpr IpAddr(Ipv4Addr a) : low_(kMapped | u64{__builtin_bswap32(a.value)} << 32) {}
    /// From its bytes on the wire.
    static IpAddr from(std::span<const std::byte, 16> bytes) {
        IpAddr a;
        std::memcpy(&a.high_, bytes.data(), 8);
        std::memcpy(&a.low_, bytes.data() + 8, 8);
        return a;
    }
    /// From two numbers: of(0xfe80 << 48, 1) is fe80::1.
    static constexpr IpAddr of(u64 high, u64 low) { return {__builtin_bswap64(high), __builtin_bswap64(low)}; }
    /// IPv4 or IPv6 (RFC 4291 §2.2: all three forms), nothing around it; no zone.
    static std::optional<IpAddr> parse(std::string_view text);
    void store(std::span<std::byte, 16> to) const {
        std::memcpy(to.data(), &high_, 8);
        std::memcpy(to.data() + 8, &low_, 8);
    }

    friend constexpr bool operator==(const IpAddr&, const IpAddr&) = default;
    constexpr bool is_ipv4() const { return high_ == 0 && u32(low_) == u32(kMapped); }
    /// Of an IPv4 address; of another it means nothing.
    constexpr Ipv4Addr ipv4() const { return {__builtin_bswap32(static_cast<u32>(low_ >> 32))}; }
    /// The upper and the lower half as numbers: 0xfe80'0000'0000'0000 and 1 of fe80::1.
    constexpr u64 high() const { return __builtin_bswap64(high_); }
    constexpr u64 low() const { return __builtin_bswap64(low_); }
    /// The halves as they lie in memory, for sums and hashes.
    constexpr std::array<u64, 2> words() const { return {high_, low_}; }

    constexpr bool is_unspecified() const { return high_ == 0 && (low_ == 0 || low_ == kMapped); }
    constexpr bool is_broadcast() const { return is_ipv4() && ipv4().is_broadcast(); }
    constexpr bool is_multicast() const { return is_ipv4() ? ipv4().is_multicast() : (high_ & 0xff) == 0xff; }
    constexpr bool is_loopback() const {
        return high_ == 0 && (u32(low_) == u32(kMapped) ? ipv4().is_loopback() : low() == 1);
    }
    /// fe80::/10, or a multicast address of link-local scope: means something only together with an interface.
    constexpr bool is_link_local() const { return (high() >> 54) == 0x3fa || (high() >> 48 & 0xff0f) == 0xff02; }
    /// A local address `wanted` lets in what is sent to this one: the same, or any.
    constexpr bool is_covered_by(const IpAddr& wanted) const {
        return wanted == *this || (wanted.high_ == 0 && (wanted.low_ == 0 || (wanted.low_ == kMapped && is_ipv4())));
    }

private:
    constexpr IpAddr(u64 high, u64 low) : high_(high), low_(low) {}
    static constexpr u64 kMapped = 0xffff'0000;  // the bytes 00 00 ff ff
    u64 high_ = 0, low_ = 0;                     // in memory order
};
static_assert(std::endian::native == std::endian::little && sizeof(IpAddr) == 16);

/// An address and a port. `scope`: which interface a link-local address or a group is meant on, its number + 1; 0: the
/// stack chooses. A link-local peer that we heard of comes with it.
struct Endpoint {
    IpAddr address;
    u16 port = 0;
    u16 scope = 0;
    friend constexpr bool operator==(const Endpoint& a, const Endpoint& b) {
        return a.place() == b.place() && a.address == b.address;
    }
    /// Port and scope as one number.
    constexpr u32 place() const { return port | u32{scope} << 16; }
};

/// "10.0.2.15" into `to`.
std::string_view to_text(Ipv4Addr a, std::span<char, 16> to);
inline constexpr usize kAddressText = 40;
/// The text of RFC 5952, or the dotted one of an IPv4 address, into `to`.
std::string_view to_text(const IpAddr& a, std::span<char, kAddressText> to);
/// An address with, perhaps, its zone (RFC 4007 §11): "fe80::1%net0", or "fe80::1%1", whose number is the scope. Only
/// what is local to a link has one. The port is 0.
std::optional<Endpoint> parse_zoned(std::string_view text);
inline constexpr usize kEndpointText = kAddressText + 16;
/// "10.0.2.15:80", "[2001:db8::1]:80", "[fe80::1%net0]:80".
std::string_view to_text(const Endpoint& e, std::span<char, kEndpointText> to);
/// "52:54:00:12:34:56" into `to`.
std::string_view to_text(const MacAddr& a, std::span<char, 18> to);

}  // namespace ringlet::net
