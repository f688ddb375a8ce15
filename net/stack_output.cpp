// Packets on their way down: pulled while the link has room. Routing is on-link or gateway; what is for ourselves goes
// round by an internal queue. Context: the network monitor.
#include "net/checksum.hpp"
#include "net/ethernet.hpp"
#include "net/stack.hpp"

namespace ringlet::net {

std::optional<Stack::Route> Stack::route(Ipv4Addr destination) const {
    if (destination.is_loopback()) return Route{destination, destination, true};
    if (ipv4_.address.is_unspecified() || destination.is_unspecified()) return std::nullopt;
    if (destination == ipv4_.address) return Route{destination, destination, true};
    if (destination.is_broadcast() || destination.is_multicast()) return Route{destination, ipv4_.address, false};
    if (!routes_.empty() && !ipv4_.is_subnet_broadcast(destination)) [[unlikely]] {
        if (const auto hop = routes_.next_hop(destination, ipv4_)) return Route{*hop, ipv4_.address, false};
    }
    if (ipv4_.on_link(destination)) return Route{destination, ipv4_.address, false};
    if (ipv4_.gateway.is_unspecified()) return std::nullopt;
    return Route{ipv4_.gateway, ipv4_.address, false};
}

bool Stack::add_ipv4(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, IpProtocol protocol, Cut cut) {
    const usize length = p.total_size() + sizeof(Ipv4Header);
    const auto r = route(destination);
    if (!r) {
        ++(ipv4_.address.is_unspecified() ? stats_.ip_no_address : stats_.ip_no_route);
        return false;
    }
    if (length > config_.mtu && p.meta().gso == PacketMeta::Gso::none) [[unlikely]] {
        if (length > 0xffff || (cut == Cut::no && !r->local)) {
            ++stats_.ip_too_large;
            return false;
        }
    }
    if (source.is_unspecified()) source = r->source;
    // An address that we have lost must not go out any more, and 127/8 never.
    if (!is_ours(source) || source.is_loopback() != destination.is_loopback()) {
        ++stats_.ip_no_address;
        return false;
    }
    // RFC 6864 §4.1: the id is meaningless in what is never fragmented, and so it reveals nothing.
    if (cut == Cut::no)
        push_ipv4(p, source, destination, protocol, 0, Ipv4Header::kDontFragment);
    else
        push_ipv4(p, source, destination, protocol, fragment_id(destination), 0);
    return true;
}

void Stack::push_ipv4(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, IpProtocol protocol, u16 id,
                      u16 fragment) {
    const usize length = p.total_size() + sizeof(Ipv4Header);
    auto* ip = p.push<Ipv4Header>();
    ip->version_ihl = 0x45;
    ip->tos = 0;
    ip->total_length = static_cast<u16>(length);
    ip->id = id;
    ip->flags_fragment = fragment;
    ip->ttl = destination.is_multicast() ? 1 : 64;  // RFC 1112 §6.1
    ip->protocol = static_cast<u8>(protocol);
    ip->checksum = 0;
    ip->source = source.value;
    ip->destination = destination.value;
    InternetSum sum;
    sum.add_header<sizeof(Ipv4Header)>(reinterpret_cast<const std::byte*>(ip));
    ip->checksum = sum.checksum();
    if (p.meta().checksum == PacketMeta::Checksum::partial) p.meta().csum_start = sizeof(Ipv4Header);
    if (p.meta().gso != PacketMeta::Gso::none)
        p.meta().header_bytes = static_cast<u16>(p.meta().header_bytes + sizeof(Ipv4Header));
    ++stats_.ip_out;
}

void Stack::finish_udp(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, Cut cut) {
    auto* h = reinterpret_cast<UdpHeader*>(p.data().data());
    const usize length = p.total_size();
    InternetSum sum = InternetSum::pseudo_header(source, destination, static_cast<u8>(IpProtocol::udp), length);
    h->checksum = 0;
    if (is_ours(destination) || (config_.offloads.tx_checksum && cut == Cut::no)) {
        h->checksum = sum.sum();
        p.meta().checksum = PacketMeta::Checksum::partial;
        p.meta().csum_offset = offsetof(UdpHeader, checksum);
        return;
    }
    sum.add_at(sum_of(p), 0);
    const u16 checksum = sum.checksum();
    h->checksum = checksum == 0 ? u16{0xffff} : checksum;  // zero would mean "none"
}

std::optional<PacketBuffer> Stack::finish_frame(PacketBuffer p, const MacAddr& to, Instant now) {
    const auto* ip = reinterpret_cast<const Ipv4Header*>(p.data().data());
    if ((ip->flags_fragment & Ipv4Header::kDontFragment) == 0) [[unlikely]]
        return cut(std::move(p), to, path_mtu({ip->destination}, now));
    push_ethernet(p, to, config_.mac, EtherType::ipv4);
    return p;
}

std::optional<PacketBuffer> Stack::send(PacketBuffer p, Ipv4Addr destination, Instant now) {
    const auto r = route(destination);
    if (!r) {
        ++stats_.ip_no_route;
        return std::nullopt;
    }
    if (r->local) {
        ++stats_.loopback;
        loopback_.push_back(std::move(p));
        return std::nullopt;
    }
    if (destination.is_broadcast() || ipv4_.is_subnet_broadcast(destination))
        return finish_frame(std::move(p), MacAddr::broadcast(), now);
    if (destination.is_multicast()) {  // RFC 1112 §6.4
        const u32 low = destination.value & 0x7f'ffff;
        return finish_frame(
            std::move(p),
            {{0x01, 0x00, 0x5e, static_cast<u8>(low >> 16), static_cast<u8>(low >> 8), static_cast<u8>(low)}}, now);
    }
    const auto mac = arp_.find(r->next_hop, now);
    if (mac && !arp_.has_output()) [[likely]]
        return finish_frame(std::move(p), *mac, now);
    stirred_ = true;
    if (mac) return finish_frame(std::move(p), *mac, now);  // known, and asked again
    arp_.wait_for(r->next_hop, std::move(p), now);
    return std::nullopt;
}

std::optional<PacketBuffer> Stack::dhcp_output(Instant now) {
    auto p = pool_.allocate();
    if (!p) {
        ++stats_.no_packet;
        return std::nullopt;
    }
    const auto to = dhcp_.output(p->append(Dhcp::kMessageBytes), now);
    if (!to) return std::nullopt;
    auto* udp = p->push<UdpHeader>();
    udp->source_port = 68;
    udp->destination_port = 67;
    udp->length = static_cast<u16>(p->size());
    finish_udp(*p, to->source, to->destination, Cut::no);
    if (!to->source.is_unspecified()) {
        if (!add_ipv4(*p, to->source, to->destination, IpProtocol::udp)) return std::nullopt;
        return send(std::move(*p), to->destination, now);
    }
    // Without an address there is no route yet: RFC 2131 §4.1 wants 0.0.0.0 to 255.255.255.255 all the same.
    const usize length = p->size() + sizeof(Ipv4Header);
    auto* ip = p->push<Ipv4Header>();
    *ip = {};
    ip->version_ihl = 0x45;
    ip->total_length = static_cast<u16>(length);
    ip->flags_fragment = Ipv4Header::kDontFragment;
    ip->ttl = 64;
    ip->protocol = static_cast<u8>(IpProtocol::udp);
    ip->destination = to->destination.value;
    ip->checksum = internet_checksum({reinterpret_cast<const std::byte*>(ip), sizeof(Ipv4Header)});
    if (p->meta().checksum == PacketMeta::Checksum::partial) p->meta().csum_start = sizeof(Ipv4Header);
    ++stats_.ip_out;
    return finish_frame(std::move(*p), MacAddr::broadcast(), now);
}

/// RFC 7739 §5.3: a counter from a start of each destination's own, so that the ids in one host's datagrams do not tell
/// those in another's.
u16 Stack::fragment_id(Ipv4Addr destination) {
    return static_cast<u16>(siphash(key_, {6, destination.value, 0}) + ++fragment_id_);
}

/// RFC 791 §2.3: an IP packet without options as frames of at most `mtu` bytes of IP, all or none. Its buffers become
/// the fragments; only what is in one buffer and does not fit is copied. Their id is one of 65,536, so datagrams that
/// come faster than these wrap within the peer's patience may be mixed up there: its checksum finds that (RFC 6864
/// §4.3).
std::optional<PacketBuffer> Stack::cut(PacketBuffer p, const MacAddr& to, usize mtu) {
    const Ipv4Header whole = *read_at<Ipv4Header>(p.data(), 0);
    if (p.fragments() == 1 && p.size() <= mtu) {
        push_ethernet(p, to, config_.mac, EtherType::ipv4);
        return p;
    }
    stirred_ = true;
    p.pull_bytes(sizeof(Ipv4Header));
    const usize size = p.total_size(), room = (mtu - sizeof(Ipv4Header)) & ~usize{7};
    PacketQueue pieces;
    if (!pieces.push_back_cut(std::move(p), room, pool_)) {
        ++stats_.no_packet;
        return std::nullopt;
    }
    stats_.fragments_out += pieces.count();
    usize at = 0;
    while (auto piece = pieces.pop_front()) {
        const usize offset = std::exchange(at, at + piece->size());
        const u32 more = at < size ? Ipv4Header::kMoreFragments : 0;
        push_ipv4(*piece, {whole.source}, {whole.destination}, IpProtocol{whole.protocol}, whole.id,
                  static_cast<u16>(offset / 8 | more));
        push_ethernet(*piece, to, config_.mac, EtherType::ipv4);
        fragments_.push_back(std::move(*piece));
    }
    return fragments_.pop_front();
}

void Stack::udp_output(Udp::Outgoing out, std::optional<PacketBuffer>& frame, Instant now) {
    const IpAddr& to = out.to.address;
    if (!to.is_ipv4()) {
        stirred_ = true;
        if (ipv6_) frame = ipv6_->send_udp(std::move(out.packet), out.source, to, out.loop, now);
        return;
    }
    const Ipv4Addr destination = to.ipv4();
    const auto r = route(destination);
    const Ipv4Addr source = out.source.is_unspecified() && r ? r->source : out.source.ipv4();
    // RFC 1191 §3: DF finds out how narrow the path is; of the narrowest that is believed it may be narrower still.
    const u16 mtu = path_mtu(destination, now);
    const bool whole = out.packet.fragments() == 1 && out.packet.size() + sizeof(Ipv4Header) <= mtu;
    const Cut cut = (r && r->local) || (whole && mtu > kLeastPathMtu) ? Cut::no : Cut::allowed;
    finish_udp(out.packet, source, destination, cut);
    if (!add_ipv4(out.packet, source, destination, IpProtocol::udp, cut)) return;
    if (destination.is_multicast() && out.loop == MulticastLoop::on && groups_.is_member(destination)) {
        if (auto copy = pool_.copy(out.packet)) {
            ++stats_.loopback;
            loopback_.push_back(std::move(*copy));
        } else {
            ++stats_.no_packet;
        }
    }
    frame = send(std::move(out.packet), destination, now);
}

bool Stack::has_output() const {
    return tcp_.has_output() || udp_.has_output() || !loopback_.empty() || (stirred_ && others_have_output());
}

bool Stack::others_have_output() const {
    return arp_.has_output() || arp_.has_resolved() || dhcp_.has_output() || !replies_.empty() || !fragments_.empty() ||
           pings_.has_output() || groups_.has_report() || (ipv6_ && ipv6_->has_output());
}

/// One step of output in the order of urgency: false when nobody had anything. `frame` stays empty when what was said
/// went elsewhere: into the loopback, behind an ARP question, or nowhere, counted.
bool Stack::next_packet(std::optional<PacketBuffer>& frame, Instant now) {
    if (stirred_ && others_next_packet(frame, now)) return true;
    if (auto out = udp_.has_output() ? udp_.output() : std::nullopt) {
        udp_output(std::move(*out), frame, now);
        return true;
    }
    if (auto out = tcp_.has_output() ? tcp_.output(now) : std::nullopt) {
        if (!out->destination.is_ipv4()) {
            stirred_ = true;
            if (ipv6_) frame = ipv6_->send(std::move(out->packet), out->source, out->destination, IpProtocol::tcp, now);
        } else if (add_ipv4(out->packet, out->source.ipv4(), out->destination.ipv4(), IpProtocol::tcp)) {
            frame = send(std::move(out->packet), out->destination.ipv4(), now);
        }
        return true;
    }
    if (stirred_ && !others_have_output()) {
        stirred_ = false;
        others_due_ = others_deadline();
    }
    return false;
}

bool Stack::others_next_packet(std::optional<PacketBuffer>& frame, Instant now) {
    if ((frame = fragments_.pop_front())) return true;
    if (arp_.has_resolved()) {
        auto r = arp_.resolved();
        frame = finish_frame(std::move(r->packet), r->mac, now);
        return true;
    }
    if (arp_.has_output() && (frame = arp_.output(ipv4_, pool_))) return true;
    if (auto p = replies_.pop_front()) {
        const Ipv4Addr to{reinterpret_cast<const Ipv4Header*>(p->data().data())->destination};
        frame = send(std::move(*p), to, now);
        return true;
    }
    if (ipv6_ && ipv6_->next_frame(frame, now)) return true;
    if (groups_.has_report() && (frame = igmp_output(now))) return true;
    // What still has something to say afterwards found no packet buffer: it must not hold up the others.
    if (pings_.has_output()) {
        ping_output(frame, now);
        if (frame || !pings_.has_output()) return true;
    }
    if (dhcp_.has_output()) {
        frame = dhcp_output(now);
        if (!dhcp_.has_output()) return true;
    }
    return false;
}

std::optional<PacketBuffer> Stack::output(Instant now) {
    usize burst = kLoopbackBurst;
    output_cut_ = false;
    // Bounded: what goes elsewhere is bounded by windows and queues, but a mistake there must not hold the monitor.
    for (usize step = 0; step < kOutputSteps; ++step) {
        std::optional<PacketBuffer> frame;
        if (!loopback_.empty()) {
            if (burst == 0) return std::nullopt;  // deadline() asks to be called again
            --burst;
            ip_input(*loopback_.pop_front(), Origin::loopback, now);
        } else if (!next_packet(frame, now)) {
            return std::nullopt;
        }
        if (!frame) continue;
        if (!carrier_) {
            ++stats_.no_carrier;
            continue;
        }
        ++stats_.frames_out;
        stats_.bytes_out += frame->total_size();
        return frame;
    }
    output_cut_ = true;
    return std::nullopt;
}

}  // namespace ringlet::net
