// Received frames on their way up from Stack::input(): Ethernet (802.1Q tags are not ours), ARP, IPv4 (RFC 791, RFC
// 1122 §3.2), UDP, and the doors to ICMP and TCP. Any return drops the packet into the pool; each has its counter.
// Context: the network monitor.
#include "net/checksum.hpp"
#include "net/stack.hpp"

namespace ringlet::net {

/// A frame that is not IPv4 to our own address.
void Stack::ethernet_input(PacketBuffer&& frame, const EthernetHeader& eth, Interface& i, Instant now) {
    const bool unicast = eth.destination == i.config.mac;
    if (!unicast && eth.destination != MacAddr::broadcast() && !listens_to(i, eth.destination)) {
        ++stats_.ethernet_not_ours;
        return;
    }
    const Origin origin = unicast ? Origin::wire : Origin::wire_broadcast;
    switch (EtherType{u16{eth.type}}) {
    case EtherType::ipv4:
        ipv4_input(std::move(frame), i, origin, now);
        return;
    case EtherType::ipv6:
        stirred_ = true;
        if (i.ipv6)
            i.ipv6->input(std::move(frame), origin, now);
        else
            ++stats_.ip6_absent;
        return;
    case EtherType::arp:
        stirred_ = true;
        ++stats_.arp_in;
        i.arp.input(frame, i.ipv4, now);
        changed_ |= i.arp.has_conflict_news();
        return;
    case EtherType::vlan:
    case EtherType::service_vlan:
        ++stats_.ethernet_vlan;
        return;
    default:
        ++stats_.ethernet_unknown_type;
        return;
    }
}

/// RFC 1112 §6.4; several groups share a hardware address, and IPv4 looks again. RFC 2464 §7 for IPv6.
bool Stack::listens_to(const Interface& i, const MacAddr& group) const {
    const auto& o = group.octets;
    if (o[0] == 0x01 && o[1] == 0x00 && o[2] == 0x5e && (o[3] & 0x80) == 0) return true;
    return i.ipv6 && i.ipv6->listens_to(group);
}

/// A packet from ourselves: by the interface whose address it is for, or, to a group, whose it is from.
void Stack::ip_input(PacketBuffer p, Instant now) {
    const bool v4 = u8(p.data()[0]) >> 4 != 6;
    IpAddr from, to;
    if (v4) {
        const auto* ip = reinterpret_cast<const Ipv4Header*>(p.data().data());
        from = Ipv4Addr{ip->source};
        to = Ipv4Addr{ip->destination};
    } else {
        const auto* ip = reinterpret_cast<const Ipv6Header*>(p.data().data());
        from = IpAddr::from(ip->source);
        to = IpAddr::from(ip->destination);
    }
    Interface* i = &first_;
    if (interfaces_.count() != 1) {
        const IpAddr& ours = to.is_multicast() ? from : to;
        Interface* of = v4 ? interfaces_.owner(ours.ipv4()) : interfaces_.owner(ours);
        if (of != nullptr) i = of;
    }
    if (v4) return ipv4_input(std::move(p), *i, Origin::loopback, now);
    stirred_ = true;
    if (i->ipv6) i->ipv6->input(std::move(p), Origin::loopback, now);
}

/// RFC 1122 §3.2.1.3: what no honest packet carries as its source.
bool Stack::source_is_plausible(Ipv4Addr source, const Interface& i, Origin origin) const {
    if (origin == Origin::loopback) return true;
    return !source.is_multicast() && !source.is_broadcast() && !source.is_loopback() && !source.is_unspecified() &&
           source.value >> 24 != 0 && source.value >> 28 != 0xf &&
           (i.ipv4.address.is_unspecified() ||
            (interfaces_.owner(source) == nullptr && !i.ipv4.is_subnet_broadcast(source)));
}

/// RFC 791 §3.1: loose (131) or strict (137) source and record route. Malformed options count as one.
bool Stack::has_source_route(Bytes options) const {
    usize at = 0;
    while (at < options.size()) {
        const u8 type = static_cast<u8>(options[at]);
        if (type == 0) return false;
        if (type == 1) {
            ++at;
            continue;
        }
        if (type == 131 || type == 137 || at + 1 >= options.size()) return true;
        const usize length = static_cast<u8>(options[at + 1]);
        if (length < 2 || length > options.size() - at) return true;
        at += length;
    }
    return false;
}

inline void Stack::tcp_input(PacketBuffer&& p, const Ipv4Header& ip, usize header_bytes, const Interface& i,
                             Instant now) {
    const Ipv4Addr source{ip.source}, destination{ip.destination};
    p.pull_bytes(header_bytes);
    tcp_.input_of_batch(source, destination, std::move(p), now, i.index);
}

void Stack::ipv4_input(PacketBuffer&& p, Interface& i, Origin origin, Instant now) {
    ++stats_.ip_in;
    const usize size = p.size(), total = p.total_size();
    const auto& ip = *reinterpret_cast<const Ipv4Header*>(p.data().data());
    if (size < sizeof(ip) || ip.version_ihl >> 4 != 4 || ip.header_bytes() < sizeof(ip)) [[unlikely]] {
        ++stats_.ip_bad_header;
        return;
    }
    const usize header_bytes = ip.header_bytes(), length = ip.total_length;
    if (length < header_bytes || header_bytes > size || length > total) [[unlikely]] {
        ++stats_.ip_bad_length;
        return;
    }
    if (length != total) p.trim_to(length);
    if (header_bytes != sizeof(ip)) [[unlikely]] {
        if (!options_pass(p.data().first(header_bytes), origin)) return;
    } else if (origin != Origin::loopback) {
        InternetSum sum;
        sum.add_header<sizeof(ip)>(reinterpret_cast<const std::byte*>(&ip));
        if (!sum.is_valid()) [[unlikely]] {
            ++stats_.ip_bad_checksum;
            return;
        }
    }
    // Who was answered last needs no second look at where it is from and to.
    const bool known = origin == Origin::wire && recent_.is_from(Ipv4Addr{ip.source}, Ipv4Addr{ip.destination}, i);
    if (!known && !passes(ip, i, origin)) return;
    const bool whole = (ip.flags_fragment & (Ipv4Header::kMoreFragments | Ipv4Header::kOffsetMask)) == 0;
    if (whole && ip.protocol == static_cast<u8>(IpProtocol::tcp)) [[likely]]
        tcp_input(std::move(p), ip, header_bytes, i, now);
    else
        ipv4_others(std::move(p), i, origin, now);
}

/// A header with options. False, counted: it is dropped.
bool Stack::options_pass(Bytes header, Origin origin) {
    if (origin != Origin::loopback && internet_checksum(header) != 0) {
        ++stats_.ip_bad_checksum;
        return false;
    }
    if (has_source_route(header.subspan(sizeof(Ipv4Header)))) {
        ++stats_.ip_source_route;
        return false;
    }
    return true;
}

/// By its addresses. False, counted: it is dropped. `origin` becomes what it means to those above.
bool Stack::passes(const Ipv4Header& ip, const Interface& i, Origin& origin) {
    if (!source_is_plausible(Ipv4Addr{ip.source}, i, origin)) {
        ++stats_.ip_bad_source;
        return false;
    }
    const Ipv4Addr destination{ip.destination};
    const bool usual = origin == Origin::wire && i.has(destination) && !destination.is_loopback();
    return usual || is_wanted(ip, i, origin);
}

/// A fragment, or a packet for another than TCP. From here on the header is a copy.
void Stack::ipv4_others(PacketBuffer&& p, Interface& i, Origin origin, Instant now) {
    const Ipv4Header ip = *reinterpret_cast<const Ipv4Header*>(p.data().data());
    if ((ip.flags_fragment & (Ipv4Header::kMoreFragments | Ipv4Header::kOffsetMask)) != 0)
        fragment_input(std::move(p), ip, i, origin, now);
    else
        ipv4_deliver(std::move(p), ip, i, origin, now);
}

/// Is it for us? False, counted: no. `origin` becomes what it means to those above.
bool Stack::is_wanted(const Ipv4Header& ip, const Interface& i, Origin& origin) {
    const Ipv4Addr destination{ip.destination};
    if (destination.is_loopback() || i.has(destination)) {
        // A unicast packet in a broadcast frame is an attack or an accident (RFC 1122 §3.3.6); loopback stays inside.
        if (origin == Origin::loopback || (origin == Origin::wire && !destination.is_loopback())) return true;
        ++stats_.ip_not_ours;
        return false;
    }
    if (interfaces_.owner(destination) != nullptr) {  // RFC 1122 §3.3.4.2: not by this interface
        ++stats_.ip_wrong_interface;
        return false;
    }
    const bool udp = ip.protocol == static_cast<u8>(IpProtocol::udp);
    const bool igmp = ip.protocol == static_cast<u8>(IpProtocol::igmp);
    const bool broadcast = destination.is_broadcast() || i.ipv4.is_subnet_broadcast(destination);
    // A DHCP server may write to the address that we do not have yet (RFC 2131 §4.1).
    const bool for_dhcp = i.ipv4.address.is_unspecified() && i.dhcp.state() != DhcpState::off;
    const bool group = destination.is_multicast() && i.groups.is_member(destination);
    if (!((udp && (broadcast || for_dhcp || group)) || (igmp && group))) {
        ++stats_.ip_not_ours;
        return false;
    }
    if (origin == Origin::wire) origin = Origin::wire_broadcast;
    return true;
}

/// RFC 791 §3.2. The headers that count are the first fragment's.
void Stack::fragment_input(PacketBuffer p, const Ipv4Header& ip, Interface& i, Origin origin, Instant now) {
    stirred_ = true;
    ++stats_.ip_fragment;
    const Reassembly::Key key{Ipv4Addr{ip.source}, Ipv4Addr{ip.destination}, ip.id, ip.protocol};
    const u32 offset = (ip.flags_fragment & Ipv4Header::kOffsetMask) * 8u;
    const bool more = (ip.flags_fragment & Ipv4Header::kMoreFragments) != 0;
    auto packet =
        reassembly_.add(key, {std::move(p), static_cast<u16>(ip.header_bytes()), offset, more}, kReassembly, now);
    if (!packet) return;
    if (packet->total_size() > 0xffff) {  // the first fragment's options are longer than the others'
        ++stats_.fragments_bad;
        return;
    }
    auto* whole = reinterpret_cast<Ipv4Header*>(packet->data().data());
    whole->total_length = static_cast<u16>(packet->total_size());
    whole->flags_fragment = 0;
    const Ipv4Header header = *whole;
    ipv4_deliver(std::move(*packet), header, i, origin, now);
}

/// A whole packet for us. `ip` lies outside of it.
void Stack::ipv4_deliver(PacketBuffer&& p, const Ipv4Header& ip, Interface& i, Origin origin, Instant now) {
    const usize header_bytes = ip.header_bytes();
    if (ip.protocol == static_cast<u8>(IpProtocol::tcp)) return tcp_input(std::move(p), ip, header_bytes, i, now);
    const bool udp = ip.protocol == static_cast<u8>(IpProtocol::udp);
    stirred_ |= !udp;
    const bool icmp = ip.protocol == static_cast<u8>(IpProtocol::icmp);
    if (!udp && !icmp && p.fragments() != 1 && !p.flatten()) {  // the others do not take what is larger than a buffer
        ++stats_.ip_scattered;
        return;
    }
    switch (IpProtocol{ip.protocol}) {
    case IpProtocol::udp:
        udp_input(std::move(p), ip, i, origin, now);
        return;
    case IpProtocol::icmp:
        p.pull_bytes(header_bytes);
        icmp_input(std::move(p), ip, i, origin, now);
        return;
    case IpProtocol::igmp:
        p.pull_bytes(header_bytes);
        igmp_input(i, p.data(), ip, now);
        return;
    default:
        ++stats_.ip_unknown_protocol;
        send_icmp_error(std::move(p), IcmpHeader::kUnreachable, IcmpHeader::kProtocol, origin, now);
    }
}

/// Window = IP packet.
void Stack::udp_input(PacketBuffer p, const Ipv4Header& ip, Interface& i, Origin origin, Instant now) {
    const usize header_bytes = ip.header_bytes();
    const Ipv4Addr source{ip.source}, destination{ip.destination};
    p.pull_bytes(header_bytes);
    const auto ports = read_at<UdpHeader>(p.data(), 0);
    if (ports && ports->source_port == 67 && ports->destination_port == 68 && i.dhcp.state() != DhcpState::off)
        return dhcp_input(std::move(p), ip, i, now);
    const bool ours = destination.is_loopback() || i.has(destination);
    if (!ours && i.ipv4.address.is_unspecified()) {  // let in for DHCP alone
        ++stats_.ip_not_ours;
        return;
    }
    const auto audience = ours ? Udp::Audience::one : Udp::Audience::many;
    if (udp_.input(source, destination, p, audience) == Udp::Verdict::no_socket) {
        (void)p.push_bytes(header_bytes);
        send_icmp_error(std::move(p), IcmpHeader::kUnreachable, IcmpHeader::kPort, origin, now);
    }
}

/// Window = UDP header and what follows.
void Stack::dhcp_input(PacketBuffer p, const Ipv4Header& ip, Interface& i, Instant now) {
    const auto ports = read_at<UdpHeader>(p.data(), 0);
    if (ports->length < sizeof(UdpHeader) || ports->length > p.size()) {
        ++stats_.udp_bad;
        return;
    }
    p.trim_to(ports->length);
    if (ports->checksum != 0 && p.meta().checksum == PacketMeta::Checksum::none) {
        InternetSum sum =
            InternetSum::pseudo_header(Ipv4Addr{ip.source}, Ipv4Addr{ip.destination}, ip.protocol, ports->length);
        sum.add(p.data());
        if (!sum.is_valid()) {
            ++stats_.udp_bad_checksum;
            return;
        }
    }
    p.pull_bytes(sizeof(UdpHeader));
    stirred_ = true;
    i.dhcp.input(p.data(), now);
    drive_dhcp(i, now);
}

}  // namespace ringlet::net
