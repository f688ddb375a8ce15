// Which interface, which address of ours, which neighbour. A packet goes out by the interface whose address it bears,
// so that what came by one is answered by it; only what has no source yet may choose. Context: the network monitor.
#include "net/stack.hpp"

namespace ringlet::net {

std::optional<Stack::Route> Stack::find_route(Ipv4Addr destination, Ipv4Addr source, u16 scope) const {
    const auto found = choose_route(destination, source, scope);
    if (!found || scope != 0 || destination.is_loopback()) return found;
    const bool many =
        destination.is_broadcast() || destination.is_multicast() || found->by->ipv4.is_subnet_broadcast(destination);
    const bool plain = !found->local && !many;
    const bool honest = plain && source == found->by->ipv4.address && !source.is_loopback() &&
                        source_is_plausible(destination, *found->by, Origin::wire);
    recent_ = {
        .known = true, .plain = plain, .honest = honest, .destination = destination, .source = source, .route = *found};
    return found;
}

std::optional<Stack::Route> Stack::choose_route(Ipv4Addr destination, Ipv4Addr source, u16 scope) const {
    if (destination.is_loopback()) return Route{out_, destination, destination, true};
    if (destination.is_unspecified()) return std::nullopt;
    if (Interface* i = interfaces_.owner(destination)) return Route{i, destination, destination, true};
    u32 allowed = ~u32{0};
    if (!source.is_unspecified()) {
        const Interface* i = interfaces_.owner(source);
        if (i == nullptr) return std::nullopt;
        allowed = i->bit();
    } else if (scope != 0) [[unlikely]] {
        const Interface* i = interfaces_.of_scope(scope);
        if (i == nullptr) return std::nullopt;
        allowed = i->bit();
    }
    if (destination.is_broadcast() || destination.is_multicast()) {
        Interface* i = route_to_many(allowed);
        if (i == nullptr) return std::nullopt;
        return Route{i, destination, i->ipv4.address, false};
    }
    const RouteInfo* without_carrier = nullptr;
    const RouteInfo* best = routes_.find(destination, [&](const RouteInfo& e) {
        const Interface& i = interfaces_[e.interface];
        const Ipv4Addr router = e.route.router;
        if ((allowed & i.bit()) == 0 || i.ipv4.address.is_unspecified()) return false;
        if (e.origin != RouteInfo::Origin::network) {
            // Nobody could be asked where a router is that is not on the link; our broadcasts go to all.
            if (i.ipv4.is_subnet_broadcast(destination) || i.has(router)) return false;
            if (!router.is_unspecified() && !i.ipv4.on_link(router) && router != i.ipv4.gateway) return false;
        }
        if (i.carrier) return true;
        if (without_carrier == nullptr) without_carrier = &e;
        return false;
    });
    if (best == nullptr) best = without_carrier;
    if (best == nullptr) return std::nullopt;
    Interface& i = interfaces_[best->interface];
    return Route{&i, best->route.router.is_unspecified() ? destination : best->route.router, i.ipv4.address, false};
}

/// Broadcasts and groups: the interface of the default route, else the first with an address.
Interface* Stack::route_to_many(u32 allowed) const {
    Interface* best = nullptr;
    int rank = 0;
    for (Interface* i : interfaces_) {
        if ((allowed & i->bit()) == 0 || i->ipv4.address.is_unspecified()) continue;
        const int r = 1 + !i->ipv4.gateway.is_unspecified() + 2 * i->carrier;
        if (r > rank) best = i, rank = r;
    }
    return best;
}

Interface* Stack::route6(const IpAddr& destination, const IpAddr& source, u16 scope, Instant now) const {
    if (interfaces_.count() == 1) return first_.ipv6 ? out_ : nullptr;
    if (!source.is_unspecified() && !source.is_loopback()) return interfaces_.owner(source);
    if (Interface* i = interfaces_.owner(destination)) return i;
    if (scope != 0) {
        Interface* i = interfaces_.of_scope(scope);
        return i != nullptr && i->ipv6 ? i : nullptr;
    }
    const bool one_link = destination.is_multicast() || destination.is_link_local();
    Interface* best = nullptr;
    int rank = -1;
    for (Interface* i : interfaces_) {
        if (!i->ipv6 || !i->ipv6->source_for(destination, now)) continue;
        const int length = one_link ? 0 : i->ipv6->route_length(destination, now).value_or(0);
        const int r = length + 256 * i->carrier;
        if (r > rank) best = i, rank = r;
    }
    return best;
}

u16 Stack::path_mtu(const Interface& i, Ipv4Addr destination, Instant now) const {
    const Destinations::Entry* known = paths_.find(destination, now);
    return known != nullptr && known->mtu < i.path_mtu ? known->mtu : i.path_mtu;
}

}  // namespace ringlet::net
