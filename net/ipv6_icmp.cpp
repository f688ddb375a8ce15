// ICMPv6 (RFC 4443): echo both ways, errors both ways. Errors from others are believed only when they quote something
// we sent. Context: the network monitor.
#include "net/checksum.hpp"
#include "net/ipv6.hpp"

namespace ringlet::net {

/// Window = ICMPv6 message, an echo perhaps in several buffers.
void Ipv6::icmp_input(PacketBuffer p, const Received& r, Instant now) {
    ++stats_.icmp_in;
    const auto h = read_at<Icmpv6Header>(p.data(), 0);
    InternetSum sum =
        InternetSum::pseudo_header(r.source, r.destination, static_cast<u8>(IpProtocol::icmpv6), p.total_size());
    sum.add_at(sum_of(p), 0);
    if (!h || (p.meta().checksum == PacketMeta::Checksum::none && !sum.is_valid())) {
        ++stats_.icmp_bad;
        return;
    }
    if (h->type != Icmpv6Header::kEcho && p.fragments() != 1 && !p.flatten()) {
        ++stats_.ip_scattered;
        return;
    }
    switch (h->type) {
    case Icmpv6Header::kEcho:
        ++stats_.icmp_echo_in;
        echo_reply(std::move(p), r);
        return;
    case Icmpv6Header::kEchoReply:
        parts_.pings.answered(r.source, static_cast<u16>(h->word >> 16), static_cast<u16>(h->word),
                              Bytes(p.data()).subspan(sizeof(Icmpv6Header)), r.hop_limit, now);
        if (parts_.pings.take_change()) parts_.changed = true;
        return;
    case Icmpv6Header::kRouterSolicitation:  // for routers
    case Icmpv6Header::kMldReport:
    case Icmpv6Header::kMldDone:
    case Icmpv6Header::kMld2Report:
        return;
    case Icmpv6Header::kRouterAdvertisement:
    case Icmpv6Header::kNeighbourSolicitation:
    case Icmpv6Header::kNeighbourAdvertisement:
    case Icmpv6Header::kRedirect:
    case Icmpv6Header::kMldQuery:
        discovery_input(p.data(), r, now);
        return;
    case Icmpv6Header::kUnreachable:
    case Icmpv6Header::kPacketTooBig:
    case Icmpv6Header::kTimeExceeded:
    case Icmpv6Header::kParameterProblem:
        error_input(p.data(), now);
        return;
    default:
        ++stats_.icmp_unknown;
    }
}

void Ipv6::echo_reply(PacketBuffer p, const Received& r) {
    // Groups get no answer: it would make us an amplifier. Nor does nobody in particular.
    if (r.origin == Origin::wire_broadcast || r.destination.is_multicast() || r.source.is_unspecified()) {
        ++stats_.icmp_echo_ignored;
        return;
    }
    const bool chain = p.fragments() != 1;
    if (replies_.count() >= kReplies || (chain && replies_.buffers() + p.buffers() > parts_.pool.total() / 8)) {
        ++stats_.reply_overflow;
        return;
    }
    reinterpret_cast<Icmpv6Header*>(p.data().data())->type = Icmpv6Header::kEchoReply;
    p.meta() = {};
    complete_icmp(p, r.destination, r.source);
    ++stats_.icmp_echo_replied;
    push_header(p, r.destination, r.source, IpProtocol::icmpv6, slaac_.hop_limit());
    replies_.push_back(std::move(p));
}

/// RFC 4443 §2.4 d), RFC 5927: the error must quote a packet of ours to a peer of ours; TCP looks at its sequence
/// number.
void Ipv6::error_input(Bytes message, Instant now) {
    const auto h = *read_at<Icmpv6Header>(message, 0);
    const Bytes quoted = message.subspan(sizeof(Icmpv6Header));
    const auto ip = read_at<Ipv6Header>(quoted, 0);
    if (!ip || ip->version_class_flow >> 28 != 6 || !is_ours(IpAddr::from(ip->source))) {
        ++stats_.icmp_errors_ignored;
        return;
    }
    ExtensionChain at = walk_extensions(quoted);
    if (at.outcome == ExtensionChain::Outcome::fragment) {
        const auto f = read_at<Ipv6FragmentHeader>(quoted, at.offset);
        at.outcome =
            (f->offset_more & 0xfff8) == 0 ? ExtensionChain::Outcome::upper_layer : ExtensionChain::Outcome::discard;
        at.offset = static_cast<u16>(at.offset + sizeof(Ipv6FragmentHeader));
    }
    const auto l4 = slice(quoted, at.offset, 8);
    if (at.outcome != ExtensionChain::Outcome::upper_layer || !l4) {
        ++stats_.icmp_errors_ignored;
        return;
    }
    using tcp::Unreachable;
    Unreachable kind = Unreachable::host;
    if (h.type == Icmpv6Header::kPacketTooBig) {
        if (h.word < kLeastIpv6Mtu) {  // RFC 8201 §4: no path is that narrow
            ++stats_.icmp_errors_ignored;
            return;
        }
        kind = Unreachable::fragmentation_needed;
    } else if (h.type == Icmpv6Header::kTimeExceeded) {
        kind = Unreachable::time_exceeded;
    } else if (h.type == Icmpv6Header::kParameterProblem) {
        if (h.code == Icmpv6Header::kUnknownNextHeader) kind = Unreachable::protocol;
    } else if (h.code == Icmpv6Header::kPort) {
        kind = Unreachable::port;
    } else if (h.code == Icmpv6Header::kNoRoute) {
        kind = Unreachable::network;
    } else if (h.code == Icmpv6Header::kProhibited) {
        kind = Unreachable::prohibited;
    }
    ++stats_.icmp_errors_in;
    const u16 mtu =
        kind == Unreachable::fragmentation_needed ? static_cast<u16>(std::min<u32>(h.word, 0xffff)) : u16{0};
    const Endpoint local{IpAddr::from(ip->source), *read_at<be16>(*l4, 0)};
    const Endpoint remote{IpAddr::from(ip->destination), *read_at<be16>(*l4, 2)};
    switch (IpProtocol{at.protocol}) {
    case IpProtocol::tcp:
        parts_.tcp.on_unreachable(local, remote, tcp::SeqNum(*read_at<be32>(*l4, 4)), kind, mtu, now);
        return;
    case IpProtocol::udp:
        if (mtu != 0 && parts_.udp.talks_to(local, remote))
            destinations_.set_mtu(remote.address, mtu, now);
        else
            parts_.udp.on_error(local, remote,
                                kind == Unreachable::port ? Error::connection_refused : Error::unreachable);
        return;
    case IpProtocol::icmpv6: {
        const auto echo = read_at<Icmpv6Header>(*l4, 0);
        if (echo->type != Icmpv6Header::kEcho) return;
        parts_.pings.failed(remote.address, static_cast<u16>(echo->word >> 16), static_cast<u16>(echo->word));
        if (parts_.pings.take_change()) parts_.changed = true;
        return;
    }
    default:
        ++stats_.icmp_errors_ignored;
    }
}

/// `offender`: window = the IPv6 packet that cannot be served. RFC 4443 §2.4 e) says whom no error is sent, f) how
/// many.
void Ipv6::send_error(PacketBuffer offender, u8 type, u8 code, u32 word, Instant now) {
    const auto ip = read_at<Ipv6Header>(offender.data(), 0);
    if (!ip) return;
    const IpAddr to = IpAddr::from(ip->source), was_to = IpAddr::from(ip->destination);
    const bool option = type == Icmpv6Header::kParameterProblem && code == Icmpv6Header::kUnknownOption;
    if (to.is_unspecified() || to.is_multicast() || (was_to.is_multicast() && !option)) return;
    const ExtensionChain at = walk_extensions(offender.data());
    if (at.outcome == ExtensionChain::Outcome::upper_layer && IpProtocol{at.protocol} == IpProtocol::icmpv6) {
        const auto icmp = read_at<Icmpv6Header>(offender.data(), at.offset);
        if (!icmp || icmp->is_error() || icmp->type == Icmpv6Header::kRedirect) return;
    }
    const auto source = is_ours(was_to) ? std::optional(was_to) : source_for(to, now);
    if (!source) return;
    if (replies_.count() >= kReplies || !errors_.allow(now)) {
        ++stats_.icmp_errors_limited;
        return;
    }
    auto p = parts_.pool.allocate();
    if (!p) {
        ++stats_.no_packet;
        return;
    }
    auto* h = reinterpret_cast<Icmpv6Header*>(p->append(sizeof(Icmpv6Header)).data());
    h->type = type;
    h->code = code;
    h->word = word;
    const usize quoted = std::min(offender.size(), kLeastIpv6Mtu - sizeof(Ipv6Header) - sizeof(Icmpv6Header));
    std::memcpy(p->append(quoted).data(), offender.data().data(), quoted);
    complete_icmp(*p, *source, to);
    push_header(*p, *source, to, IpProtocol::icmpv6, slaac_.hop_limit());
    replies_.push_back(std::move(*p));
    ++stats_.icmp_errors_out;
}

}  // namespace ringlet::net
