// ICMP (RFC 792, RFC 1122 §3.2.2): echo both ways, errors both ways. Errors from others are believed only when they
// quote something we sent. Context: the network monitor.
#include <algorithm>

#include "net/checksum.hpp"
#include "net/stack.hpp"

namespace ringlet::net {
/// Window = ICMP message, an echo perhaps in several buffers.
void Stack::icmp_input(PacketBuffer p, const Ipv4Header& ip, Interface& i, Origin origin, Instant now) {
    ++stats_.icmp_in;
    const auto h = read_at<IcmpHeader>(p.data(), 0);
    if (!h || !sum_of(p).is_valid()) {
        ++stats_.icmp_bad;
        return;
    }
    if (h->type != IcmpHeader::kEcho && p.fragments() != 1 && !p.flatten()) {
        ++stats_.ip_scattered;
        return;
    }
    switch (h->type) {
    case IcmpHeader::kEcho:
        ++stats_.icmp_echo_in;
        echo_reply(std::move(p), ip, i, origin);
        return;
    case IcmpHeader::kEchoReply:
        pings_.answered(Ipv4Addr{ip.source}, h->id, h->sequence, Bytes(p.data()).subspan(sizeof(IcmpHeader)), ip.ttl,
                        now);
        changed_ |= pings_.take_change();
        return;
    case IcmpHeader::kUnreachable:
    case IcmpHeader::kTimeExceeded:
        icmp_error_input(p.data().subspan(sizeof(IcmpHeader)), *h, i, now);
        return;
    default:
        ++stats_.icmp_unknown;
    }
}

void Stack::echo_reply(PacketBuffer p, const Ipv4Header& ip, const Interface& i, Origin origin) {
    // Answering broadcasts would make us an amplifier (RFC 1122 §3.2.2.6 permits silence).
    if (origin == Origin::wire_broadcast) {
        ++stats_.icmp_echo_ignored;
        return;
    }
    const bool chain = p.fragments() != 1;
    if (replies_.count() >= kReplies || (chain && replies_.buffers() + p.buffers() > pool_.total() / 8)) {
        ++stats_.reply_overflow;
        return;
    }
    auto* h = reinterpret_cast<IcmpHeader*>(p.data().data());
    h->type = IcmpHeader::kEchoReply;
    h->checksum = checksum_update(h->checksum, IcmpHeader::kEcho << 8, IcmpHeader::kEchoReply << 8);
    p.meta() = {};
    ++stats_.icmp_echo_replied;
    const bool large = p.total_size() + sizeof(Ipv4Header) > i.config.mtu;  // it came in fragments
    if (!add_ipv4(p, {ip.destination}, {ip.source}, IpProtocol::icmp, large ? Cut::allowed : Cut::no)) return;
    replies_.push_back(std::move(p));
}

/// `quoted` is the head of the packet the error is about: IP header and at least eight bytes.
void Stack::icmp_error_input(Bytes quoted, const IcmpHeader& h, const Interface& i, Instant now) {
    const auto ip = read_at<Ipv4Header>(quoted, 0);
    const auto l4 = ip ? slice(quoted, ip->header_bytes(), 8) : std::nullopt;
    if (!l4 || ip->version_ihl >> 4 != 4 || ip->header_bytes() < sizeof(Ipv4Header) || !is_ours({ip->source})) {
        ++stats_.icmp_errors_ignored;
        return;
    }
    const Endpoint local{Ipv4Addr{ip->source}, *read_at<be16>(*l4, 0)};
    const Endpoint remote{Ipv4Addr{ip->destination}, *read_at<be16>(*l4, 2)};
    tcp::Unreachable kind = tcp::Unreachable::host;
    if (h.type == IcmpHeader::kTimeExceeded) {
        kind = tcp::Unreachable::time_exceeded;
    } else {
        switch (h.code) {
        case IcmpHeader::kNetwork:
        case 6:
        case 11:
            kind = tcp::Unreachable::network;
            break;
        case IcmpHeader::kProtocol:
            kind = tcp::Unreachable::protocol;
            break;
        case IcmpHeader::kPort:
            kind = tcp::Unreachable::port;
            break;
        case IcmpHeader::kFragmentationNeeded:
            kind = tcp::Unreachable::fragmentation_needed;
            break;
        case 9:
        case 10:
        case 13:
            kind = tcp::Unreachable::prohibited;
            break;
        default:
            break;
        }
    }
    ++stats_.icmp_errors_in;
    switch (IpProtocol{ip->protocol}) {
    case IpProtocol::tcp: {
        const tcp::SeqNum seq{*read_at<be32>(*l4, 4)};
        const u16 mtu = kind == tcp::Unreachable::fragmentation_needed ? u16{h.sequence} : u16{0};
        tcp_.on_unreachable(local, remote, seq, kind, mtu, now);
        return;
    }
    case IpProtocol::udp:
        if (kind == tcp::Unreachable::fragmentation_needed)
            learn_path_mtu(i, local, remote, h.sequence, ip->total_length, now);
        else
            udp_.on_error(local, remote,
                          kind == tcp::Unreachable::port ? Error::connection_refused : Error::unreachable);
        return;
    case IpProtocol::icmp: {
        const auto echo = read_at<IcmpHeader>(*l4, 0);
        if (echo->type == IcmpHeader::kEcho) pings_.failed(remote.address, echo->id, echo->sequence);
        changed_ |= pings_.take_change();
        return;
    }
    default:
        ++stats_.icmp_errors_ignored;
    }
}

/// RFC 1191 §3, §5: a datagram of `sent` IP bytes was too large for a path that takes `told` (0: an old router that
/// does not say; then the next lower of the sizes that are common). Later ones go in fragments.
void Stack::learn_path_mtu(const Interface& i, const Endpoint& local, const Endpoint& remote, u16 told, u16 sent,
                           Instant now) {
    constexpr u16 kCommon[] = {1492, 1006, 576, kLeastPathMtu};
    for (const u16 common : kCommon)
        if (told == 0 && common < sent) told = common;
    const Ipv4Addr destination = remote.address.ipv4();
    if (told == 0 || told >= sent || told >= path_mtu(i, destination, now) || !udp_.talks_to(local, remote)) {
        ++stats_.icmp_errors_ignored;
        return;
    }
    paths_.set_mtu(destination, std::max(told, kLeastPathMtu), now);
}

/// `offender`: window = the IP packet that cannot be served. Quotes its header and eight bytes (RFC 792).
void Stack::send_icmp_error(PacketBuffer offender, u8 type, u8 code, Origin origin, Instant now) {
    const auto ip = read_at<Ipv4Header>(offender.data(), 0);
    if (!ip || origin == Origin::wire_broadcast) return;
    if (replies_.count() >= kReplies || !icmp_errors_.allow(now)) {
        ++stats_.icmp_errors_limited;
        return;
    }
    stirred_ = true;
    auto p = pool_.allocate();
    if (!p) {
        ++stats_.no_packet;
        return;
    }
    const usize quoted = std::min(offender.size(), ip->header_bytes() + 8);
    auto* h = reinterpret_cast<IcmpHeader*>(p->append(sizeof(IcmpHeader)).data());
    *h = {};
    h->type = type;
    h->code = code;
    std::memcpy(p->append(quoted).data(), offender.data().data(), quoted);
    h->checksum = internet_checksum(p->data());
    if (!add_ipv4(*p, {ip->destination}, {ip->source}, IpProtocol::icmp)) return;
    replies_.push_back(std::move(*p));
    ++stats_.icmp_errors_out;
}

/// The next echo request on its way.
void Stack::ping_output(std::optional<PacketBuffer>& frame, Instant now) {
    auto out = pings_.output(pool_, now);
    if (!out) return;
    if (!out->to.is_ipv4()) {
        Interface* i = route6(out->to, {}, out->scope, now);
        if (i != nullptr) out_ = i;
        if (i == nullptr || !i->ipv6->send_echo(std::move(out->packet), out->to, frame, now)) pings_.failed(out->id);
    } else {
        auto* h = reinterpret_cast<IcmpHeader*>(out->packet.data().data());
        h->type = IcmpHeader::kEcho;
        h->checksum = internet_checksum(out->packet.data());
        if (add_ipv4(out->packet, {}, out->to.ipv4(), IpProtocol::icmp, Cut::no, out->scope))
            frame = send(std::move(out->packet), now);
        else
            pings_.failed(out->id);
    }
    changed_ |= pings_.take_change();
}

}  // namespace ringlet::net
