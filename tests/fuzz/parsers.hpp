// Parsers fed with any bytes: what they take must be within their bounds. Used by the fuzzers and, with random bytes,
// by the unit tests. A broken promise ends the program.
#pragma once

#include <cstdlib>
#include <span>

#include "net/dhcp_message.hpp"

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

}  // namespace ringlet::fuzz
