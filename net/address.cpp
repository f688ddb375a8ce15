// Addresses from and to text. Context: any.
#include "net/address.hpp"

#include "lib/parse.hpp"

namespace ringlet::net {

std::optional<Ipv4Addr> Ipv4Addr::parse(std::string_view text) {
    u32 value = 0;
    for (int part = 0; part < 4; ++part) {
        const usize dot = text.find('.');
        if ((part == 3) != (dot == std::string_view::npos)) return std::nullopt;
        const std::string_view digits = text.substr(0, dot);
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
        const auto octet = parse_number<u8>(text.substr(3 * i, 2), 16);
        if (!octet || (i != 0 && text[3 * i - 1] != ':')) return std::nullopt;
        mac.octets[i] = *octet;
    }
    return mac;
}

std::string_view to_text(Ipv4Addr a, std::span<char, 16> to) {
    return format_to(to, "{}.{}.{}.{}", a.value >> 24, a.value >> 16 & 0xff, a.value >> 8 & 0xff, a.value & 0xff);
}

std::string_view to_text(const MacAddr& a, std::span<char, 18> to) {
    return format_to(to, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", a.octets[0], a.octets[1], a.octets[2],
                     a.octets[3], a.octets[4], a.octets[5]);
}

}  // namespace ringlet::net
