// IPv6 extension headers (RFC 8200 §4) walked with bounds: how many headers, how many options, and nothing behind the
// first buffer. A pure function of the packet's bytes. Context: any.
#pragma once

#include "lib/bytes.hpp"
#include "lib/types.hpp"

namespace ringlet::net {

struct ExtensionChain {
    enum class Outcome : u8 {
        upper_layer,  ///< `protocol` begins at `offset`
        fragment,     ///< a fragment header that means it is at `offset`
        nothing,      ///< "no next header": well-formed, and nobody wants it
        discard,      ///< malformed, too long, or an option says so: silently
        problem,      ///< discard, and tell the sender: ICMPv6 parameter problem with `code` and `pointer`
        problem_unless_multicast,
    } outcome = Outcome::discard;
    u8 protocol = 0;
    u8 code = 0;
    u16 offset = 0;    ///< from the IPv6 header
    u16 named_at = 0;  ///< offset of the Next Header field that names what is at `offset`
    u32 pointer = 0;   ///< offset of what is wrong
};

/// Headers in one packet, fragment headers of whole datagrams (RFC 6946) included; options in one header (RFC 8504
/// §5.3).
inline constexpr int kMaxExtensionHeaders = 8, kMaxOptions = 16;

/// `packet` begins with a whole IPv6 header.
ExtensionChain walk_extensions(Bytes packet);
/// The same from the middle: `offset` of a header of kind `protocol`, which the field at `named_at` names.
ExtensionChain walk_extensions(Bytes packet, u8 protocol, usize offset, usize named_at);

}  // namespace ringlet::net
