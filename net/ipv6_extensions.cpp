// RFC 8200 §4, RFC 5095 (routing type 0), RFC 6946 (atomic fragments), RFC 8504 §5.3 (limits). Context: any.
#include "net/ipv6_extensions.hpp"

#include "net/headers.hpp"

namespace ringlet::net {
namespace {

using Outcome = ExtensionChain::Outcome;

/// The options in `header`, which lies at `offset` of the packet. upper_layer: go on.
Outcome walk_options(Bytes header, usize offset, u32& pointer) {
    usize at = 2;
    for (int count = 0; at < header.size(); ++count) {
        if (count == kMaxOptions) return Outcome::discard;
        const u8 type = static_cast<u8>(header[at]);
        if (type == 0) {  // Pad1
            ++at;
            continue;
        }
        if (at + 1 >= header.size()) return Outcome::discard;
        const usize length = static_cast<u8>(header[at + 1]);
        if (length > header.size() - at - 2) return Outcome::discard;
        pointer = static_cast<u32>(offset + at);
        // §4.2: the two highest bits say what is to be done by whoever does not know the option; we know only padding.
        switch (type == 1 ? 0 : type >> 6) {
        case 0:
            break;
        case 1:
            return Outcome::discard;
        case 2:
            return Outcome::problem;
        default:
            return Outcome::problem_unless_multicast;
        }
        at += length + 2;
    }
    return Outcome::upper_layer;
}

ExtensionChain problem(Outcome outcome, u8 code, usize pointer) {
    return {.outcome = outcome, .code = code, .pointer = static_cast<u32>(pointer)};
}

}  // namespace

ExtensionChain walk_extensions(Bytes packet) {
    return walk_extensions(packet, static_cast<u8>(packet[offsetof(Ipv6Header, next_header)]), sizeof(Ipv6Header),
                           offsetof(Ipv6Header, next_header));
}

ExtensionChain walk_extensions(Bytes packet, u8 protocol, usize offset, usize named_at) {
    for (int count = 0;; ++count) {
        const IpProtocol kind{protocol};
        const bool options = kind == IpProtocol::hop_by_hop || kind == IpProtocol::destination_options;
        if (!options && kind != IpProtocol::routing && kind != IpProtocol::fragment) {
            return {.outcome = kind == IpProtocol::none ? Outcome::nothing : Outcome::upper_layer,
                    .protocol = protocol,
                    .offset = static_cast<u16>(offset),
                    .named_at = static_cast<u16>(named_at)};
        }
        if (count == kMaxExtensionHeaders) return {};
        // §4.1: hop-by-hop options only right behind the IPv6 header.
        if (kind == IpProtocol::hop_by_hop && offset != sizeof(Ipv6Header))
            return problem(Outcome::problem, Icmpv6Header::kUnknownNextHeader, named_at);
        const auto head = slice(packet, offset, 8);
        if (!head) return {};
        usize length = 8;
        if (kind == IpProtocol::fragment) {
            const u16 offset_more = read_at<Ipv6FragmentHeader>(*head, 0)->offset_more;
            if ((offset_more & ~6u) != 0)
                return {.outcome = Outcome::fragment,
                        .protocol = static_cast<u8>((*head)[0]),
                        .offset = static_cast<u16>(offset),
                        .named_at = static_cast<u16>(named_at)};
        } else {
            length += usize{static_cast<u8>((*head)[1])} * 8;
            const auto whole = slice(packet, offset, length);
            if (!whole) return {};
            if (options) {
                u32 pointer = 0;
                const Outcome outcome = walk_options(*whole, offset, pointer);
                if (outcome != Outcome::upper_layer) return problem(outcome, Icmpv6Header::kUnknownOption, pointer);
            } else if ((*head)[3] != std::byte{0}) {  // segments left: we are no router (RFC 5095 for type 0)
                return problem(Outcome::problem, Icmpv6Header::kErroneousField, offset + 2);
            }
        }
        protocol = static_cast<u8>((*head)[0]);
        named_at = offset;
        offset += length;
    }
}

}  // namespace ringlet::net
