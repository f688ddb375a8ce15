// The stack's configuration, timers and information. Context: the network monitor.
#include "net/stack.hpp"

namespace ringlet::net {
namespace {

SipKey key_from(const std::array<u8, 16>& secret) {
    SipKey key;
    std::memcpy(&key.k0, secret.data(), 8);
    std::memcpy(&key.k1, secret.data() + 8, 8);
    return key;
}

/// Independent keys for the parts, so that what one reveals says nothing about another.
SipKey derive(SipKey key, u64 purpose) {
    return {siphash(key, purpose, 0), siphash(key, purpose, 1)};
}

/// What all links offer, and the narrowest's MTU.
InterfaceConfig common(InterfaceConfig c, std::span<const InterfaceConfig> more) {
    for (const InterfaceConfig& m : more) {
        c.mtu = std::min(c.mtu, m.mtu);
        Offloads& o = c.offloads;
        o.tx_checksum &= m.offloads.tx_checksum;
        o.tso4 &= m.offloads.tso4;
        o.tso6 &= m.offloads.tso6;
        o.max_gso_bytes = std::min(o.max_gso_bytes, m.offloads.max_gso_bytes);
        o.max_fragments = std::min(o.max_fragments, m.offloads.max_fragments);
    }
    return c;
}

tcp::Config tcp_config(tcp::Config t, const InterfaceConfig& c, SipKey key) {
    const SipKey k = derive(key, 1);
    std::memcpy(t.secret.data(), &k.k0, 8);
    std::memcpy(t.secret.data() + 8, &k.k1, 8);
    t.mss = static_cast<u16>(c.mtu - 40);
    const Offloads& o = c.offloads;
    t.tx_checksum_offload = o.tx_checksum;
    // A header, and payload that begins and ends anywhere in buffers of its own.
    const u32 scattered = o.max_fragments > 2 ? (o.max_fragments - 2u) * u32{PacketBuffer::kSize} : 0;
    if (o.tx_checksum) t.fragments = o.max_fragments;
    const u32 largest = std::min({o.max_gso_bytes, 0xffffu, scattered});
    if (o.tx_checksum && o.tso4) t.gso_bytes = largest;
    if (o.tx_checksum && o.tso6) t.gso_bytes6 = largest;
    return t;
}

/// What a link may say about itself without breaking our arithmetic: the frame must fit a packet behind its headroom.
template <class C> C sanitized(C c) {
    constexpr u16 kLargest = PacketBuffer::kSize - PacketBuffer::kHeadroom;
    if (c.mtu > kLargest) c.mtu = kLargest;
    if (c.mtu < 576) c.mtu = 576;
    return c;
}

bool is_usable(const Ipv4Config& c) {
    const Ipv4Addr a = c.address;
    return c.prefix <= 32 && !a.is_unspecified() && !a.is_loopback() && a.value >> 28 < 0xe &&
           !c.is_subnet_broadcast(a) && !(c.prefix < 31 && (a.value & ~c.mask().value) == 0);
}

}  // namespace

Stack::Stack(const StackConfig& config, PacketPool& pool, std::span<const InterfaceConfig> more)
    : config_(config), pool_(pool), key_(key_from(config.secret)),
      udp_(config.max_udp_sockets, derive(key_, 3), pool, stats_),
      tcp_(tcp_config(config.tcp, sanitized(common(config, more)), key_), pool), pings_(derive(key_, 4), stats_),
      reassembly_(pool, stats_), fragment_id_(static_cast<u16>(siphash(derive(key_, 6), 0, 0))),
      first_(0, sanitized<InterfaceConfig>(config), config.hostname, derive(key_, 2), derive(key_, 5), stats_),
      interfaces_(first_), out_(&first_) {
    make_ipv6(first_);
    for (const InterfaceConfig& c : more) {
        const auto number = static_cast<u8>(interfaces_.count());
        if (interfaces_.is_full()) break;
        auto* i = new (std::nothrow) Interface(number, sanitized(c), config.hostname, derive(key_, 2 + 8 * number),
                                               derive(key_, 5 + 8 * number), stats_);
        if (i == nullptr) break;
        interfaces_.add(*i);
        make_ipv6(*i);
    }
    for (const RouteInfo& r : config_.routes) (void)add_route(r);
}

void Stack::make_ipv6(Interface& i) {
    if (i.config.ipv6 == nullptr) return;
    i.ipv6.reset(i.config.ipv6({.config = i.config,
                                .index = i.index,
                                .interfaces = interfaces_,
                                .pool = pool_,
                                .stats = stats_,
                                .udp = udp_,
                                .tcp = tcp_,
                                .pings = pings_,
                                .reassembly = reassembly_,
                                .loopback = loopback_,
                                .key = derive(key_, 7 + 8 * i.index),
                                .changed = changed_}));
}

void Stack::start(Instant now) {
    for (Interface* i : interfaces_) start(*i, now);
}

void Stack::start(Interface& i, Instant now) {
    stirred_ = true;
    if (i.ipv6 && i.config.addressing != Addressing::none) i.ipv6->start(now);
    switch (i.config.addressing) {
    case Addressing::none:
        break;
    case Addressing::fixed:
        use_fixed(i, now);
        break;
    case Addressing::dhcp_then_fixed:
        i.fixed_at = now + config_.dhcp_patience;
        [[fallthrough]];
    case Addressing::dhcp:
        i.dhcp.start(now);
        break;
    }
}

Result<> Stack::configure(Addressing addressing, const Ipv4Config& fixed, Instant now, u8 interface) {
    const bool uses_fixed = addressing == Addressing::fixed || addressing == Addressing::dhcp_then_fixed;
    if (interface >= interfaces_.count() || (uses_fixed && !is_usable(fixed))) return fail(Error::invalid);
    Interface& i = interfaces_[interface];
    i.dhcp.stop();
    (void)i.dhcp.take_change();
    leave_fixed(i);
    use_mtu(i, 0);
    i.config.addressing = addressing;
    i.config.fixed = fixed;
    if (addressing != Addressing::fixed) apply(i, {}, now);
    if (i.ipv6) i.ipv6->stop();
    start(i, now);
    return {};
}

void Stack::apply(Interface& i, const Ipv4Config& next, Instant tell_at) {
    stirred_ = true;
    const bool moved = i.ipv4.address != next.address || i.ipv4.prefix != next.prefix;
    forget_route();
    i.ipv4 = next;
    routes_.set_interface(i.index, next, i.dhcp.lease() ? &i.dhcp.lease()->hints : nullptr);
    changed_ = true;
    if (!moved) return;
    i.arp.address_changed(i.ipv4, tell_at);
    paths_.clear();
}

/// Is `address` free? An address that another interface of ours has is taken: it could not say which one is meant.
Arp::Probe Stack::probe(Interface& i, Ipv4Addr address, Instant now) {
    const Interface* other = interfaces_.owner(address);
    if (other != nullptr && other != &i) return Arp::Probe::taken;
    if (config_.probe_interval.ns <= 0) return Arp::Probe::free;
    return i.arp.probe(address, config_.probe_interval, now);
}

/// `told`: what the network says packets may be; 0: nothing.
void Stack::use_mtu(Interface& i, u16 told) {
    i.path_mtu = told == 0 ? i.config.mtu : std::min(told, i.config.mtu);
    u16 narrowest = i.path_mtu;
    for (const Interface* other : interfaces_) narrowest = std::min(narrowest, other->path_mtu);
    tcp_.set_mss(static_cast<u16>(narrowest - 40));
}

/// The fixed address is used at once, while it is asked whether it is free, and told to everybody when it is: a server
/// is there when it has booted, and yet a mistake does no more harm than an answer to who asks for us (docs/ip.md). One
/// that was taken before is used only when it is free.
void Stack::use_fixed(Interface& i, Instant now) {
    i.fixed_at = Instant::never();
    const Ipv4Config& fixed = i.config.fixed;
    if (!is_usable(fixed)) return;
    i.fallback = i.config.addressing == Addressing::dhcp_then_fixed;
    i.probing_fixed = true;
    i.arp.end_probe();
    const bool ours = interfaces_.owner(fixed.address) != nullptr && !i.has(fixed.address);
    if (!i.fixed_refused && !ours) apply(i, fixed, config_.probe_interval.ns <= 0 ? now : Instant::never());
    drive_fixed(i, now);
}

void Stack::drive_fixed(Interface& i, Instant now) {
    const auto answer = probe(i, i.config.fixed.address, now);
    if (answer == Arp::Probe::asking) return;
    i.arp.end_probe();
    i.probing_fixed = false;
    changed_ = true;
    if (answer == Arp::Probe::taken) {
        ++stats_.arp_refused;
        i.fixed_refused = true;
        i.fallback = false;
        apply(i, {}, now);
        i.fixed_at = now + kAskAgain;
        return;
    }
    i.fixed_refused = false;
    if (i.ipv4 != i.config.fixed)
        apply(i, i.config.fixed, now);
    else if (config_.probe_interval.ns > 0)
        i.arp.announce(i.ipv4, now);
}

/// Another address takes its place.
void Stack::leave_fixed(Interface& i) {
    if (i.probing_fixed) i.arp.end_probe();
    i.probing_fixed = i.fixed_refused = i.fallback = false;
    i.fixed_at = Instant::never();
}

/// Timers, and the question whether an acknowledged address is free.
void Stack::drive_dhcp(Interface& i, Instant now) {
    i.dhcp.poll(now);
    if (const auto address = i.dhcp.address_to_probe()) [[unlikely]] {
        i.probing_fixed = false;  // one question at a time, and this address is the better one
        const auto answer = probe(i, *address, now);
        if (answer != Arp::Probe::asking) {
            i.arp.end_probe();
            i.dhcp.probed(answer == Arp::Probe::free, now);
        }
    }
    if (i.dhcp.take_change()) addressing_changed(i, now);
}

/// DHCP's lease came, changed or went.
void Stack::addressing_changed(Interface& i, Instant now) {
    if (i.dhcp.lease()) {
        leave_fixed(i);
        apply(i, i.dhcp.lease()->ipv4, now);
        use_mtu(i, i.dhcp.lease()->hints.mtu);
        return;
    }
    use_mtu(i, 0);
    apply(i, {}, now);
    if (i.config.addressing == Addressing::dhcp_then_fixed) i.fixed_at = now + config_.dhcp_patience;
}

/// A lease is kept: it is renewed, or lost, under the new address.
[[gnu::cold]] void Stack::mac_changed(Interface& i, const MacAddr& mac, Instant now) {
    stirred_ = true;
    i.config.mac = mac;
    forget_route();
    i.arp.set_mac(mac);
    i.dhcp.set_mac(mac);
    i.arp.announce(i.ipv4, now);
    if (i.ipv6) i.ipv6->restart(now);
}

void Stack::announce(Instant now, u8 interface) {
    stirred_ = true;
    Interface& i = interfaces_[interface];
    i.arp.announce(i.ipv4, now);
    if (i.ipv6) i.ipv6->announce(now);
}

void Stack::carrier_changed(Interface& i, bool up, Instant now) {
    stirred_ = true;
    forget_route();
    i.carrier = up;
    tcp_.set_link(up, now, i.index);
    if (!up) return i.frames.clear();
    if (i.ipv4 == i.config.fixed || i.fixed_refused) use_fixed(i, now);  // another network perhaps: is it somebody's?
    i.arp.address_changed(i.ipv4, i.probing_fixed ? Instant::never() : now);
    paths_.clear();
    i.groups.restart(now);
    if (i.ipv6) i.ipv6->restart(now);
    i.dhcp.reconfirm(now);
    if (i.dhcp.take_change()) addressing_changed(i, now);
}

void Stack::poll_others(Instant now) {
    stirred_ = true;
    for (Interface* i : interfaces_) {
        i->arp.poll(now);
        drive_dhcp(*i, now);
        if (now >= i->fixed_at) use_fixed(*i, now);
        if (i->probing_fixed) [[unlikely]]
            drive_fixed(*i, now);
        i->groups.poll(now);
        if (i->ipv6) i->ipv6->poll(now);
    }
    if (now < reassembly_.deadline()) return;
    reassembly_.poll(now, [&](PacketBuffer first) {
        if (u8(first.data()[0]) >> 4 == 4)
            send_icmp_error(std::move(first), IcmpHeader::kTimeExceeded, 1, Origin::wire, now);
        else if (Interface* i = interfaces_.owner(IpAddr::from(read_at<Ipv6Header>(first.data(), 0)->destination)))
            i->ipv6->reassembly_expired(std::move(first), now);
    });
}

Instant Stack::others_deadline() const {
    Instant due = reassembly_.deadline();
    for (const Interface* i : interfaces_)
        due = std::min({due, i->arp.deadline(), i->dhcp.deadline(), i->fixed_at, i->groups.deadline(),
                        i->ipv6 ? i->ipv6->deadline() : Instant::never()});
    return due;
}

bool Stack::has_address(const IpAddr& a) const {
    if (a.is_ipv4()) return is_ours(a.ipv4());
    if (a.is_loopback()) return true;
    for (u8 i = 0; i < interface_count(); ++i)
        if (interfaces_[i].has(a)) return true;
    return false;
}

Result<tcp::Handle> Stack::connect(Endpoint remote, Instant now, u16 local_port) {
    const u16 scope = std::exchange(remote.scope, u16{0});  // from here on the local address says it
    if (!remote.address.is_ipv4()) {
        const Interface* i = route6(remote.address, {}, scope, now);
        const auto source = i != nullptr ? i->ipv6->source_for(remote.address, now) : std::nullopt;
        if (!source || remote.address.is_multicast()) return fail(Error::unreachable);
        return tcp_.connect({*source, local_port, 0}, remote, now, i->index);
    }
    const Ipv4Addr to = remote.address.ipv4();
    const auto r = route(to, {}, scope);
    if (!r || to.is_broadcast() || to.is_multicast() || r->by->ipv4.is_subnet_broadcast(to))
        return fail(Error::unreachable);
    return tcp_.connect({r->source, local_port, 0}, remote, now, r->by->index);
}

Result<> Stack::send_to(UdpHandle h, Endpoint to, Bytes payload, Instant now) {
    if (to.port == 0) to = TRY(udp_.remote(h));
    const IpAddr local = TRY(udp_.local(h)).address;
    if (local != IpAddr{} && local.is_ipv4() != to.address.is_ipv4()) return fail(Error::invalid);
    Udp::Layout layout;
    if (to.address.is_ipv4()) {
        const auto r = route(to.address.ipv4(), local == IpAddr{} ? Ipv4Addr{} : local.ipv4(), to.scope);
        if (!r) return fail(Error::unreachable);
        if (!r->local) layout = Udp::Layout::of(path_mtu(*r->by, to.address.ipv4(), now), sizeof(Ipv4Header));
    } else {
        const Interface* i = route6(to.address, local, to.scope, now);
        if (i == nullptr || !i->ipv6->source_for(to.address, now)) return fail(Error::unreachable);
        if (!i->ipv6->is_ours(to.address))
            layout =
                Udp::Layout::of(i->ipv6->path_mtu(to.address, now), sizeof(Ipv6Header), sizeof(Ipv6FragmentHeader));
    }
    return udp_.send_to(h, to, payload, layout);
}

Result<u32> Stack::ping(const IpAddr& to, u16 bytes, Instant now, u16 scope) {
    stirred_ = true;
    usize room;
    if (to.is_ipv4()) {
        const auto r = route(to.ipv4(), {}, scope);
        if (!r) return fail(Error::unreachable);
        room = r->by->path_mtu - sizeof(Ipv4Header);
    } else {
        const Interface* i = route6(to, {}, scope, now);
        if (i == nullptr || !i->ipv6->source_for(to, now)) return fail(Error::unreachable);
        room = i->ipv6->path_mtu(to, now) - sizeof(Ipv6Header);
    }
    if (bytes > room - sizeof(IcmpHeader)) return fail(Error::too_large);
    return pings_.start(to, bytes, scope);
}

Result<> Stack::join(const IpAddr& group, Instant now) {
    stirred_ = true;
    if (!group.is_multicast()) return fail(Error::invalid);
    bool any = false;
    for (Interface* i : interfaces_) {
        if (!group.is_ipv4() && !i->ipv6) continue;
        any = true;
        if (group.is_ipv4() ? i->groups.join(group, now) : i->ipv6->join(group, now)) continue;
        for (Interface* joined : interfaces_) {
            if (joined == i) return fail(Error::no_space);
            leave(*joined, group, now);
        }
    }
    return any ? Result<>{} : fail(Error::unreachable);
}

void Stack::leave(Interface& i, const IpAddr& group, Instant now) {
    if (group.is_ipv4())
        i.groups.leave(group, now);
    else if (i.ipv6)
        i.ipv6->leave(group, now);
}

void Stack::leave(const IpAddr& group, Instant now) {
    stirred_ = true;
    for (Interface* i : interfaces_) leave(*i, group, now);
}

Result<> Stack::join(UdpHandle h, const IpAddr& group, Instant now) {
    TRY(udp_.join(h, group));
    const auto joined = join(group, now);
    if (!joined) (void)udp_.leave(h, group);
    return joined;
}

Result<> Stack::leave(UdpHandle h, const IpAddr& group, Instant now) {
    TRY(udp_.leave(h, group));
    leave(group, now);
    return {};
}

void Stack::close(UdpHandle h, Instant now) {
    while (const auto group = udp_.leave_one(h)) leave(*group, now);
    udp_.close(h);
}

void Stack::for_each_neighbour(FunctionRef<void(const NeighbourInfo&)> visit) const {
    for (const Interface* i : interfaces_) {
        const auto name = [&](const NeighbourInfo& n) {
            NeighbourInfo named = n;
            named.interface = i->index;
            visit(named);
        };
        i->arp.for_each(name);
        if (i->ipv6) i->ipv6->for_each_neighbour(name);
    }
}

std::string_view to_string(Ipv6AddressInfo::State s) {
    constexpr std::string_view kNames[] = {"tentative", "preferred", "deprecated", "duplicate"};
    return kNames[static_cast<usize>(s)];
}

InterfaceInfo Stack::interface(u8 interface) const {
    InterfaceInfo to;
    const Interface& i = interfaces_[interface];
    to.mac = i.config.mac;
    to.mtu = i.path_mtu;
    to.carrier = i.carrier;
    to.offloads = i.config.offloads;
    to.ipv4 = i.ipv4;
    to.dhcp = i.dhcp.state();
    to.fallback = i.fallback;
    to.conflict = i.arp.conflict();
    to.refused = i.fixed_refused;
    to.frames_in = i.frames_in;
    to.frames_out = i.frames_out;
    if (i.dhcp.lease()) {
        to.dhcp_server = i.dhcp.lease()->server;
        to.lease_end = i.dhcp.lease()->ends_at;
        to.hints = i.dhcp.lease()->hints;
    }
    if (i.ipv6) i.ipv6->describe(to);
    return to;
}

const Ipv4Config* Stack::any_ipv4() const {
    for (const Interface* i : interfaces_)
        if (!i->ipv4.address.is_unspecified()) return &i->ipv4;
    return nullptr;
}

bool Stack::is_configuring() const {
    bool asks = false;
    for (const Interface* i : interfaces_) asks |= i->dhcp.state() != DhcpState::off && i->carrier;
    return asks && any_ipv4() == nullptr && !sources().ipv6;
}

Stack::Sources Stack::sources() const {
    const NameSettings& names = config_.names;
    Sources s{names.dns, names.ntp, names.search, names.hosts};
    const auto learn = [](bool wanted, auto& to, const auto& servers) {
        for (const Ipv4Addr a : servers)
            if (wanted && !a.is_unspecified()) to.try_push_back(a);
    };
    for (const Interface* i : interfaces_) {
        const NetworkHints* hints = i->dhcp.lease() ? &i->dhcp.lease()->hints : nullptr;
        if (hints != nullptr && !hints->dns.empty())
            learn(names.dns.empty(), s.dns, hints->dns);
        else
            learn(names.dns.empty(), s.dns, i->ipv4.dns);
        if (hints == nullptr) continue;
        learn(names.ntp.empty(), s.ntp, hints->ntp);
        if (s.search.empty()) s.search = hints->search.view();
    }
    for (const Interface* i : interfaces_) {
        InterfaceInfo six;
        if (i->ipv6) i->ipv6->describe(six);
        for (usize n = 0; n < six.ipv6.dns_used && names.dns.empty(); ++n) s.dns.try_push_back(six.ipv6.dns[n]);
        for (usize n = 0; n < six.ipv6.addresses_used; ++n) {
            const Ipv6AddressInfo& a = six.ipv6.addresses[n];
            s.ipv6 |= a.state == Ipv6AddressInfo::State::preferred && !a.address.is_link_local();
        }
    }
    return s;
}

usize Stack::packets_held() const {
    usize n = udp_.packets_held() + tcp_.buffers_held() + replies_.buffers() + loopback_.buffers() +
              reassembly_.packets_held() + pool_.orphans();
    for (const Interface* i : interfaces_)
        n += i->arp.packets_held() + i->frames.buffers() + (i->ipv6 ? i->ipv6->packets_held() : 0);
    return n;
}

}  // namespace ringlet::net
