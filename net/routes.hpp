// IPv4 routes, the interfaces' own networks and default routers among them: from the configuration, from DHCP (RFC
// 3442). The longest prefix wins, then an interface's own network, then the smaller metric, then the interface with the
// lower number; a gateway gives way to a configured default route. Bounded. Context: the network monitor.
#pragma once

#include <algorithm>
#include <optional>

#include "lib/result.hpp"
#include "net/config.hpp"

namespace ringlet::net {

class Routes {
public:
    /// Of one interface: what DHCP gives, its network and its gateway.
    static constexpr usize kOwn = NetworkHints::kRoutes + 2;
    static constexpr usize kEntries = StackConfig::kRoutes + kMostInterfaces * kOwn;

    /// invalid: no network of that length, a router that cannot be one; exists; no_space.
    Result<> add(const RouteInfo& r) {
        if (!is_valid(r)) return fail(Error::invalid);
        usize configured = 0;
        for (const RouteInfo& e : entries_) {
            if (e.origin == r.origin && e.route.destination == r.route.destination &&
                e.route.prefix == r.route.prefix && e.metric == r.metric && e.interface == r.interface)
                return fail(Error::exists);
            configured += e.origin == RouteInfo::Origin::configured;
        }
        if (r.origin == RouteInfo::Origin::configured && configured == StackConfig::kRoutes)
            return fail(Error::no_space);
        if (!entries_.try_push_back(r)) return fail(Error::no_space);
        for (usize i = entries_.size() - 1; i > 0 && comes_before(r, entries_[i - 1]); --i)
            std::swap(entries_[i], entries_[i - 1]);
        return {};
    }
    /// The first configured route to that network. not_found.
    Result<> remove(Ipv4Addr destination, u8 prefix) {
        for (usize i = 0; i < entries_.size(); ++i) {
            const RouteInfo& e = entries_[i];
            if (e.origin == RouteInfo::Origin::configured && e.route.destination == destination &&
                e.route.prefix == prefix) {
                take_out(i);
                return {};
            }
        }
        return fail(Error::not_found);
    }
    /// What interface `index` has by its address (unspecified: nothing) and its lease (nullptr: none), in the place of
    /// what it had. Its number is the metric of its gateway.
    void set_interface(u8 index, const Ipv4Config& self, const NetworkHints* hints) {
        for (usize i = entries_.size(); i-- != 0;)
            if (entries_[i].interface == index && entries_[i].origin != RouteInfo::Origin::configured) take_out(i);
        if (self.address.is_unspecified()) return;
        (void)add({{{self.address.value & self.mask().value}, self.prefix, {}}, 0, RouteInfo::Origin::network, index});
        if (!self.gateway.is_unspecified())
            (void)add({{{}, 0, self.gateway}, index, RouteInfo::Origin::gateway, index});
        if (hints == nullptr) return;
        for (const ClasslessRoute& r : hints->routes) (void)add({r, 0, RouteInfo::Origin::dhcp, index});
    }
    /// The best route to `to` that `is_usable` agrees to; nullptr: none.
    template <class F> const RouteInfo* find(Ipv4Addr to, F is_usable) const {
        for (const RouteInfo& e : entries_)
            if (((e.route.destination.value ^ to.value) & mask(e.route.prefix)) == 0 && is_usable(e)) return &e;
        return nullptr;
    }
    auto begin() const { return entries_.begin(); }
    auto end() const { return entries_.end(); }

private:
    static constexpr u32 mask(u8 prefix) { return prefix == 0 ? 0 : ~u32{0} << (32 - prefix); }
    static bool is_valid(const RouteInfo& r) {
        const Ipv4Addr to = r.route.destination, router = r.route.router;
        return r.route.prefix <= 32 && (to.value & ~mask(r.route.prefix)) == 0 && !to.is_multicast() &&
               !to.is_loopback() && !router.is_multicast() && !router.is_broadcast() && !router.is_loopback() &&
               r.interface < kMostInterfaces &&
               (r.route.prefix != 0 || !router.is_unspecified() || r.origin == RouteInfo::Origin::network);
    }
    static bool comes_before(const RouteInfo& a, const RouteInfo& b) {
        if (a.route.prefix != b.route.prefix) return a.route.prefix > b.route.prefix;
        if (rank(a) != rank(b)) return rank(a) < rank(b);
        if (a.metric != b.metric) return a.metric < b.metric;
        return a.origin != b.origin ? a.origin < b.origin : a.interface < b.interface;
    }
    static constexpr int rank(const RouteInfo& r) {
        return r.origin == RouteInfo::Origin::network ? 0 : r.origin == RouteInfo::Origin::gateway ? 2 : 1;
    }
    void take_out(usize at) {
        for (; at + 1 < entries_.size(); ++at) entries_[at] = entries_[at + 1];
        entries_.pop_back();
    }
    FixedVector<RouteInfo, kEntries> entries_;  // sorted: the first that fits is the best
};

}  // namespace ringlet::net
