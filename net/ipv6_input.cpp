// Received IPv6 packets on their way up (RFC 8200): header, extension headers, fragments, and the doors to ICMPv6, UDP
// and TCP. Any return drops the packet into the pool; each has its counter. Context: the network monitor.
#include "net/ipv6.hpp"

namespace ringlet::net {

/// RFC 4291 §2.5.3, §2.7: what no honest packet carries as its source. IPv4's mapped form has no business on a wire: it
/// would pass for an IPv4 peer.
bool Ipv6::source_is_plausible(const IpAddr& source, Origin origin) const {
    if (source.is_multicast() || source.is_ipv4()) return false;
    return origin == Origin::loopback || (!source.is_loopback() && !is_anybodys(source));
}

void Ipv6::input(PacketBuffer p, Origin origin, Instant now) {
    ++stats_.ip6_in;
    const auto h = read_at<Ipv6Header>(p.data(), 0);
    if (!h || h->version_class_flow >> 28 != 6) {
        ++stats_.ip6_bad_header;
        return;
    }
    const usize total = sizeof(Ipv6Header) + h->payload_length;
    if (total > p.total_size()) {
        ++stats_.ip6_bad_length;
        return;
    }
    p.trim_to(total);
    const Received r{IpAddr::from(h->source), IpAddr::from(h->destination), h->hop_limit, origin};
    if (!source_is_plausible(r.source, origin)) {
        ++stats_.ip6_bad_source;
        return;
    }
    // Unicast in a group's frame is an accident or an attack; ::1 stays inside. A tentative address takes in only
    // solicitations, which come to groups (RFC 4862 §5.4).
    const bool ours = r.destination.is_multicast() ? groups_.is_member(r.destination)
                                                   : is_ours(r.destination) && origin != Origin::wire_broadcast &&
                                                         (origin == Origin::loopback || !r.destination.is_loopback());
    if (!ours || !(running_ || origin == Origin::loopback)) {
        ++(!r.destination.is_multicast() && !is_ours(r.destination) && is_anybodys(r.destination)
               ? stats_.ip_wrong_interface
               : stats_.ip6_not_ours);
        return;
    }
    deliver(std::move(p), r, true, now);
}

/// `whole`: as it came from the wire; false: put together from fragments, and must not be one again.
void Ipv6::deliver(PacketBuffer p, const Received& r, bool first_time, Instant now) {
    const ExtensionChain at = walk_extensions(p.data());
    using Outcome = ExtensionChain::Outcome;
    switch (at.outcome) {
    case Outcome::upper_layer:
        upper_layer(std::move(p), r, at, now);
        return;
    case Outcome::fragment:
        if (first_time)
            fragment_input(std::move(p), r, at, now);
        else
            ++stats_.ip6_extension;
        return;
    case Outcome::nothing:
        ++stats_.ip6_nothing;
        return;
    case Outcome::discard:
        ++stats_.ip6_extension;
        return;
    case Outcome::problem_unless_multicast:
        if (r.destination.is_multicast()) {
            ++stats_.ip6_extension;
            return;
        }
        [[fallthrough]];
    case Outcome::problem:
        ++stats_.ip6_extension;
        send_error(std::move(p), Icmpv6Header::kParameterProblem, at.code, at.pointer, now);
    }
}

/// RFC 8200 §4.5. `at.offset`: of the fragment header.
void Ipv6::fragment_input(PacketBuffer p, const Received& r, const ExtensionChain& at, Instant now) {
    const auto h = read_at<Ipv6FragmentHeader>(p.data(), at.offset);
    if (!h || p.fragments() != 1) {
        ++stats_.fragments_bad;
        return;
    }
    const u32 offset = h->offset_more & 0xfff8u;
    const bool more = (h->offset_more & 1) != 0;
    const usize behind = usize{at.offset} + sizeof(Ipv6FragmentHeader);
    const usize length = p.size() - behind;
    if (more && length % 8 != 0) {
        ++stats_.fragments_bad;
        send_error(std::move(p), Icmpv6Header::kParameterProblem, Icmpv6Header::kErroneousField,
                   offsetof(Ipv6Header, payload_length), now);
        return;
    }
    if (offset + length > Reassembly::kLargest) {
        ++stats_.fragments_bad;
        send_error(std::move(p), Icmpv6Header::kParameterProblem, Icmpv6Header::kErroneousField, at.offset + 2u, now);
        return;
    }
    if (offset == 0) {  // RFC 7112 §5: all headers in the first fragment
        const ExtensionChain rest = walk_extensions(p.data(), h->next_header, behind, at.offset);
        const bool complete = rest.outcome == ExtensionChain::Outcome::upper_layer && rest.offset + 8u <= p.size();
        if (!complete) {
            ++stats_.fragments_bad;
            if (rest.outcome == ExtensionChain::Outcome::upper_layer ||
                rest.outcome == ExtensionChain::Outcome::discard)
                send_error(std::move(p), Icmpv6Header::kParameterProblem, Icmpv6Header::kIncompleteChain, 0, now);
            return;
        }
    }
    // The fragment header goes now: what is in front of it moves up, and names what was behind it.
    p.data()[at.named_at] = static_cast<std::byte>(h->next_header);
    std::memmove(p.data().data() + sizeof(Ipv6FragmentHeader), p.data().data(), at.offset);
    p.pull_bytes(sizeof(Ipv6FragmentHeader));
    const Reassembly::Key key{r.source, r.destination, h->id, static_cast<u8>(IpProtocol::fragment)};
    auto packet = parts_.reassembly.add(key, {std::move(p), at.offset, offset, more}, kReassembly, now);
    if (!packet) return;
    auto* ip = reinterpret_cast<Ipv6Header*>(packet->data().data());
    ip->payload_length = static_cast<u16>(packet->total_size() - sizeof(Ipv6Header));
    deliver(std::move(*packet), r, false, now);
}

void Ipv6::reassembly_expired(PacketBuffer first, Instant now) {
    send_error(std::move(first), Icmpv6Header::kTimeExceeded, 1, 0, now);
}

void Ipv6::upper_layer(PacketBuffer p, const Received& r, const ExtensionChain& at, Instant now) {
    const bool group = r.destination.is_multicast();
    switch (IpProtocol{at.protocol}) {
    case IpProtocol::tcp:
        if (group) {
            ++stats_.ip6_not_ours;
            return;
        }
        p.pull_bytes(at.offset);
        parts_.tcp.input_of_batch(r.source, r.destination, std::move(p), now, parts_.index);
        return;
    case IpProtocol::udp: {
        p.pull_bytes(at.offset);
        // RFC 8200 §8.1: the checksum is not optional, as it is over IPv4.
        const auto h = read_at<UdpHeader>(p.data(), 0);
        if (h && h->checksum == 0) {
            ++stats_.udp_bad_checksum;
            return;
        }
        const auto audience = group ? Udp::Audience::many : Udp::Audience::one;
        if (parts_.udp.input(r.source, r.destination, p, audience, scope()) != Udp::Verdict::no_socket) return;
        (void)p.push_bytes(at.offset);
        send_error(std::move(p), Icmpv6Header::kUnreachable, Icmpv6Header::kPort, 0, now);
        return;
    }
    case IpProtocol::icmpv6:
        p.pull_bytes(at.offset);
        icmp_input(std::move(p), r, now);
        return;
    default:
        ++stats_.ip_unknown_protocol;
        send_error(std::move(p), Icmpv6Header::kParameterProblem, Icmpv6Header::kUnknownNextHeader, at.named_at, now);
    }
}

}  // namespace ringlet::net
