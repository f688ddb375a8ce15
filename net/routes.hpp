// IPv4 routes beyond the link and its gateway: from the configuration and from DHCP (RFC 3442). The longest prefix
// wins, then the smaller metric, then what was configured. Bounded. Context: the network monitor.
#pragma once

#include <algorithm>
#include <optional>

#include "lib/result.hpp"
#include "net/config.hpp"

namespace ringlet::net {

class Routes {
public:
    static constexpr usize kDhcp = NetworkHints::kRoutes, kEntries = StackConfig::kRoutes + kDhcp;

    bool empty() const { return entries_.empty(); }
    /// invalid: no network of that length, a router that cannot be one; exists; no_space.
    Result<> add(const RouteInfo& r) {
        if (!is_valid(r)) return fail(Error::invalid);
        usize configured = 0;
        for (const RouteInfo& e : entries_) {
            if (e.origin == r.origin && e.route.destination == r.route.destination &&
                e.route.prefix == r.route.prefix && e.metric == r.metric)
                return fail(Error::exists);
            configured += e.origin == r.origin;
        }
        if (configured == (r.origin == RouteInfo::Origin::dhcp ? kDhcp : StackConfig::kRoutes) ||
            !entries_.try_push_back(r))
            return fail(Error::no_space);
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
    /// In the place of those that DHCP gave before. The prefix and the gateway are the lease's.
    void set_dhcp(const NetworkHints* hints) {
        for (usize i = entries_.size(); i-- != 0;)
            if (entries_[i].origin == RouteInfo::Origin::dhcp) take_out(i);
        if (hints == nullptr) return;
        for (const ClasslessRoute& r : hints->routes) (void)add({r, 0, RouteInfo::Origin::dhcp});
    }
    /// The next hop to `to`: what beats our own network (`self`), or the default router. Nothing: no route says
    /// anything. A router that is not on the link is passed over: nobody could be asked where it is.
    std::optional<Ipv4Addr> next_hop(Ipv4Addr to, const Ipv4Config& self) const {
        const bool on_link = self.on_link(to);
        for (const RouteInfo& e : entries_) {
            if (on_link && e.route.prefix <= self.prefix) return std::nullopt;
            if (((e.route.destination.value ^ to.value) & mask(e.route.prefix)) != 0) continue;
            if (e.route.router.is_unspecified()) return to;
            if (e.route.router == self.address) continue;
            if (self.on_link(e.route.router) || e.route.router == self.gateway) return e.route.router;
        }
        return std::nullopt;
    }
    auto begin() const { return entries_.begin(); }
    auto end() const { return entries_.end(); }

private:
    static constexpr u32 mask(u8 prefix) { return prefix == 0 ? 0 : ~u32{0} << (32 - prefix); }
    static bool is_valid(const RouteInfo& r) {
        const Ipv4Addr to = r.route.destination, router = r.route.router;
        return r.route.prefix <= 32 && (to.value & ~mask(r.route.prefix)) == 0 && !to.is_multicast() &&
               !to.is_loopback() && !router.is_multicast() && !router.is_broadcast() && !router.is_loopback() &&
               (r.route.prefix != 0 || !router.is_unspecified());
    }
    static bool comes_before(const RouteInfo& a, const RouteInfo& b) {
        if (a.route.prefix != b.route.prefix) return a.route.prefix > b.route.prefix;
        return a.metric != b.metric ? a.metric < b.metric : a.origin < b.origin;
    }
    void take_out(usize at) {
        for (; at + 1 < entries_.size(); ++at) entries_[at] = entries_[at + 1];
        entries_.pop_back();
    }
    FixedVector<RouteInfo, kEntries> entries_;  // sorted: the first that fits is the best
};

}  // namespace ringlet::net
