// Addresses from and to text. Context: any.
#include "net/address.hpp"

#include "lib/parse.hpp"

namespace ringlet::net {

std::optional<Ipv4Addr> Ipv4Addr::parse(std::string_view text) {
    u32 value = 0;
    for (int part = 0; part < 4; ++part) {
        const usize dot = text.find('.');
        if ((part == 3) != (dot == std::string_view::npos)) return std::nullopt;
        const std::string_view digits = substring(text, 0, dot);
        // "010" is ten to some and eight to others: refuse what is ambiguous.
        if (digits.size() > 3 || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
        const auto octet = parse_number<u16>(digits);
        if (!octet || *octet > 255) return std::nullopt;
        value = value << 8 | *octet;
        if (part != 3) text.remove_prefix(dot + 1);
    }
    return Ipv4Addr{value};
}

std::optional<MacAddr> MacAddr::parse(std::string_view text) {
    MacAddr mac;
    if (text.size() != 3 * mac.octets.size() - 1) return std::nullopt;
    for (usize i = 0; i < mac.octets.size(); ++i) {
        const auto octet = parse_number<u8>(substring(text, 3 * i, 2), 16);
        if (!octet || (i != 0 && text[3 * i - 1] != ':')) return std::nullopt;
        mac.octets[i] = *octet;
    }
    return mac;
}

namespace {

/// Four hexadecimal digits at most (RFC 4291 §2.2).
std::optional<u16> parse_group(std::string_view text) {
    if (text.size() > 4) return std::nullopt;
    return parse_number<u16>(text, 16);
}

/// Groups separated by single colons, the last perhaps dotted, appended to `groups`; false: not that, or too many.
bool parse_groups(std::string_view text, std::span<u16, 8> groups, usize& count) {
    if (text.empty()) return true;
    for (;;) {
        const usize colon = text.find(':');
        const std::string_view part = substring(text, 0, colon);
        const bool last = colon == std::string_view::npos;
        if (last && part.find('.') != std::string_view::npos) {
            const auto dotted = Ipv4Addr::parse(part);
            if (!dotted || count > 6) return false;
            groups[count++] = static_cast<u16>(dotted->value >> 16);
            groups[count++] = static_cast<u16>(dotted->value);
            return true;
        }
        const auto group = parse_group(part);
        if (!group || count == 8) return false;
        groups[count++] = *group;
        if (last) return true;
        text.remove_prefix(colon + 1);
    }
}

}  // namespace

std::optional<IpAddr> IpAddr::parse(std::string_view text) {
    if (text.find(':') == std::string_view::npos) {
        const auto v4 = Ipv4Addr::parse(text);
        return v4 ? std::optional<IpAddr>(*v4) : std::nullopt;
    }
    if (text.size() >= 46) return std::nullopt;
    std::array<u16, 8> front{}, back{};
    usize before = 0, after = 0;
    const usize gap = text.find("::");
    if (!parse_groups(substring(text, 0, gap), front, before)) return std::nullopt;
    if (gap == std::string_view::npos) {
        if (before != 8) return std::nullopt;
    } else {
        // "::" stands for at least one group, stands once, and a dotted part comes last.
        if (substring(text, 0, gap).find('.') != std::string_view::npos) return std::nullopt;
        if (!parse_groups(substring(text, gap + 2), back, after) || before + after > 7) return std::nullopt;
        for (usize i = 0; i < after; ++i) front[8 - after + i] = back[i];
    }
    u64 halves[2] = {};
    for (usize i = 0; i < 8; ++i) halves[i / 4] = halves[i / 4] << 16 | front[i];
    return of(halves[0], halves[1]);
}

std::string_view to_text(Ipv4Addr a, std::span<char, 16> to) {
    return format_to(to, "{}.{}.{}.{}", a.value >> 24, a.value >> 16 & 0xff, a.value >> 8 & 0xff, a.value & 0xff);
}

std::string_view to_text(const IpAddr& a, std::span<char, kAddressText> to) {
    if (a.is_ipv4()) return to_text(a.ipv4(), to.first<16>());
    std::array<u16, 8> groups;
    for (usize i = 0; i < 8; ++i) groups[i] = static_cast<u16>((i < 4 ? a.high() : a.low()) >> (48 - i % 4 * 16));
    // §4.2.2 and §4.2.3: the longest run of at least two zero groups is shortened, of equal ones the first.
    usize gap = 8, length = 1;
    for (usize i = 0; i < 8;) {
        usize end = i;
        while (end < 8 && groups[end] == 0) ++end;
        if (end - i > length) gap = i, length = end - i;
        i = end + 1;
    }
    usize n = 0;
    for (usize i = 0; i < 8;) {
        if (i == gap) {
            to[n++] = ':';
            if (i == 0) to[n++] = ':';
            i += length;
            continue;
        }
        n += format_to(to.subspan(n), "{:x}", groups[i]).size();
        if (++i < 8) to[n++] = ':';
    }
    return {to.data(), n};
}

std::string_view to_text(const Endpoint& e, std::span<char, kEndpointText> to) {
    char text[kAddressText];
    const std::string_view address = to_text(e.address, std::span<char, kAddressText>(text));
    if (e.address.is_ipv4()) return format_to(to, "{}:{}", address, e.port);
    if (e.scope != 0 && e.address.is_link_local()) return format_to(to, "[{}%net{}]:{}", address, e.scope - 1, e.port);
    return format_to(to, "[{}]:{}", address, e.port);
}

std::optional<Endpoint> parse_zoned(std::string_view text) {
    const usize mark = text.find('%');
    const auto address = IpAddr::parse(substring(text, 0, mark));
    if (!address) return std::nullopt;
    if (mark == std::string_view::npos) return Endpoint{*address};
    const std::string_view zone = substring(text, mark + 1);
    const bool named = zone.starts_with("net");
    const auto number = parse_number<u8>(named ? substring(zone, 3) : zone);
    if (!number || !address->is_link_local() || (!named && *number == 0)) return std::nullopt;
    return Endpoint{*address, 0, static_cast<u16>(named ? *number + 1 : *number)};
}

std::string_view to_text(const MacAddr& a, std::span<char, 18> to) {
    return format_to(to, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", a.octets[0], a.octets[1], a.octets[2],
                     a.octets[3], a.octets[4], a.octets[5]);
}

}  // namespace ringlet::net
