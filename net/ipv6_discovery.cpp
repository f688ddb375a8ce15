// The messages of neighbour discovery (RFC 4861 §4, checked by §6.1, §7.1 and §8.1) and MLD, read and written.
// Context: the network monitor.
#include "net/ethernet.hpp"
#include "net/ipv6.hpp"

namespace ringlet::net {
namespace {

/// RFC 4861 §4.6: every option has a length, and none is zero.
bool options_are_sound(Bytes options) {
    while (!options.empty()) {
        if (options.size() < 8) return false;
        const usize length = usize{static_cast<u8>(options[1])} * 8;
        if (length == 0 || length > options.size()) return false;
        options = options.subspan(length);
    }
    return true;
}

void put_address_option(PacketBuffer& p, u8 type, const MacAddr& mac) {
    const MutableBytes o = p.append(8);
    o[0] = static_cast<std::byte>(type);
    o[1] = std::byte{1};
    std::memcpy(o.data() + 2, mac.octets.data(), mac.octets.size());
}

}  // namespace

/// The hardware address that the options behind `fixed` bytes name, if it can be one of a neighbour's.
std::optional<MacAddr> Ipv6::address_option(Bytes message, usize fixed, u8 type) const {
    for (Bytes o = message.subspan(fixed); !o.empty();) {
        const usize length = usize{static_cast<u8>(o[1])} * 8;
        if (static_cast<u8>(o[0]) == type && length == 8) {
            const auto mac = *read_at<MacAddr>(o, 2);
            if (mac.is_multicast() || mac == MacAddr{} || mac == parts_.config.mac) return std::nullopt;
            return mac;
        }
        o = o.subspan(length);
    }
    return std::nullopt;
}

void Ipv6::discovery_input(Bytes message, const Received& r, Instant now) {
    ++stats_.nd_in;
    const auto h = *read_at<Icmpv6Header>(message, 0);
    if (h.type == Icmpv6Header::kMldQuery) {
        on_mld_query(message, r, now);
        return;
    }
    usize fixed = sizeof(NeighbourMessage);
    if (h.type == Icmpv6Header::kRouterAdvertisement) fixed = sizeof(RouterAdvertisement);
    if (h.type == Icmpv6Header::kRedirect) fixed = sizeof(RedirectMessage);
    // 255: it has crossed no router, so it comes from this link.
    if (r.hop_limit != 255 || h.code != 0 || message.size() < fixed || !options_are_sound(message.subspan(fixed))) {
        ++stats_.nd_bad;
        return;
    }
    switch (h.type) {
    case Icmpv6Header::kNeighbourSolicitation:
        return on_solicitation(message, r, now);
    case Icmpv6Header::kNeighbourAdvertisement:
        return on_advertisement(message, r, now);
    case Icmpv6Header::kRouterAdvertisement:
        return on_router_advertisement(message, r, now);
    default:
        return on_redirect(message, r, now);
    }
}

/// §7.1.1, §7.2.3, §7.2.4; RFC 4862 §5.4.3.
void Ipv6::on_solicitation(Bytes message, const Received& r, Instant now) {
    const auto ns = *read_at<NeighbourMessage>(message, 0);
    const IpAddr target = IpAddr::from(ns.target);
    const auto mac = address_option(message, sizeof(ns), nd_option::source_address);
    const bool probe = r.source.is_unspecified();
    if (target.is_multicast() || (probe && (r.destination != solicited_node(target) || mac))) {
        ++stats_.nd_bad;
        return;
    }
    if (slaac_.is_tentative(target)) {
        // Who probes wants the address as much as we do; who asks for it will hear nothing of us.
        if (probe) (void)slaac_.on_duplicate(target, now);
        return;
    }
    if (!slaac_.is_ours(target)) {
        ++stats_.nd_ignored;
        return;
    }
    if (probe) {
        queue_advertisement(target, kAllNodes, {}, NeighbourMessage::kOverride);
        return;
    }
    if (!slaac_.is_on_link(r.source)) {  // whoever claims to be a neighbour must be one
        ++stats_.nd_bad;
        return;
    }
    if (mac) ndp_.heard_of(r.source, *mac, now);
    queue_advertisement(target, r.source, mac, NeighbourMessage::kSolicited | NeighbourMessage::kOverride);
}

/// §7.1.2, §7.2.5; RFC 4862 §5.4.4.
void Ipv6::on_advertisement(Bytes message, const Received& r, Instant now) {
    const auto na = *read_at<NeighbourMessage>(message, 0);
    const IpAddr target = IpAddr::from(na.target);
    const u32 flags = na.icmp.word;
    const bool solicited = (flags & NeighbourMessage::kSolicited) != 0;
    if (target.is_multicast() || (r.destination.is_multicast() && solicited)) {
        ++stats_.nd_bad;
        return;
    }
    if (slaac_.on_duplicate(target, now)) return;
    if (slaac_.is_ours(target)) {
        ++stats_.nd_conflicts;
        return;
    }
    const bool router = (flags & NeighbourMessage::kRouter) != 0;
    ndp_.on_advertisement({.target = target,
                           .mac = address_option(message, sizeof(na), nd_option::target_address),
                           .solicited = solicited,
                           .override = (flags & NeighbourMessage::kOverride) != 0},
                          now);
    if (!router && slaac_.is_router(target)) {
        slaac_.forget_router(target);
        destinations_.forget_next_hop(target);
    }
}

/// §6.1.2.
void Ipv6::on_router_advertisement(Bytes message, const Received& r, Instant now) {
    if (!r.source.is_link_local() || r.origin == Origin::loopback) {
        ++stats_.nd_bad;
        return;
    }
    slaac_.on_router_advertisement(r.source, message, parts_.config.mtu, now);
    if (const auto mac = address_option(message, sizeof(RouterAdvertisement), nd_option::source_address))
        ndp_.heard_of(r.source, *mac, now);
}

/// §8.1, §8.3.
void Ipv6::on_redirect(Bytes message, const Received& r, Instant now) {
    const auto m = *read_at<RedirectMessage>(message, 0);
    const IpAddr target = IpAddr::from(m.target), destination = IpAddr::from(m.destination);
    const Destinations::Entry* known = destinations_.find(destination, now);
    const auto hop = known != nullptr && !known->next_hop.is_unspecified() ? std::optional(known->next_hop)
                                                                           : slaac_.next_hop(destination, ndp_, now);
    const bool from_our_router = hop && *hop == r.source && r.source.is_link_local() && r.source != destination;
    if (!from_our_router || destination.is_multicast() || is_ours(destination) || is_ours(target) ||
        (target != destination && !(target.is_link_local() && !target.is_multicast()))) {
        ++stats_.nd_bad;
        return;
    }
    ++stats_.nd_redirects;
    destinations_.set_next_hop(destination, target, now);
    if (const auto mac = address_option(message, sizeof(m), nd_option::target_address))
        ndp_.heard_of(target, *mac, now);
}

/// RFC 3810 §5.1, §6.2, §8.1.
void Ipv6::on_mld_query(Bytes message, const Received& r, Instant now) {
    ++stats_.mld_in;
    if (message.size() < 24 || (message.size() > 24 && message.size() < 28) || !r.source.is_link_local() ||
        r.hop_limit != 1) {
        ++stats_.mld_bad;
        return;
    }
    const IpAddr group = IpAddr::from(message.subspan<8, 16>());
    if (!group.is_unspecified() && !group.is_multicast()) {
        ++stats_.mld_bad;
        return;
    }
    u32 most = *read_at<be16>(message, 4);
    const bool older = message.size() == 24;                                                    // RFC 3810 §8.1
    if (most >= 0x8000 && !older) most = (0x1000u | (most & 0xfff)) << ((most >> 12 & 7) + 3);  // §5.1.3
    groups_.on_query(group, Duration::from_ms(most), older ? Groups::Version::older : Groups::Version::current, now);
}

// --- what we say
// ------------------------------------------------------------------------------------------------------

/// To `mac`, which the question named, without asking the neighbour cache: answering must not fill it.
void Ipv6::queue_advertisement(const IpAddr& target, const IpAddr& to, std::optional<MacAddr> mac, u32 flags) {
    if (replies_.count() + frames_.count() >= kReplies) {
        ++stats_.reply_overflow;
        return;
    }
    auto p = parts_.pool.allocate();
    if (!p) {
        ++stats_.no_packet;
        return;
    }
    auto* na = reinterpret_cast<NeighbourMessage*>(p->append(sizeof(NeighbourMessage)).data());
    na->icmp.type = Icmpv6Header::kNeighbourAdvertisement;
    na->icmp.code = 0;
    na->icmp.word = flags;
    target.store(na->target);
    put_address_option(*p, nd_option::target_address, parts_.config.mac);
    complete_icmp(*p, target, to);
    push_header(*p, target, to, IpProtocol::icmpv6, 255);
    if (mac)
        frames_.push_back(*frame_to(std::move(*p), *mac));
    else
        replies_.push_back(std::move(*p));
    ++stats_.nd_out;
}

/// The next message of Ndp, Slaac or Groups as a frame.
std::optional<PacketBuffer> Ipv6::discovery_output(Instant now) {
    // One that cannot be built is as good as lost: it is repeated in a second.
    if (auto s = ndp_.next_solicitation()) return build_solicitation(s->target, s->to);
    if (auto request = slaac_.next_request(now)) {
        auto p = request->probe ? build_probe(*request->probe) : build_router_solicitation();
        if (!p) slaac_.unsent(*request);
        return p;
    }
    if (auto report = groups_.next_report(now)) return build_mld_report(*report);
    return std::nullopt;
}

std::optional<PacketBuffer> Ipv6::build_solicitation(const IpAddr& target, std::optional<MacAddr> to) {
    const auto source = slaac_.source_for(target);
    if (!source) return std::nullopt;
    auto p = parts_.pool.allocate();
    if (!p) {
        ++stats_.no_packet;
        return std::nullopt;
    }
    auto* ns = reinterpret_cast<NeighbourMessage*>(p->append(sizeof(NeighbourMessage)).data());
    ns->icmp.type = Icmpv6Header::kNeighbourSolicitation;
    ns->icmp.code = 0;
    ns->icmp.word = 0;
    target.store(ns->target);
    put_address_option(*p, nd_option::source_address, parts_.config.mac);
    const IpAddr destination = to ? target : solicited_node(target);
    complete_icmp(*p, *source, destination);
    push_header(*p, *source, destination, IpProtocol::icmpv6, 255);
    ++stats_.nd_out;
    return to ? frame_to(std::move(*p), *to) : route(std::move(*p), destination, {});
}

/// RFC 4862 §5.4.2: from the unspecified address, without an option.
std::optional<PacketBuffer> Ipv6::build_probe(const IpAddr& target) {
    auto p = parts_.pool.allocate();
    if (!p) {
        ++stats_.no_packet;
        return std::nullopt;
    }
    auto* ns = reinterpret_cast<NeighbourMessage*>(p->append(sizeof(NeighbourMessage)).data());
    ns->icmp.type = Icmpv6Header::kNeighbourSolicitation;
    ns->icmp.code = 0;
    ns->icmp.word = 0;
    target.store(ns->target);
    complete_icmp(*p, {}, solicited_node(target));
    push_header(*p, {}, solicited_node(target), IpProtocol::icmpv6, 255);
    ++stats_.nd_out;
    return route(std::move(*p), solicited_node(target), {});
}

/// §4.1: with our hardware address only when there is an address to go with it.
std::optional<PacketBuffer> Ipv6::build_router_solicitation() {
    auto p = parts_.pool.allocate();
    if (!p) {
        ++stats_.no_packet;
        return std::nullopt;
    }
    const auto source = slaac_.link_local();
    auto* rs = reinterpret_cast<Icmpv6Header*>(p->append(sizeof(Icmpv6Header)).data());
    rs->type = Icmpv6Header::kRouterSolicitation;
    rs->code = 0;
    rs->word = 0;
    if (source) put_address_option(*p, nd_option::source_address, parts_.config.mac);
    complete_icmp(*p, source.value_or(IpAddr{}), kAllRouters);
    push_header(*p, source.value_or(IpAddr{}), kAllRouters, IpProtocol::icmpv6, 255);
    ++stats_.nd_out;
    return route(std::move(*p), kAllRouters, {});
}

/// RFC 3810 §5.2: one record, hop limit 1, and the router alert in front (RFC 2711).
std::optional<PacketBuffer> Ipv6::build_mld_report(const Groups::Report& report) {
    auto p = parts_.pool.allocate();
    if (!p) {
        ++stats_.no_packet;
        return std::nullopt;  // the next query asks again
    }
    const IpAddr source = slaac_.link_local().value_or(IpAddr{});
    const bool current = report.version == Groups::Version::current;
    const bool leaves = report.record == Groups::Record::change_to_include;
    const IpAddr to = current ? kMld2Routers : leaves ? kAllRouters : report.group;  // RFC 2710 §3, §4
    auto* h = reinterpret_cast<Icmpv6Header*>(p->append(sizeof(Icmpv6Header)).data());
    h->type = current ? Icmpv6Header::kMld2Report : leaves ? Icmpv6Header::kMldDone : Icmpv6Header::kMldReport;
    h->code = 0;
    h->word = current ? 1 : 0;  // records
    if (current) {
        const MutableBytes record = p->append(4);
        std::memset(record.data(), 0, 4);
        record[0] = static_cast<std::byte>(report.record);
    }
    report.group.store(p->append(16).first<16>());
    complete_icmp(*p, source, to);
    constexpr u8 kAlert[8] = {static_cast<u8>(IpProtocol::icmpv6), 0, 5, 2, 0, 0, 1, 0};
    std::memcpy(p->push_bytes(sizeof(kAlert)).data(), kAlert, sizeof(kAlert));
    push_header(*p, source, to, IpProtocol::hop_by_hop, 1);
    ++stats_.mld_out;
    return route(std::move(*p), to, {});
}

}  // namespace ringlet::net
