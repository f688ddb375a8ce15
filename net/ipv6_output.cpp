// IPv6 packets on their way down: source, header, next hop, neighbour, frame. Context: the network monitor.
#include "net/checksum.hpp"
#include "net/ethernet.hpp"
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
    return is_ours(source) && (!source.is_loopback() || is_ours(destination));
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
    if (!local && p.meta().gso == PacketMeta::Gso::none && p.total_size() + sizeof(Ipv6Header) > parts_.config.mtu)
        [[unlikely]] {
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
        return frame_to(std::move(p), {{0x33, 0x33, static_cast<u8>(low >> 24), static_cast<u8>(low >> 16),
                                        static_cast<u8>(low >> 8), static_cast<u8>(low)}});
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
    if (const auto mac = ndp_.find(*hop, now)) return frame_to(std::move(p), *mac);
    ndp_.wait_for(*hop, std::move(p), now);
    return std::nullopt;
}

std::optional<PacketBuffer> Ipv6::frame_to(PacketBuffer p, const MacAddr& to) {
    push_ethernet(p, to, parts_.config.mac, EtherType::ipv6);
    return p;
}

std::optional<PacketBuffer> Ipv6::send_udp(PacketBuffer p, const IpAddr& wanted, const IpAddr& destination,
                                           Instant now) {
    IpAddr source = wanted;
    if (source.is_unspecified()) source = source_for(destination, now).value_or(IpAddr{});
    auto* h = reinterpret_cast<UdpHeader*>(p.data().data());
    const usize length = p.total_size();
    InternetSum sum = InternetSum::pseudo_header(source, destination, static_cast<u8>(IpProtocol::udp), length);
    h->checksum = 0;
    const u16 mtu = is_ours(destination) ? u16{0xffff} : path_mtu(destination, now);
    const bool cut = length + sizeof(Ipv6Header) > mtu;
    if (parts_.config.offloads.tx_checksum && !cut) {
        h->checksum = sum.sum();
        p.meta().checksum = PacketMeta::Checksum::partial;
        p.meta().csum_offset = offsetof(UdpHeader, checksum);
    } else {
        sum.add(p.data());
        const u16 checksum = sum.checksum();
        h->checksum = checksum == 0 ? u16{0xffff} : checksum;
    }
    if (!cut) return send(std::move(p), source, destination, IpProtocol::udp, now);
    if (!source_may_send(source, destination)) {
        ++stats_.ip_no_address;
        return std::nullopt;
    }
    cut_fragments(std::move(p), source, destination, IpProtocol::udp, mtu);
    if (auto first = fragments_.pop_front()) return route(std::move(*first), destination, now);
    return std::nullopt;
}

/// RFC 8200 §4.5: `p`, what is behind the header, in one buffer, as fragments of at most `mtu` bytes in fragments_. All
/// or none of them: what is incomplete is of no use to anybody.
void Ipv6::cut_fragments(PacketBuffer p, const IpAddr& source, const IpAddr& destination, IpProtocol protocol,
                         u16 mtu) {
    const Bytes whole = p.data();
    const usize room = (mtu - sizeof(Ipv6Header) - sizeof(Ipv6FragmentHeader)) & ~usize{7};
    const u32 id = ++fragment_id_;
    PacketQueue pieces;
    for (usize at = 0; at < whole.size(); at += room) {
        const usize length = std::min(room, whole.size() - at);
        auto f = parts_.pool.allocate();
        if (!f) {
            ++stats_.no_packet;
            return;
        }
        std::memcpy(f->append(length).data(), whole.data() + at, length);
        auto* h = f->push<Ipv6FragmentHeader>();
        h->next_header = static_cast<u8>(protocol);
        h->reserved = 0;
        h->offset_more = static_cast<u16>(at | (at + length < whole.size() ? 1u : 0u));
        h->id = id;
        push_header(*f, source, destination, IpProtocol::fragment, slaac_.hop_limit());
        pieces.push_back(std::move(*f));
    }
    while (auto f = pieces.pop_front()) {
        ++stats_.fragments_out;
        fragments_.push_back(std::move(*f));
    }
}

void Ipv6::complete_icmp(PacketBuffer& p, const IpAddr& source, const IpAddr& destination) {
    auto* h = reinterpret_cast<Icmpv6Header*>(p.data().data());
    h->checksum = 0;
    InternetSum sum = InternetSum::pseudo_header(source, destination, static_cast<u8>(IpProtocol::icmpv6), p.size());
    sum.add(p.data());
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
    if (ndp_.has_resolved()) {
        auto r = ndp_.resolved();
        frame = frame_to(std::move(r->packet), r->mac);
        return true;
    }
    if ((frame = frames_.pop_front())) return true;
    for (PacketQueue* queue : {&fragments_, &replies_}) {
        auto p = queue->pop_front();
        if (!p) continue;
        const auto ip = read_at<Ipv6Header>(p->data(), 0);
        frame = route(std::move(*p), IpAddr::from(ip->destination), now);
        return true;
    }
    frame = discovery_output(now);
    return frame.has_value();
}

}  // namespace ringlet::net
