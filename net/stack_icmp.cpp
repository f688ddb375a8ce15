// ICMP (RFC 792, RFC 1122 §3.2.2): echo both ways, errors both ways. Errors from others are believed only when they
// quote something we sent. Context: the network monitor.
#include <algorithm>

#include "net/checksum.hpp"
#include "net/stack.hpp"

namespace ringlet::net {
namespace {

std::byte pattern(usize i) {
    return static_cast<std::byte>(i * 7 + 1);
}

}  // namespace

/// Window = ICMP message.
void Stack::icmp_input(PacketBuffer p, const Ipv4Header& ip, Origin origin, Instant now) {
    ++stats_.icmp_in;
    const auto h = read_at<IcmpHeader>(p.data(), 0);
    InternetSum sum;
    sum.add(p.data());
    if (!h || !sum.is_valid()) {
        ++stats_.icmp_bad;
        return;
    }
    switch (h->type) {
    case IcmpHeader::kEcho:
        ++stats_.icmp_echo_in;
        echo_reply(std::move(p), ip, origin);
        return;
    case IcmpHeader::kEchoReply:
        echo_answered(p, *h, ip, now);
        return;
    case IcmpHeader::kUnreachable:
    case IcmpHeader::kTimeExceeded:
        icmp_error_input(p.data().subspan(sizeof(IcmpHeader)), *h, now);
        return;
    default:
        ++stats_.icmp_unknown;
    }
}

void Stack::echo_reply(PacketBuffer p, const Ipv4Header& ip, Origin origin) {
    // Answering broadcasts would make us an amplifier (RFC 1122 §3.2.2.6 permits silence).
    if (origin == Origin::wire_broadcast) {
        ++stats_.icmp_echo_ignored;
        return;
    }
    if (replies_.count() >= kReplies) {
        ++stats_.reply_overflow;
        return;
    }
    auto* h = reinterpret_cast<IcmpHeader*>(p.data().data());
    h->type = IcmpHeader::kEchoReply;
    h->checksum = checksum_update(h->checksum, IcmpHeader::kEcho << 8, IcmpHeader::kEchoReply << 8);
    p.meta() = {};
    if (!add_ipv4(p, {ip.destination}, {ip.source}, IpProtocol::icmp)) return;
    replies_.push_back(std::move(p));
    ++stats_.icmp_echo_replied;
}

void Stack::echo_answered(const PacketBuffer& p, const IcmpHeader& h, const Ipv4Header& ip, Instant now) {
    const Bytes payload = Bytes(p.data()).subspan(sizeof(IcmpHeader));
    for (Ping& ping : pings_) {
        if (ping.id == 0 || ping.unsent || ping.result || ping.ident != h.id || ping.sequence != h.sequence ||
            ping.to.value != ip.source || ping.bytes != payload.size())
            continue;
        for (usize i = 0; i < payload.size(); ++i) {
            if (payload[i] != pattern(i)) {
                ++stats_.icmp_reply_unmatched;
                return;
            }
        }
        ping.result = PingResult{now - ping.sent, ip.ttl, ping.bytes};
        ++stats_.icmp_reply_in;
        changed_ = true;
        return;
    }
    ++stats_.icmp_reply_unmatched;
}

/// `quoted` is the head of the packet the error is about: IP header and at least eight bytes.
void Stack::icmp_error_input(Bytes quoted, const IcmpHeader& h, Instant now) {
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
        if (kind == tcp::Unreachable::port) udp_.on_unreachable(local, remote);
        return;
    case IpProtocol::icmp: {
        const auto echo = read_at<IcmpHeader>(*l4, 0);
        for (Ping& ping : pings_) {
            if (ping.id == 0 || ping.unsent || ping.result || echo->type != IcmpHeader::kEcho ||
                ping.ident != echo->id || ping.sequence != echo->sequence || ping.to.value != ip->destination)
                continue;
            ping.result = fail(Error::unreachable);
            changed_ = true;
        }
        return;
    }
    default:
        ++stats_.icmp_errors_ignored;
    }
}

bool Stack::icmp_error_allowed(Instant now) {
    if (now >= icmp_window_ + Duration::from_s(1)) {
        icmp_window_ = now;
        icmp_budget_ = kIcmpErrorsPerSecond;
    }
    if (icmp_budget_ == 0 || replies_.count() >= kReplies) {
        ++stats_.icmp_errors_limited;
        return false;
    }
    --icmp_budget_;
    return true;
}

/// `offender`: window = the IP packet that cannot be served. Quotes its header and eight bytes (RFC 792).
void Stack::send_icmp_error(PacketBuffer offender, u8 type, u8 code, Origin origin, Instant now) {
    if (origin == Origin::wire_broadcast || !icmp_error_allowed(now)) return;
    const auto ip = read_at<Ipv4Header>(offender.data(), 0);
    if (!ip) return;
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

/// The next echo request, as IP packet.
std::optional<PacketBuffer> Stack::ping_output(Instant now) {
    for (Ping& ping : pings_) {
        if (!ping.unsent) continue;
        auto p = pool_.allocate();
        if (!p) {
            ++stats_.no_packet;
            return std::nullopt;
        }
        ping.unsent = false;
        --pings_unsent_;
        ping.sent = now;
        auto* h = reinterpret_cast<IcmpHeader*>(p->append(sizeof(IcmpHeader)).data());
        *h = {};
        h->type = IcmpHeader::kEcho;
        h->id = ping.ident;
        h->sequence = ping.sequence;
        const MutableBytes payload = p->append(ping.bytes);
        for (usize i = 0; i < payload.size(); ++i) payload[i] = pattern(i);
        h->checksum = internet_checksum(p->data());
        if (!add_ipv4(*p, {}, ping.to, IpProtocol::icmp)) {
            ping.result = fail(Error::unreachable);
            changed_ = true;
            return std::nullopt;
        }
        ++stats_.icmp_echo_sent;
        return p;
    }
    return std::nullopt;
}

}  // namespace ringlet::net
