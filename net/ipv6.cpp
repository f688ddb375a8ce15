// IPv6's life: addresses, groups, time. Context: the network monitor.
#include "net/ipv6.hpp"

#include <new>

namespace ringlet::net {
namespace {

SipKey derive(SipKey key, u64 purpose) {
    return {siphash(key, purpose, 0), siphash(key, purpose, 1)};
}

/// RFC 7217 wants a secret that outlives a reboot, and an image has nowhere to keep one: the hardware address takes its
/// place. The address is the same after every boot and another one in every network, and tells the hardware address to
/// nobody who does not guess it.
SipKey stable_key(const StackParts& parts) {
    SipKey key{0x7269'6e67'6c65'7436, parts.index};  // §5: two interfaces never have the same
    for (const u8 octet : parts.config.mac.octets) key.k1 = key.k1 << 8 | octet;
    return derive(key, 7217);
}

}  // namespace

Ipv6Layer* make_ipv6(const StackParts& parts) {
    return new (std::nothrow) Ipv6(parts);
}

Ipv6::Ipv6(const StackParts& parts)
    : parts_(parts), stats_(parts.stats), ndp_(derive(parts.key, 1), parts.stats),
      slaac_(stable_key(parts), derive(parts.key, 2), parts.stats), groups_(derive(parts.key, 3)),
      fragment_id_(static_cast<u32>(siphash(parts.key, 4, 0))) {}

void Ipv6::start(Instant now) {
    running_ = true;
    slaac_.start(parts_.config.mac, parts_.config.fixed6, now);
}

void Ipv6::stop() {
    running_ = false;
    slaac_.stop();
    update_groups({});
    ndp_.clear();
    destinations_.clear();
}

void Ipv6::restart(Instant now) {
    if (!running_) return;
    ndp_.clear();
    destinations_.clear();
    slaac_.start(parts_.config.mac, parts_.config.fixed6, now);
    groups_.restart(now);
}

void Ipv6::announce(Instant) {
    for (const Slaac::Address& a : slaac_.addresses())
        if (slaac_.is_ours(a.info.address))
            queue_advertisement(a.info.address, kAllNodes, {}, NeighbourMessage::kOverride);  // RFC 4861 §7.2.6
}

/// Every address listens to its solicited-node group, tentative ones too (RFC 4862 §5.4.2).
void Ipv6::update_groups(Instant now) {
    std::array<IpAddr, Slaac::kAddresses> wanted{};
    usize n = 0;
    for (const Slaac::Address& a : slaac_.addresses()) wanted[n++] = solicited_node(a.info.address);
    for (const IpAddr& group : wanted)
        if (!group.is_unspecified()) groups_.join(group, now);
    for (const IpAddr& group : node_groups_)  // afterwards, so that what stays is not reported
        if (!group.is_unspecified()) groups_.leave(group, now);
    node_groups_ = wanted;
}

void Ipv6::poll(Instant now) {
    slaac_.poll(now);
    if (slaac_.take_change()) {
        parts_.changed = true;
        update_groups(now);
    }
    ndp_.poll(now);
    while (auto p = ndp_.failed())
        send_error(std::move(*p), Icmpv6Header::kUnreachable, Icmpv6Header::kAddress, 0, now);
    groups_.poll(now);
}

Instant Ipv6::deadline() const {
    return std::min({slaac_.deadline(), ndp_.deadline(), groups_.deadline()});
}

bool Ipv6::listens_to(const MacAddr& group) const {
    if (group.octets[0] != 0x33 || group.octets[1] != 0x33) return false;
    return running_;  // which group it is, the IPv6 header tells
}

std::optional<IpAddr> Ipv6::source_for(const IpAddr& destination, Instant now) const {
    if (destination.is_unspecified()) return std::nullopt;
    if (is_ours(destination)) return destination;
    const auto source = slaac_.source_for(destination);
    if (!source || (!destination.is_multicast() && !slaac_.next_hop(destination, ndp_, now))) return std::nullopt;
    return source;
}

u16 Ipv6::path_mtu(const IpAddr& destination, Instant now) const {
    const u16 link = slaac_.mtu(parts_.config.mtu);
    const Destinations::Entry* known = destinations_.find(destination, now);
    return known != nullptr && known->mtu != 0 && known->mtu < link ? known->mtu : link;
}

}  // namespace ringlet::net
