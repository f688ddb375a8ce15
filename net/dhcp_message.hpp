// DHCP messages as bytes (RFC 2131 §2 and §4.1, RFC 2132, RFC 3396, RFC 3397, RFC 3442). What an answer says is taken
// out of it option by option; each is checked for its length, and what cannot be true is left out. Context: any.
#pragma once

#include <optional>
#include <string_view>

#include "lib/bytes.hpp"
#include "lib/endian.hpp"
#include "net/config.hpp"

namespace ringlet::net::dhcp {

enum class MessageType : u8 { none, discover, offer, request, decline, ack, nak, release, inform };

inline constexpr u32 kInfinite = 0xffff'ffff;  ///< a lease without an end

/// An address that one host can have: not 0/8, 127/8, multicast, class E.
bool is_plausible_host(Ipv4Addr a);

/// A server's message.
struct Answer {
    MessageType type = MessageType::none;
    u32 xid = 0;
    MacAddr client;
    Ipv4Addr your_address;
    Ipv4Addr server;  ///< unspecified: not told
    std::optional<u32> lease_seconds, renewal_seconds, rebinding_seconds;
    std::optional<u8> prefix;
    Ipv4Addr router;  ///< option 3, unless there are classless routes
    NetworkHints hints;
};

enum class Verdict : u8 {
    good,
    malformed,  ///< no DHCP answer, or one whose options run over the end or contradict their types
};
/// Reads one UDP payload into `to`. What a lease cannot do without and is there but malformed (type, server, lease
/// time, mask) makes the message malformed; any other bad option is left out and counted in `bad_options`.
Verdict parse(Bytes payload, Answer& to, u64& bad_options);

/// What a client says.
struct Question {
    static constexpr usize kBytes = 384;  ///< of the message, padded: at least BOOTP's 300
    MessageType type = MessageType::discover;
    u32 xid = 0;
    u16 seconds = 0;  ///< since the exchange began
    MacAddr client;
    Ipv4Addr client_address;     ///< `ciaddr`: an address in use
    Ipv4Addr requested, server;  ///< options 50 and 54; unspecified: not sent
    std::string_view hostname;   ///< at most 63 bytes; empty: not sent
    std::string_view message;    ///< option 56, for DECLINE
};
/// Writes it into the first kBytes of `to`.
void build(const Question& question, MutableBytes to);

}  // namespace ringlet::net::dhcp
