// Our IPv6 addresses and what routers tell us: stateless autoconfiguration (RFC 4862) with stable opaque interface
// identifiers (RFC 7217), duplicate address detection, on-link prefixes and default routers (RFC 4861 §6.3), more
// specific routes and preferences (RFC 4191, a host of type C), MTU and DNS servers (RFC 8106), source address
// selection (RFC 6724). Every list is bounded and what does not fit is counted, so that a flood of advertisements costs
// nothing but itself. Sans-IO. Context: the network monitor.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "lib/bytes.hpp"
#include "lib/siphash.hpp"
#include "lib/time.hpp"
#include "net/config.hpp"
#include "net/headers.hpp"
#include "net/ndp.hpp"
#include "net/statistics.hpp"

namespace ringlet::net {

/// Do the first `length` (0..128) bits agree?
bool same_prefix(const IpAddr& a, const IpAddr& b, unsigned length);

class Slaac {
public:
    static constexpr usize kAddresses = 8, kPrefixes = 8, kDnsServers = 4;
    static constexpr usize kRouters = 4, kRoutes = 12;  ///< default routes; those and the more specific ones
    static constexpr int kSolicitations = 3;            ///< RFC 4861 §10
    static constexpr Duration kSolicitationInterval = Duration::from_s(4);
    static constexpr Duration kProbeTime = Duration::from_s(1);  ///< RFC 4862 §5.4: one probe, RetransTimer
    static constexpr u8 kIdRetries = 3;                          ///< RFC 7217 §6: IDGEN_RETRIES

    /// `stable`: the key of interface identifiers; `random`: of delays.
    Slaac(SipKey stable, SipKey random, Statistics& stats) : stable_(stable), random_(random), stats_(stats) {}

    struct Address {
        Ipv6AddressInfo info;
        bool automatic = false;  ///< made from a prefix: may be made again
        u8 conflicts = 0;        ///< RFC 7217's DAD_Counter
        bool probe = false;      ///< the probe is due or was sent
        Instant next{};          ///< tentative: when the probe is sent, then when it has succeeded
        Instant preferred_until = Instant::never();
    };

    /// Begins, or begins again after the link came back: link-local address, the fixed one if there is one, routers.
    void start(const MacAddr& mac, const Ipv6Config& fixed, Instant now);
    void stop();
    /// RFC 4861 §6.1.2's checks of the IPv6 header are the caller's: hop limit 255, a link-local source, code 0.
    void on_router_advertisement(const IpAddr& router, Bytes message, u16 link_mtu, Instant now);
    /// Somebody else has, or wants, `address` (RFC 4862 §5.4.3, §5.4.4). True: it was tentative, and is given up.
    bool on_duplicate(const IpAddr& address, Instant now);
    /// RFC 4861 §7.2.5: it advertises itself as a host now. All its routes go.
    void forget_router(const IpAddr& router);

    void poll(Instant now);
    Instant deadline() const { return deadline_; }
    struct Request {
        std::optional<IpAddr> probe;  ///< solicit this, from the unspecified address; nothing: solicit routers
    };
    std::optional<Request> next_request(Instant now);
    bool has_request() const { return requests_ != 0; }
    /// It could not be built: ask again.
    void unsent(const Request& r);

    bool is_ours(const IpAddr& a) const;  ///< usable, deprecated ones too
    bool is_tentative(const IpAddr& a) const;
    /// The best of our addresses to talk to `destination` (RFC 6724 §5); nothing when there is none.
    std::optional<IpAddr> source_for(const IpAddr& destination) const;
    /// Who is given a packet to the unicast address `destination`; nothing when there is no router.
    std::optional<IpAddr> next_hop(const IpAddr& destination, const Ndp& ndp, Instant now) const;
    /// The bits of `destination` that the reason for next_hop()'s answer names; nothing when there is none.
    std::optional<u8> route_length(const IpAddr& destination, const Ndp& ndp, Instant now) const;
    bool is_on_link(const IpAddr& a) const;
    bool is_router(const IpAddr& a) const;
    std::optional<IpAddr> link_local() const;
    std::span<Address> addresses() { return {addresses_.data(), address_count_}; }
    std::span<const Address> addresses() const { return {addresses_.data(), address_count_}; }
    void describe(Ipv6Info& to) const;
    u8 hop_limit() const { return hop_limit_; }
    u16 mtu(u16 link) const { return mtu_ != 0 && mtu_ < link ? mtu_ : link; }
    /// True once after addresses, routers or DNS servers changed.
    bool take_change() { return std::exchange(changed_, false); }

private:
    struct Prefix {
        IpAddr prefix;
        u8 length = 0;
        Instant until;
        bool fixed = false;  ///< by configuration: no router changes it
    };
    struct Route : Ipv6Route {
        bool fixed = false;
    };
    struct Dns {
        IpAddr address;
        Instant until;
        bool fixed = false;
    };
    void on_prefix(const PrefixOption& o, Instant now);
    void on_dns(Bytes option, Instant now);
    void on_route(Bytes option, const IpAddr& router, Instant now);
    /// Adds it, changes it, or with lifetime 0 removes it. `r.until` is not looked at.
    void set_route(const Ipv6Route& r, Duration lifetime, Instant now);
    std::span<Route> routes() { return {routes_.data(), route_count_}; }
    std::span<const Route> routes() const { return {routes_.data(), route_count_}; }
    /// The best to what is not on the link (RFC 4191 §3.2); nullptr: none.
    const Route* best_route(const IpAddr& destination, const Ndp& ndp, Instant now) const;
    void form_address(const IpAddr& prefix, Duration valid, Duration preferred, Instant now);
    void add_tentative(Address a, Instant now);
    IpAddr with_identifier(const IpAddr& prefix, u8 conflicts) const;
    Duration random_delay(Duration most);
    void schedule(Instant at) {
        if (at < deadline_) deadline_ = at;
    }

    SipKey stable_, random_;
    Statistics& stats_;
    MacAddr mac_;
    u64 counter_ = 0;
    std::array<Address, kAddresses> addresses_{};
    std::array<Prefix, kPrefixes> prefixes_{};
    std::array<Route, kRoutes> routes_{};
    std::array<Dns, kDnsServers> dns_{};
    usize address_count_ = 0, prefix_count_ = 0, route_count_ = 0, dns_count_ = 0;
    u32 requests_ = 0;  // probes due, and one for the solicitation
    bool solicit_ = false, changed_ = false;
    int solicitations_left_ = 0;
    Instant next_solicitation_ = Instant::never();
    Instant deadline_ = Instant::never();
    u16 mtu_ = 0;
    u8 hop_limit_ = 64;
};

}  // namespace ringlet::net
