// IPv6 packets on their way down: source, header, next hop, neighbour, frame. Context: the network monitor.
#include "net/checksum.hpp"
#include "net/ethernet.hpp"
#include "net/interface.hpp"
#include "net/ipv6.hpp"

namespace ringlet::net {

void Ipv6::push_header(PacketBuffer& p, const IpAddr& source, const IpAddr& destination, IpProtocol protocol,
                       u8 hop_limit) {
    const usize length = p.total_size();
    auto* ip = p.push<Ipv6Header>();
    ip->version_class_flow = 6u << 28;
    ip->payload_length = static_cast<u16>(length);
    ip->next_header = static_cast<u8>(protocol);
    ip->hop_limit = hop_limit;
    source.store(ip->source);
    destination.store(ip->destination);
    if (p.meta().checksum == PacketMeta::Checksum::partial) p.meta().csum_start = sizeof(Ipv6Header);
    if (p.meta().gso != PacketMeta::Gso::none)
        p.meta().header_bytes = static_cast<u16>(p.meta().header_bytes + sizeof(Ipv6Header));
    ++stats_.ip6_out;
}

/// An address that we have lost, or do not have yet, must not go out; ::1 goes nowhere but to itself.
bool Ipv6::source_may_send(const IpAddr& source, const IpAddr& destination) const {
    if (!is_ours(source)) return is_ours(destination) && is_anybodys(source);
    return !source.is_loopback() || is_ours(destination);
}

/// Ours, or another interface's of this host.
bool Ipv6::is_anybodys(const IpAddr& a) const {
    return is_ours(a) || (parts_.interfaces.count() != 1 && parts_.interfaces.owner(a) != nullptr);
}

std::optional<PacketBuffer> Ipv6::send(PacketBuffer p, const IpAddr& wanted, const IpAddr& destination,
                                       IpProtocol protocol, Instant now) {
    IpAddr source = wanted;
    if (source.is_unspecified()) source = source_for(destination, now).value_or(IpAddr{});
    if (!source_may_send(source, destination)) {
        ++stats_.ip_no_address;
        return std::nullopt;
    }
    const bool local = is_ours(destination);
    if (protocol == IpProtocol::tcp && !local && p.meta().gso == PacketMeta::Gso::none &&
        p.total_size() + sizeof(Ipv6Header) > parts_.config.mtu) [[unlikely]] {
        ++stats_.ip_too_large;
        return std::nullopt;
    }
    push_header(p, source, destination, protocol, slaac_.hop_limit());
    return route(std::move(p), destination, now);
}

/// `p`: window = IPv6 packet.
std::optional<PacketBuffer> Ipv6::route(PacketBuffer p, const IpAddr& destination, Instant now) {
    if (is_ours(destination)) {
        ++stats_.loopback;
        parts_.loopback.push_back(std::move(p));
        return std::nullopt;
    }
    if (destination.is_multicast()) {  // RFC 2464 §7
        const u32 low = static_cast<u32>(destination.low());
        return finish_frame(std::move(p),
                            {{0x33, 0x33, static_cast<u8>(low >> 24), static_cast<u8>(low >> 16),
                              static_cast<u8>(low >> 8), static_cast<u8>(low)}},
                            now);
    }
    std::optional<IpAddr> hop;
    const Destinations::Entry* known = destinations_.find(destination, now);
    if (known != nullptr && !known->next_hop.is_unspecified())
        hop = known->next_hop;
    else
        hop = slaac_.next_hop(destination, ndp_, now);
    if (!hop) {
        ++stats_.ip6_no_route;
        return std::nullopt;
    }
    if (const auto mac = ndp_.find(*hop, now)) return finish_frame(std::move(p), *mac, now);
    ndp_.wait_for(*hop, std::move(p), now);
    return std::nullopt;
}

std::optional<PacketBuffer> Ipv6::frame_to(PacketBuffer p, const MacAddr& to) {
    push_ethernet(p, to, parts_.config.mac, EtherType::ipv6);
    return p;
}

std::optional<PacketBuffer> Ipv6::send_udp(PacketBuffer p, const IpAddr& wanted, const IpAddr& destination,
                                           MulticastLoop loop, Instant now) {
    IpAddr source = wanted;
    if (source.is_unspecified()) source = source_for(destination, now).value_or(IpAddr{});
    auto* h = reinterpret_cast<UdpHeader*>(p.data().data());
    const usize length = p.total_size();
    InternetSum sum = InternetSum::pseudo_header(source, destination, static_cast<u8>(IpProtocol::udp), length);
    h->checksum = 0;
    const bool whole = p.fragments() == 1 && length + sizeof(Ipv6Header) <= path_mtu(destination, now);
    if (is_ours(destination) || (parts_.config.offloads.tx_checksum && whole)) {
        h->checksum = sum.sum();
        p.meta().checksum = PacketMeta::Checksum::partial;
        p.meta().csum_offset = offsetof(UdpHeader, checksum);
    } else {
        sum.add_at(sum_of(p), 0);
        const u16 checksum = sum.checksum();
        h->checksum = checksum == 0 ? u16{0xffff} : checksum;
    }
    if (destination.is_multicast() && loop == MulticastLoop::on && groups_.is_member(destination) && is_ours(source)) {
        if (auto copy = parts_.pool.copy(p)) {
            push_header(*copy, source, destination, IpProtocol::udp, slaac_.hop_limit());
            ++stats_.loopback;
            parts_.loopback.push_back(std::move(*copy));
        } else {
            ++stats_.no_packet;
        }
    }
    return send(std::move(p), source, destination, IpProtocol::udp, now);
}

/// A frame to the neighbour `to`, or the first of several: the others are in fragments_. TCP's segments, and what waits
/// for the device to complete its checksum, go as they are.
std::optional<PacketBuffer> Ipv6::finish_frame(PacketBuffer p, const MacAddr& to, Instant now) {
    const auto* ip = reinterpret_cast<const Ipv6Header*>(p.data().data());
    if (IpProtocol{ip->next_header} == IpProtocol::tcp || p.meta().checksum == PacketMeta::Checksum::partial)
        return frame_to(std::move(p), to);
    const u16 mtu = path_mtu(IpAddr::from(ip->destination), now);
    if (p.fragments() == 1 && p.size() <= mtu) return frame_to(std::move(p), to);
    return cut(std::move(p), to, mtu);
}

/// RFC 8200 §4.5: a packet without extension headers as frames of at most `mtu` bytes of IPv6, all or none of them:
/// what is incomplete is of no use to anybody. Its buffers become the fragments; only what is in one buffer and does
/// not fit is copied.
std::optional<PacketBuffer> Ipv6::cut(PacketBuffer p, const MacAddr& to, usize mtu) {
    const Ipv6Header whole = *read_at<Ipv6Header>(p.data(), 0);
    p.pull_bytes(sizeof(Ipv6Header));
    const usize size = p.total_size(), room = (mtu - sizeof(Ipv6Header) - sizeof(Ipv6FragmentHeader)) & ~usize{7};
    PacketQueue pieces;
    if (!pieces.push_back_cut(std::move(p), room, parts_.pool)) {
        ++stats_.no_packet;
        return std::nullopt;
    }
    stats_.fragments_out += pieces.count();
    // RFC 7739 §5.3: each destination's ids start elsewhere, so that they do not tell those in what others get.
    const auto [high, low] = IpAddr::from(whole.destination).words();
    const u32 id = static_cast<u32>(siphash(parts_.key, {4, high, low})) + ++fragment_id_;
    usize at = 0;
    while (auto piece = pieces.pop_front()) {
        const usize offset = std::exchange(at, at + piece->size());
        auto* h = piece->push<Ipv6FragmentHeader>();
        h->next_header = whole.next_header;
        h->reserved = 0;
        h->offset_more = static_cast<u16>(offset | (at < size ? 1u : 0u));
        h->id = id;
        push_header(*piece, IpAddr::from(whole.source), IpAddr::from(whole.destination), IpProtocol::fragment,
                    whole.hop_limit);
        fragments_.push_back(*frame_to(std::move(*piece), to));
    }
    return fragments_.pop_front();
}

void Ipv6::complete_icmp(PacketBuffer& p, const IpAddr& source, const IpAddr& destination) {
    auto* h = reinterpret_cast<Icmpv6Header*>(p.data().data());
    h->checksum = 0;
    InternetSum sum =
        InternetSum::pseudo_header(source, destination, static_cast<u8>(IpProtocol::icmpv6), p.total_size());
    sum.add_at(sum_of(p), 0);
    h->checksum = sum.checksum();
}

bool Ipv6::send_echo(PacketBuffer p, const IpAddr& destination, std::optional<PacketBuffer>& frame, Instant now) {
    const auto source = source_for(destination, now);
    if (!source) return false;
    auto* h = reinterpret_cast<Icmpv6Header*>(p.data().data());
    h->type = Icmpv6Header::kEcho;
    h->code = 0;
    complete_icmp(p, *source, destination);
    frame = send(std::move(p), *source, destination, IpProtocol::icmpv6, now);
    return true;
}

bool Ipv6::has_output() const {
    return ndp_.has_resolved() || !frames_.empty() || ndp_.has_solicitation() || slaac_.has_request() ||
           groups_.has_report() || !replies_.empty() || !fragments_.empty();
}

bool Ipv6::next_frame(std::optional<PacketBuffer>& frame, Instant now) {
    if ((frame = fragments_.pop_front())) return true;
    if (ndp_.has_resolved()) {
        auto r = ndp_.resolved();
        frame = finish_frame(std::move(r->packet), r->mac, now);
        return true;
    }
    if ((frame = frames_.pop_front())) return true;
    if (auto p = replies_.pop_front()) {
        const auto ip = read_at<Ipv6Header>(p->data(), 0);
        frame = route(std::move(*p), IpAddr::from(ip->destination), now);
        return true;
    }
    frame = discovery_output(now);
    return frame.has_value();
}

}  // namespace ringlet::net
