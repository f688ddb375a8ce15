// Packets on their way down: pulled while the link has room. Routing is on-link or gateway; what is for ourselves goes
// round by an internal queue. Context: the network monitor.
#include "net/checksum.hpp"
#include "net/ethernet.hpp"
#include "net/stack.hpp"

namespace ringlet::net {
namespace {

/// Fills in the header of `length` bytes with it; its sum is of what it is made from, so that nothing is read back.
[[gnu::always_inline]] inline void write_ipv4(Ipv4Header& ip, usize length, Ipv4Addr source, Ipv4Addr destination,
                                              IpProtocol protocol, u16 id, u16 fragment) {
    constexpr u8 kVersionIhl = 0x45;
    const u8 ttl = destination.is_multicast() ? 1 : 64;  // RFC 1112 §6.1
    ip.version_ihl = kVersionIhl;
    ip.tos = 0;
    ip.total_length = static_cast<u16>(length);
    ip.id = id;
    ip.flags_fragment = fragment;
    ip.ttl = ttl;
    ip.protocol = static_cast<u8>(protocol);
    ip.source = source.value;
    ip.destination = destination.value;
    InternetSum sum;
    sum.add_u32(static_cast<u32>(length) + id + fragment + (kVersionIhl << 8) + (ttl << 8 | static_cast<u8>(protocol)));
    sum.add_u32(source.value);
    sum.add_u32(destination.value);
    ip.checksum = sum.checksum();
}

}  // namespace

bool Stack::add_ipv4(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, IpProtocol protocol, Cut cut, u16 scope) {
    const usize length = p.total_size() + sizeof(Ipv4Header);
    // An address that we have lost must not go out any more, and 127/8 never.
    // (The recent route was found with this source as ours, and is forgotten with it.)
    const bool recent = recent_.answers(destination, source);
    if (!recent && !source.is_unspecified() &&
        (!is_ours(source) || source.is_loopback() != destination.is_loopback())) {
        ++stats_.ip_no_address;
        return false;
    }
    const auto r = route(destination, source, scope);
    if (!r) {
        ++(any_ipv4() == nullptr ? stats_.ip_no_address : stats_.ip_no_route);
        return false;
    }
    if (length > r->by->config.mtu && p.meta().gso == PacketMeta::Gso::none) [[unlikely]] {
        if (length > 0xffff || (cut == Cut::no && !r->local)) {
            ++stats_.ip_too_large;
            return false;
        }
    }
    if (source.is_unspecified()) source = r->source;
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
    write_ipv4(*p.push<Ipv4Header>(), length, source, destination, protocol, id, fragment);
    if (p.meta().checksum == PacketMeta::Checksum::partial) p.meta().csum_start = sizeof(Ipv4Header);
    if (p.meta().gso != PacketMeta::Gso::none)
        p.meta().header_bytes = static_cast<u16>(p.meta().header_bytes + sizeof(Ipv4Header));
    ++stats_.ip_out;
}

void Stack::finish_udp(PacketBuffer& p, Ipv4Addr source, Ipv4Addr destination, Cut cut, const Interface* by) {
    auto* h = reinterpret_cast<UdpHeader*>(p.data().data());
    const usize length = p.total_size();
    InternetSum sum = InternetSum::pseudo_header(source, destination, static_cast<u8>(IpProtocol::udp), length);
    h->checksum = 0;
    const bool offload = by != nullptr && by->config.offloads.tx_checksum;
    if (is_ours(destination) || (offload && cut == Cut::no)) {
        h->checksum = sum.sum();
        p.meta().checksum = PacketMeta::Checksum::partial;
        p.meta().csum_offset = offsetof(UdpHeader, checksum);
        return;
    }
    sum.add_at(sum_of(p), 0);
    const u16 checksum = sum.checksum();
    h->checksum = checksum == 0 ? u16{0xffff} : checksum;  // zero would mean "none"
}

std::optional<PacketBuffer> Stack::finish_frame(Interface& i, PacketBuffer p, const MacAddr& to, Instant now) {
    out_ = &i;
    const auto* ip = reinterpret_cast<const Ipv4Header*>(p.data().data());
    if ((ip->flags_fragment & Ipv4Header::kDontFragment) == 0) [[unlikely]]
        return cut(i, std::move(p), to, path_mtu(i, {ip->destination}, now));
    push_ethernet(p, to, i.config.mac, EtherType::ipv4);
    return p;
}

std::optional<PacketBuffer> Stack::send(PacketBuffer p, Instant now) {
    const auto* ip = reinterpret_cast<const Ipv4Header*>(p.data().data());
    const Ipv4Addr destination{ip->destination};
    const auto r = route(destination, {ip->source});
    if (!r) {
        ++stats_.ip_no_route;
        return std::nullopt;
    }
    if (r->local) {
        ++stats_.loopback;
        loopback_.push_back(std::move(p));
        return std::nullopt;
    }
    Interface& i = *r->by;
    if (destination.is_broadcast() || i.ipv4.is_subnet_broadcast(destination))
        return finish_frame(i, std::move(p), MacAddr::broadcast(), now);
    if (destination.is_multicast()) {  // RFC 1112 §6.4
        const u32 low = destination.value & 0x7f'ffff;
        return finish_frame(
            i, std::move(p),
            {{0x01, 0x00, 0x5e, static_cast<u8>(low >> 16), static_cast<u8>(low >> 8), static_cast<u8>(low)}}, now);
    }
    const MacAddr* mac = i.arp.find(r->next_hop, now);
    if (mac != nullptr && !i.arp.has_output()) [[likely]]
        return finish_frame(i, std::move(p), *mac, now);
    stirred_ = true;
    if (mac != nullptr) return finish_frame(i, std::move(p), *mac, now);  // known, and asked again
    i.arp.wait_for(r->next_hop, std::move(p), now);
    return std::nullopt;
}

/// What all segments to where the last packet went begin with. Only their length is missing, and its part of the sum.
void Stack::make_headers(const MacAddr& to) {
    FrameHeaders& h = recent_.headers;
    h.ethernet = {to, recent_.route.by->config.mac, static_cast<u16>(EtherType::ipv4)};
    write_ipv4(h.ip, 0, recent_.source, recent_.destination, IpProtocol::tcp, 0, Ipv4Header::kDontFragment);
    h.ip.checksum = 0;
    recent_.headers_sum = {};
    recent_.headers_sum.add_header<sizeof(h.ip)>(reinterpret_cast<const std::byte*>(&h.ip));
    recent_.has_headers = true;
}

/// One more segment to where the last packet went needs no second look at the way there.
std::optional<PacketBuffer> Stack::send_tcp(tcp::Tcp::Outgoing& out, Instant now) {
    PacketBuffer& p = out.packet;
    const Ipv4Addr source = out.source.ipv4(), destination = out.destination.ipv4();
    if (recent_.plain && recent_.answers(destination, source)) [[likely]] {
        Interface& i = *recent_.route.by;
        const usize length = p.total_size() + sizeof(Ipv4Header);
        const bool fits = length <= i.config.mtu || p.meta().gso != PacketMeta::Gso::none;
        const MacAddr* mac = fits ? i.arp.find(recent_.route.next_hop, now) : nullptr;
        if (mac != nullptr && !i.arp.has_output()) [[likely]] {
            if (!recent_.has_headers || recent_.headers.ethernet.destination != *mac) [[unlikely]]
                make_headers(*mac);
            auto* h = p.push<FrameHeaders>();
            *h = recent_.headers;
            h->ip.total_length = static_cast<u16>(length);
            InternetSum sum = recent_.headers_sum;
            sum.add_u32(static_cast<u32>(length));
            h->ip.checksum = sum.checksum();
            PacketMeta& meta = p.meta();
            if (meta.checksum == PacketMeta::Checksum::partial) meta.csum_start = sizeof(FrameHeaders);
            if (meta.gso != PacketMeta::Gso::none)
                meta.header_bytes = static_cast<u16>(meta.header_bytes + sizeof(FrameHeaders));
            ++stats_.ip_out;
            out_ = &i;
            return std::move(p);
        }
    }
    if (!add_ipv4(p, source, destination, IpProtocol::tcp)) return std::nullopt;
    return send(std::move(p), now);
}

std::optional<PacketBuffer> Stack::dhcp_output(Interface& i, Instant now) {
    auto p = pool_.allocate();
    if (!p) {
        ++stats_.no_packet;
        return std::nullopt;
    }
    const auto to = i.dhcp.output(p->append(Dhcp::kMessageBytes), now);
    if (!to) return std::nullopt;
    auto* udp = p->push<UdpHeader>();
    udp->source_port = 68;
    udp->destination_port = 67;
    udp->length = static_cast<u16>(p->size());
    finish_udp(*p, to->source, to->destination, Cut::no, &i);
    if (!to->source.is_unspecified()) {
        if (!add_ipv4(*p, to->source, to->destination, IpProtocol::udp)) return std::nullopt;
        return send(std::move(*p), now);
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
    return finish_frame(i, std::move(*p), MacAddr::broadcast(), now);
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
std::optional<PacketBuffer> Stack::cut(Interface& i, PacketBuffer p, const MacAddr& to, usize mtu) {
    const Ipv4Header whole = *read_at<Ipv4Header>(p.data(), 0);
    if (p.fragments() == 1 && p.size() <= mtu) {
        push_ethernet(p, to, i.config.mac, EtherType::ipv4);
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
        push_ethernet(*piece, to, i.config.mac, EtherType::ipv4);
        i.frames.push_back(std::move(*piece));
    }
    return i.frames.pop_front();
}

void Stack::udp_output(Udp::Outgoing out, std::optional<PacketBuffer>& frame, Instant now) {
    const IpAddr& to = out.to.address;
    if (!to.is_ipv4()) {
        stirred_ = true;
        Interface* i = route6(to, out.source, out.to.scope, now);
        if (i == nullptr) {
            ++stats_.ip6_no_route;
            return;
        }
        out_ = i;
        frame = i->ipv6->send_udp(std::move(out.packet), out.source, to, out.loop, now);
        return;
    }
    const Ipv4Addr destination = to.ipv4();
    const Ipv4Addr bound = out.source.is_unspecified() ? Ipv4Addr{} : out.source.ipv4();
    const auto r = route(destination, bound, out.to.scope);
    const Ipv4Addr source = bound.is_unspecified() && r ? r->source : bound;
    // RFC 1191 §3: DF finds out how narrow the path is; of the narrowest that is believed it may be narrower still.
    const u16 mtu = r ? path_mtu(*r->by, destination, now) : 0;
    const bool whole = out.packet.fragments() == 1 && out.packet.size() + sizeof(Ipv4Header) <= mtu;
    const Cut cut = (r && r->local) || (whole && mtu > kLeastPathMtu) ? Cut::no : Cut::allowed;
    finish_udp(out.packet, source, destination, cut, r ? r->by : nullptr);
    if (!add_ipv4(out.packet, source, destination, IpProtocol::udp, cut)) return;
    if (destination.is_multicast() && out.loop == MulticastLoop::on && r->by->groups.is_member(destination)) {
        if (auto copy = pool_.copy(out.packet)) {
            ++stats_.loopback;
            loopback_.push_back(std::move(*copy));
        } else {
            ++stats_.no_packet;
        }
    }
    frame = send(std::move(out.packet), now);
}

bool Stack::has_output() const {
    return tcp_.has_output() || udp_.has_output() || !loopback_.empty() || (stirred_ && others_have_output());
}

bool Stack::others_have_output() const {
    for (const Interface* i : interfaces_)
        if (i->arp.has_output() || i->arp.has_resolved() || i->dhcp.has_output() || i->groups.has_report() ||
            !i->frames.empty() || (i->ipv6 && i->ipv6->has_output()))
            return true;
    return !replies_.empty() || pings_.has_output();
}

/// One step of output in the order of urgency: false when nobody had anything. `frame` stays empty when what was said
/// went elsewhere: into the loopback, behind an ARP question, or nowhere, counted.
bool Stack::next_packet(std::optional<PacketBuffer>& frame, u32 room, Instant now) {
    if (stirred_ && (waiting_frame(frame, room) || others_next_packet(frame, now))) return true;
    if (auto out = udp_.has_output() ? udp_.output() : std::nullopt) {
        udp_output(std::move(*out), frame, now);
        return true;
    }
    if (auto out = tcp_.has_output(room) ? tcp_.output(now, room) : std::nullopt) {
        if (!out->destination.is_ipv4()) {
            stirred_ = true;
            Interface* i = route6(out->destination, out->source, 0, now);
            if (i == nullptr) {
                ++stats_.ip_no_address;
                return true;
            }
            out_ = i;
            frame = i->ipv6->send(std::move(out->packet), out->source, out->destination, IpProtocol::tcp, now);
        } else {
            frame = send_tcp(*out, now);
        }
        return true;
    }
    if (stirred_ && !others_have_output()) {
        stirred_ = false;
        others_due_ = others_deadline();
    }
    return false;
}

/// A frame that was ready before, for a link with room.
bool Stack::waiting_frame(std::optional<PacketBuffer>& frame, u32 room) {
    for (Interface* i : interfaces_) {
        if ((room & i->bit()) == 0 || !(frame = i->frames.pop_front())) continue;
        out_ = i;
        return true;
    }
    return false;
}

bool Stack::others_next_packet(std::optional<PacketBuffer>& frame, Instant now) {
    if (auto p = replies_.pop_front()) {
        frame = send(std::move(*p), now);
        return true;
    }
    for (Interface* i : interfaces_)
        if (interface_next_packet(*i, frame, now)) return true;
    // What still has something to say afterwards found no packet buffer: it must not hold up the others.
    if (pings_.has_output()) {
        ping_output(frame, now);
        if (frame || !pings_.has_output()) return true;
    }
    for (Interface* i : interfaces_) {
        if (!i->dhcp.has_output()) continue;
        frame = dhcp_output(*i, now);
        if (!i->dhcp.has_output()) return true;
    }
    return false;
}

/// Of what belongs to one interface.
bool Stack::interface_next_packet(Interface& i, std::optional<PacketBuffer>& frame, Instant now) {
    out_ = &i;
    if (i.arp.has_resolved()) {
        auto r = i.arp.resolved();
        frame = finish_frame(i, std::move(r->packet), r->mac, now);
        return true;
    }
    if (i.arp.has_output() && (frame = i.arp.output(i.ipv4, pool_))) return true;
    if (i.ipv6 && i.ipv6->next_frame(frame, now)) return true;
    return i.groups.has_report() && (frame = igmp_output(i, now));
}

/// Made for a link that has no room while others have some.
void Stack::set_aside(PacketBuffer frame) {
    stirred_ = true;
    if (out_->frames.count() < kFrames)
        out_->frames.push_back(std::move(frame));
    else
        ++stats_.link_full;
}

std::optional<PacketBuffer> Stack::next_frame(Instant now, u32 room, u8& to) {
    usize burst = kLoopbackBurst;
    // Bounded: what goes elsewhere is bounded by windows and queues, but a mistake there must not hold the monitor.
    for (usize step = 0; step < kOutputSteps; ++step) {
        std::optional<PacketBuffer> frame;
        if (!loopback_.empty()) {
            if (burst == 0) return std::nullopt;  // deadline() asks to be called again
            --burst;
            ip_input(*loopback_.pop_front(), now);
        } else if (!next_packet(frame, room, now)) {
            return std::nullopt;
        }
        if (!frame) continue;
        Interface& i = *out_;
        if (!i.carrier) [[unlikely]] {
            ++stats_.no_carrier;
            continue;
        }
        if ((room & i.bit()) == 0) [[unlikely]] {
            set_aside(std::move(*frame));
            continue;
        }
        ++stats_.frames_out;
        ++i.frames_out;
        stats_.bytes_out += frame->total_size();
        to = i.index;
        return frame;
    }
    output_cut_ = true;
    return std::nullopt;
}

}  // namespace ringlet::net
