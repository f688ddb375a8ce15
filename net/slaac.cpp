// RFC 4862 §5, RFC 4861 §6.3.4, RFC 4191 §3, RFC 8106 §5.3.1. Context: the network monitor.
#include "net/slaac.hpp"

#include <algorithm>

#include "net/headers.hpp"

namespace ringlet::net {
namespace {

using State = Ipv6AddressInfo::State;

constexpr u64 kLinkLocalPrefix = u64{0xfe80} << 48;
constexpr Duration kTwoHours = Duration::from_s(7200);

/// A lifetime on the wire: all ones mean for ever.
Duration lifetime(u32 seconds) {
    return seconds == ~u32{0} ? Duration{INT64_MAX} : Duration::from_s(seconds);
}
Instant ends(Instant now, Duration d) {
    return d.ns == INT64_MAX ? Instant::never() : now + d;
}

/// RFC 5453: identifiers that mean something else (the subnet router, reserved anycast, proxies).
bool is_reserved(u64 id) {
    return id == 0 || (id >= 0xfdff'ffff'ffff'ff80) || (id >> 24 == 0x02'005e'fffe);
}

/// Takes out what `gone` says, keeping the order; true when anything went.
template <class T, usize N, class F> bool remove_if(std::array<T, N>& list, usize& count, F gone) {
    const auto end = std::remove_if(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(count), gone);
    const auto left = static_cast<usize>(end - list.begin());
    return std::exchange(count, left) != left;
}

/// RFC 4191 §2.1: 01 high, 00 medium, 11 low; nothing for 10, which means medium in the header (§2.2) and makes an
/// option void (§2.3).
std::optional<i8> preference_of(u8 flags) {
    static constexpr std::optional<i8> kMeaning[] = {i8{0}, i8{1}, std::nullopt, i8{-1}};
    return kMeaning[flags >> 3 & 3];
}

IpAddr first_bits(const IpAddr& a, unsigned length) {
    const auto kept = [](unsigned bits) { return bits == 0 ? 0 : ~u64{0} << (64 - bits); };
    return IpAddr::of(a.high() & kept(std::min(length, 64u)), a.low() & kept(length > 64 ? length - 64 : 0));
}

template <class T, usize N> T* find(std::array<T, N>& list, usize count, const IpAddr& address) {
    for (usize i = 0; i < count; ++i)
        if (list[i].address == address) return &list[i];
    return nullptr;
}

}  // namespace

bool same_prefix(const IpAddr& a, const IpAddr& b, unsigned length) {
    const u64 high = a.high() ^ b.high(), low = a.low() ^ b.low();
    if (length >= 128) return (high | low) == 0;
    if (length > 64) return high == 0 && low >> (128 - length) == 0;
    return length == 0 || high >> (64 - length) == 0;
}

Duration Slaac::random_delay(Duration most) {
    return Duration{static_cast<i64>(siphash(random_, ++counter_, 1) % static_cast<u64>(most.ns))};
}

/// RFC 7217 §5: a function of the prefix, the interface, the conflicts so far and a secret.
IpAddr Slaac::with_identifier(const IpAddr& prefix, u8 conflicts) const {
    u64 mac = 0;
    for (const u8 octet : mac_.octets) mac = mac << 8 | octet;
    u64 id = 0;
    for (u64 i = 0; is_reserved(id); ++i) id = siphash(stable_, {prefix.high(), mac, i << 8 | conflicts});
    return IpAddr::of(prefix.high(), id);
}

void Slaac::start(const MacAddr& mac, const Ipv6Config& fixed, Instant now) {
    stop();
    mac_ = mac;
    const IpAddr link_local = IpAddr::of(kLinkLocalPrefix, 0);
    add_tentative({.info = {.address = with_identifier(link_local, 0), .prefix = 64}, .automatic = true}, now);
    if (!fixed.address.is_unspecified()) {
        add_tentative({.info = {.address = fixed.address, .prefix = fixed.prefix}}, now);
        prefixes_[prefix_count_++] = {fixed.address, fixed.prefix, Instant::never(), true};
        if (!fixed.gateway.is_unspecified()) routes_[route_count_++] = {{.router = fixed.gateway}, true};
    }
    for (const IpAddr& dns : fixed.dns)
        if (!dns.is_unspecified()) dns_[dns_count_++] = {dns, Instant::never(), true};
    solicitations_left_ = kSolicitations;
    next_solicitation_ = now + random_delay(Duration::from_s(1));
    schedule(next_solicitation_);
}

void Slaac::stop() {
    address_count_ = prefix_count_ = route_count_ = dns_count_ = 0;
    requests_ = 0;
    solicit_ = false;
    solicitations_left_ = 0;
    next_solicitation_ = deadline_ = Instant::never();
    mtu_ = 0;
    hop_limit_ = 64;
    changed_ = true;
}

void Slaac::add_tentative(Address a, Instant now) {
    if (address_count_ == kAddresses) {
        ++stats_.nd_too_many;
        return;
    }
    a.info.state = State::tentative;
    a.probe = false;
    a.next = now + random_delay(Duration::from_s(1));  // RFC 4862 §5.4.2
    schedule(a.next);
    addresses_[address_count_++] = a;
    changed_ = true;
}

// --- what routers say
// -------------------------------------------------------------------------------------------------

void Slaac::on_router_advertisement(const IpAddr& router, Bytes message, u16 link_mtu, Instant now) {
    const auto ra = read_at<RouterAdvertisement>(message, 0);
    if (!ra) return;
    solicitations_left_ = 0;  // RFC 4861 §6.3.7
    next_solicitation_ = Instant::never();
    if (std::exchange(solicit_, false)) --requests_;
    if (ra->hop_limit != 0) hop_limit_ = ra->hop_limit;
    // Before the options: a route of length 0 among them has the last word (RFC 4191 §3.1).
    set_route({.preference = preference_of(ra->flags).value_or(0), .router = router}, Duration::from_s(ra->lifetime),
              now);
    for (Bytes options = message.subspan(sizeof(RouterAdvertisement)); options.size() >= 8;) {
        const usize length = usize{static_cast<u8>(options[1])} * 8;
        if (length == 0 || length > options.size()) return;  // checked before; here for whoever calls
        const Bytes option = options.first(length);
        switch (static_cast<u8>(option[0])) {
        case nd_option::prefix:
            if (const auto prefix = read_at<PrefixOption>(option, 0); prefix && length == sizeof(*prefix))
                on_prefix(*prefix, now);
            break;
        case nd_option::mtu:
            if (const u32 mtu = *read_at<be32>(option, 4); length == 8 && mtu >= 1280 && mtu <= link_mtu)
                mtu_ = static_cast<u16>(mtu);
            break;
        case nd_option::route:
            on_route(option, router, now);
            break;
        case nd_option::dns:
            on_dns(option, now);
            break;
        default:
            break;
        }
        options = options.subspan(length);
    }
}

/// RFC 4191 §2.3, §3.1.
void Slaac::on_route(Bytes option, const IpAddr& router, Instant now) {
    const auto o = *read_at<RouteOption>(option, 0);
    const Bytes bits = option.subspan(sizeof(RouteOption));
    const auto preference = preference_of(o.flags);
    if (!preference || o.prefix_length > 128 || bits.size() > 16 || o.prefix_length > bits.size() * 8) return;
    std::array<std::byte, 16> padded{};
    std::ranges::copy(bits, padded.begin());
    const IpAddr prefix = first_bits(IpAddr::from(padded), o.prefix_length);
    // Nobody routes what is the link's, a group's or another protocol's.
    if (prefix.is_link_local() || prefix.is_multicast() || prefix.is_ipv4()) return;
    set_route({prefix, o.prefix_length, *preference, router}, lifetime(o.lifetime), now);
}

void Slaac::set_route(const Ipv6Route& r, Duration valid, Instant now) {
    const auto same = [&](const Route& x) {
        return x.router == r.router && x.length == r.length && x.prefix == r.prefix;
    };
    if (valid.ns == 0) {
        changed_ |= remove_if(routes_, route_count_, [&](const Route& x) { return same(x) && !x.fixed; });
        return;
    }
    Route* known = nullptr;
    usize defaults = 0;
    for (Route& x : routes()) {
        if (same(x)) known = &x;
        defaults += x.length == 0;
    }
    if (known == nullptr) {
        const bool full = r.length == 0 ? defaults == kRouters : route_count_ - defaults == kRoutes - kRouters;
        if (full) {
            ++stats_.nd_too_many;
            return;
        }
        known = &routes_[route_count_++];
        *known = {r};
        changed_ = true;
    }
    known->preference = r.preference;
    if (!known->fixed) schedule(known->until = ends(now, valid));
}

void Slaac::forget_router(const IpAddr& router) {
    changed_ |= remove_if(routes_, route_count_, [&](const Route& r) { return r.router == router; });
}

void Slaac::on_prefix(const PrefixOption& o, Instant now) {
    const IpAddr prefix = IpAddr::from(o.prefix);
    if (o.prefix_length > 128 || prefix.is_link_local() || prefix.is_multicast() || prefix.is_ipv4()) return;
    const Duration valid = lifetime(o.valid), preferred = lifetime(o.preferred);
    if ((o.flags & PrefixOption::kOnLink) != 0) {  // RFC 4861 §6.3.4
        Prefix* known = nullptr;
        for (usize i = 0; i < prefix_count_; ++i)
            if (prefixes_[i].length == o.prefix_length && same_prefix(prefixes_[i].prefix, prefix, o.prefix_length))
                known = &prefixes_[i];
        if (known == nullptr && valid.ns != 0) {
            if (prefix_count_ == kPrefixes)
                ++stats_.nd_too_many;
            else
                *(known = &prefixes_[prefix_count_++]) = {prefix, o.prefix_length, now};
        }
        if (known != nullptr && !known->fixed) schedule(known->until = ends(now, valid));
    }
    if ((o.flags & PrefixOption::kAutonomous) != 0 && preferred <= valid && o.prefix_length == 64)
        form_address(prefix, valid, preferred, now);
}

/// RFC 4862 §5.5.3 d) and e).
void Slaac::form_address(const IpAddr& prefix, Duration valid, Duration preferred, Instant now) {
    for (Address& a : addresses()) {
        if (!a.automatic || a.info.address.is_link_local() || !same_prefix(a.info.address, prefix, 64)) continue;
        const Duration left = a.info.valid_until.is_never() ? Duration{INT64_MAX} : a.info.valid_until - now;
        // Unauthenticated advertisements cannot take an address away in less than two hours.
        if (valid > kTwoHours || valid > left)
            a.info.valid_until = ends(now, valid);
        else if (left > kTwoHours)
            a.info.valid_until = now + kTwoHours;
        a.preferred_until = ends(now, preferred);
        schedule(std::min(a.info.valid_until, a.preferred_until));
        if (a.info.state == State::deprecated && preferred.ns != 0) a.info.state = State::preferred;
        return;
    }
    if (valid.ns == 0) return;
    const Instant until = ends(now, preferred);
    schedule(std::min(ends(now, valid), until));
    add_tentative({.info = {.address = with_identifier(prefix, 0), .prefix = 64, .valid_until = ends(now, valid)},
                   .automatic = true,
                   .preferred_until = until},
                  now);
}

/// RFC 8106 §5.1.
void Slaac::on_dns(Bytes option, Instant now) {
    if (option.size() < 24 || (option.size() - 8) % 16 != 0) return;
    const Duration valid = lifetime(*read_at<be32>(option, 4));
    for (Bytes rest = option.subspan(8); !rest.empty(); rest = rest.subspan(16)) {
        const IpAddr address = IpAddr::from(rest.first<16>());
        if (address.is_multicast() || address.is_unspecified() || address.is_ipv4()) continue;
        Dns* known = find(dns_, dns_count_, address);
        if (known == nullptr && valid.ns != 0) {
            if (dns_count_ == kDnsServers) {
                ++stats_.nd_too_many;
                continue;
            }
            known = &dns_[dns_count_++];
            *known = {address, now};
            changed_ = true;
        }
        if (known != nullptr && !known->fixed) schedule(known->until = ends(now, valid));
    }
}

// --- duplicates and time
// ----------------------------------------------------------------------------------------------

bool Slaac::on_duplicate(const IpAddr& address, Instant now) {
    for (Address& a : addresses()) {
        if (a.info.address != address || a.info.state != State::tentative) continue;
        ++stats_.nd_duplicates;
        changed_ = true;
        if (a.probe && a.next.is_never()) --requests_;  // it was about to be sent
        if (a.automatic && a.conflicts < kIdRetries) {  // RFC 7217 §6: another one
            Address again = a;
            ++again.conflicts;
            again.info.address = with_identifier(address, again.conflicts);
            a = addresses_[--address_count_];
            add_tentative(again, now);
        } else {
            a.info.state = State::duplicate;
        }
        return true;
    }
    return false;
}

void Slaac::poll(Instant now) {
    if (now < deadline_) return;
    deadline_ = Instant::never();
    for (Address& a : addresses()) {
        if (a.info.state == State::tentative && now >= a.next) {
            if (!a.probe) {
                a.probe = true;
                a.next = Instant::never();  // until the probe is out
                ++requests_;
            } else {
                a.info.state = now >= a.preferred_until ? State::deprecated : State::preferred;
                changed_ = true;
            }
        }
        if (a.info.state == State::tentative) schedule(a.next);
        if (a.info.state == State::preferred && now >= a.preferred_until) a.info.state = State::deprecated;
        if (a.info.state == State::preferred) schedule(a.preferred_until);
        schedule(a.info.valid_until);
    }
    const auto expired = [now](const auto& x) { return now >= x.until; };
    changed_ |= remove_if(addresses_, address_count_, [&](const Address& a) {
        const bool gone = now >= a.info.valid_until;
        if (gone && a.probe && a.info.state == State::tentative && a.next.is_never()) --requests_;
        return gone;
    });
    changed_ |= remove_if(prefixes_, prefix_count_, expired);
    changed_ |= remove_if(routes_, route_count_, expired);
    changed_ |= remove_if(dns_, dns_count_, expired);
    for (usize i = 0; i < prefix_count_; ++i) schedule(prefixes_[i].until);
    for (const Route& r : routes()) schedule(r.until);
    for (usize i = 0; i < dns_count_; ++i) schedule(dns_[i].until);
    if (now >= next_solicitation_) {
        if (!std::exchange(solicit_, true)) ++requests_;
        next_solicitation_ = --solicitations_left_ > 0 ? now + kSolicitationInterval : Instant::never();
    }
    schedule(next_solicitation_);
}

std::optional<Slaac::Request> Slaac::next_request(Instant now) {
    if (requests_ == 0) return std::nullopt;
    for (Address& a : addresses()) {
        if (!a.probe || a.info.state != State::tentative || !a.next.is_never()) continue;
        --requests_;
        a.next = now + kProbeTime;
        schedule(a.next);
        return Request{a.info.address};
    }
    --requests_;
    solicit_ = false;
    return Request{};
}

void Slaac::unsent(const Request& r) {
    if (!r.probe) {
        solicit_ = true;
        ++requests_;
        return;
    }
    for (Address& a : addresses()) {
        if (a.info.address != *r.probe || a.info.state != State::tentative) continue;
        a.next = Instant::never();
        ++requests_;
    }
}

// --- questions
// --------------------------------------------------------------------------------------------------------

bool Slaac::is_ours(const IpAddr& address) const {
    for (const Address& a : addresses())
        if (a.info.address == address) return a.info.state == State::preferred || a.info.state == State::deprecated;
    return false;
}

bool Slaac::is_tentative(const IpAddr& address) const {
    for (const Address& a : addresses())
        if (a.info.address == address) return a.info.state == State::tentative;
    return false;
}

std::optional<IpAddr> Slaac::link_local() const {
    for (const Address& a : addresses())
        if (a.info.address.is_link_local() && is_ours(a.info.address)) return a.info.address;
    return std::nullopt;
}

bool Slaac::is_on_link(const IpAddr& address) const {
    if (address.is_link_local()) return true;
    for (usize i = 0; i < prefix_count_; ++i)
        if (same_prefix(prefixes_[i].prefix, address, prefixes_[i].length)) return true;
    return false;
}

bool Slaac::is_router(const IpAddr& address) const {
    return std::ranges::any_of(routes(), [&](const Route& r) { return r.router == address; });
}

std::optional<u8> Slaac::route_length(const IpAddr& destination, const Ndp& ndp, Instant now) const {
    std::optional<u8> longest;
    for (usize i = 0; i < prefix_count_; ++i) {
        const Prefix& p = prefixes_[i];
        if (same_prefix(p.prefix, destination, p.length) && p.length >= longest.value_or(0)) longest = p.length;
    }
    if (longest) return longest;
    const Route* r = best_route(destination, ndp, now);
    return r == nullptr ? std::nullopt : std::optional(r->length);
}

std::optional<IpAddr> Slaac::next_hop(const IpAddr& destination, const Ndp& ndp, Instant now) const {
    if (is_on_link(destination)) return destination;
    const Route* r = best_route(destination, ndp, now);
    return r == nullptr ? std::nullopt : std::optional(r->router);
}

/// A router that is not known to be dead, then the longest prefix, then the preference; of equals the first.
const Slaac::Route* Slaac::best_route(const IpAddr& destination, const Ndp& ndp, Instant now) const {
    const Route* best = nullptr;
    const auto value = [&](const Route& r) {
        return (ndp.is_unreachable(r.router, now) ? 0 : 1024) + r.length * 4 + r.preference;
    };
    for (const Route& r : routes())
        if (same_prefix(r.prefix, destination, r.length) && (best == nullptr || value(r) > value(*best))) best = &r;
    return best;
}

namespace {

/// RFC 6724 §2.1 and §3.1, as far as our own addresses go.
int scope_of(const IpAddr& a) {
    if (a.is_multicast()) return static_cast<int>(a.high() >> 48 & 0xf);
    return a.is_link_local() || a.is_loopback() ? 2 : 14;
}
int label_of(const IpAddr& a) {
    if (a.is_loopback()) return 0;
    if (a.high() >> 57 == 0xfc >> 1) return 13;   // fc00::/7
    if (a.high() >> 48 == 0x2002) return 2;       // 6to4
    if (a.high() >> 32 == 0x2001'0000) return 5;  // Teredo
    return 1;
}
int common_bits(const IpAddr& a, const IpAddr& b) {
    const u64 high = a.high() ^ b.high(), low = a.low() ^ b.low();
    return high != 0 ? std::countl_zero(high) : 64 + std::countl_zero(low);
}

}  // namespace

std::optional<IpAddr> Slaac::source_for(const IpAddr& destination) const {
    const Address* best = nullptr;
    // §5, pairwise: rules 1, 2, 3, 6 and 8. Ours have no home and no temporary addresses, and one interface.
    const auto better = [&](const Address& a, const Address& b) {
        const IpAddr &x = a.info.address, &y = b.info.address;
        if ((x == destination) != (y == destination)) return x == destination;
        const int sx = scope_of(x), sy = scope_of(y), sd = scope_of(destination);
        if (sx != sy) return sx < sy ? sx >= sd : sy < sd;
        if (a.info.state != b.info.state) return a.info.state == State::preferred;
        const int ld = label_of(destination);
        if ((label_of(x) == ld) != (label_of(y) == ld)) return label_of(x) == ld;
        const int cx = std::min<int>(common_bits(x, destination), a.info.prefix);
        return cx > std::min<int>(common_bits(y, destination), b.info.prefix);
    };
    for (const Address& a : addresses()) {
        if (a.info.state != State::preferred && a.info.state != State::deprecated) continue;
        if (best == nullptr || better(a, *best)) best = &a;
    }
    // A link-local address cannot be answered from beyond the link.
    if (best == nullptr || scope_of(best->info.address) < std::min(scope_of(destination), 14)) return std::nullopt;
    return best->info.address;
}

void Slaac::describe(Ipv6Info& to) const {
    to.addresses_used = std::min(address_count_, to.addresses.size());
    for (usize i = 0; i < to.addresses_used; ++i) to.addresses[i] = addresses_[i].info;
    to.routes_used = std::min(route_count_, to.routes.size());
    for (usize i = 0; i < to.routes_used; ++i) to.routes[i] = routes_[i];
    to.dns_used = std::min(dns_count_, to.dns.size());
    for (usize i = 0; i < to.dns_used; ++i) to.dns[i] = dns_[i].address;
}

}  // namespace ringlet::net
