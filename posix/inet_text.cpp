// <arpa/inet.h>. Context: thread.
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "posix/error.hpp"
#include "posix/inet.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

std::span<std::byte, 16> octets(void* address) {
    return std::span<std::byte, 16>(static_cast<std::byte*>(address), 16);
}

/// 1 to 4 numbers, decimal, octal or hexadecimal; the last fills what is left (POSIX, inet_addr()).
std::optional<u32> parse_loosely(const char* text) {
    u32 parts[4];
    usize count = 0;
    for (const char* at = text;;) {
        if (count == 4 || *at < '0' || *at > '9') return std::nullopt;
        char* end;
        errno = 0;
        const unsigned long value = strtoul(at, &end, 0);
        if (value > UINT32_MAX) return std::nullopt;
        parts[count++] = static_cast<u32>(value);
        if (*end == '\0' || *end == ' ' || *end == '\n' || *end == '\t') break;
        if (*end != '.') return std::nullopt;
        at = end + 1;
    }
    const unsigned last_bits = 32 - 8 * (static_cast<unsigned>(count) - 1);
    u32 value = parts[count - 1];
    if (last_bits < 32 && value >> last_bits != 0) return std::nullopt;
    for (usize i = 0; i + 1 < count; ++i) {
        if (parts[i] > 255) return std::nullopt;
        value |= parts[i] << (24 - 8 * i);
    }
    return value;
}

}  // namespace

extern "C" {

const in6_addr in6addr_any = IN6ADDR_ANY_INIT;
const in6_addr in6addr_loopback = IN6ADDR_LOOPBACK_INIT;

int inet_aton(const char* text, in_addr* to) {
    const auto value = parse_loosely(text);
    if (value && to != nullptr) to->s_addr = htonl(*value);
    return value ? 1 : 0;
}
in_addr_t inet_addr(const char* text) {
    in_addr a;
    return inet_aton(text, &a) != 0 ? a.s_addr : INADDR_NONE;
}
char* inet_ntoa(in_addr address) {
    static thread_local char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address, text, sizeof text);
    return text;
}

const char* inet_ntop(int family, const void* address, char* to, socklen_t size) {
    char room[net::kAddressText];
    std::string_view text;
    if (family == AF_INET) {
        u32 value;
        memcpy(&value, address, sizeof value);
        text = net::to_text(net::IpAddr(net::Ipv4Addr{ntohl(value)}), room);
    } else if (family == AF_INET6) {
        const auto a = net::IpAddr::from(octets(const_cast<void*>(address)));
        if (a.is_ipv4()) {  // our text of it is the dotted one alone
            memcpy(room, "::ffff:", 7);
            char dotted[net::kAddressText];
            const std::string_view rest = net::to_text(a, dotted);
            memcpy(room + 7, rest.data(), rest.size());
            text = {room, 7 + rest.size()};
        } else {
            text = net::to_text(a, room);
        }
    } else {
        errno = EAFNOSUPPORT;
        return nullptr;
    }
    if (text.size() >= size) {
        errno = ENOSPC;
        return nullptr;
    }
    memcpy(to, text.data(), text.size());
    to[text.size()] = '\0';
    return to;
}

int inet_pton(int family, const char* text, void* to) {
    if (family == AF_INET) {
        const auto a = net::Ipv4Addr::parse(text);
        if (!a) return 0;
        const u32 value = htonl(a->value);
        memcpy(to, &value, sizeof value);
        return 1;
    }
    if (family == AF_INET6) {
        const auto a = strchr(text, ':') != nullptr ? net::IpAddr::parse(text) : std::nullopt;
        if (!a) return 0;
        a->store(octets(to));
        return 1;
    }
    errno = EAFNOSUPPORT;
    return -1;
}

}  // extern "C"
