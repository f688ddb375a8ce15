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

tcp::Config tcp_config(const StackConfig& c, SipKey key) {
    tcp::Config t = c.tcp;
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
StackConfig sanitized(StackConfig c) {
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

Stack::Stack(const StackConfig& config, PacketPool& pool)
    : config_(sanitized(config)), pool_(pool), key_(key_from(config.secret)), arp_(config.mac, stats_),
      dhcp_(config.mac, config.hostname, derive(key_, 2), stats_),
      udp_(config.max_udp_sockets, derive(key_, 3), pool, stats_), tcp_(tcp_config(config_, key_), pool),
      pings_(derive(key_, 4), stats_), reassembly_(pool, stats_), groups_(derive(key_, 5)),
      fragment_id_(static_cast<u16>(siphash(derive(key_, 6), 0, 0))), path_mtu_(config_.mtu) {
    for (const RouteInfo& r : config_.routes) (void)routes_.add(r);
    if (config_.ipv6 == nullptr) return;
    ipv6_.reset(config_.ipv6({.config = config_,
                              .pool = pool_,
                              .stats = stats_,
                              .udp = udp_,
                              .tcp = tcp_,
                              .pings = pings_,
                              .reassembly = reassembly_,
                              .loopback = loopback_,
                              .key = derive(key_, 7),
                              .changed = changed_}));
}

void Stack::start(Instant now) {
    stirred_ = true;
    if (ipv6_ && config_.addressing != Addressing::none) ipv6_->start(now);
    switch (config_.addressing) {
    case Addressing::none:
        break;
    case Addressing::fixed:
        use_fixed(now);
        break;
    case Addressing::dhcp_then_fixed:
        fixed_at_ = now + config_.dhcp_patience;
        [[fallthrough]];
    case Addressing::dhcp:
        dhcp_.start(now);
        break;
    }
}

Result<> Stack::configure(Addressing addressing, const Ipv4Config& fixed, Instant now) {
    const bool uses_fixed = addressing == Addressing::fixed || addressing == Addressing::dhcp_then_fixed;
    if (uses_fixed && !is_usable(fixed)) return fail(Error::invalid);
    dhcp_.stop();
    (void)dhcp_.take_change();
    routes_.set_dhcp(nullptr);
    leave_fixed();
    use_mtu(0);
    config_.addressing = addressing;
    config_.fixed = fixed;
    if (addressing != Addressing::fixed) apply({}, now);
    if (ipv6_) ipv6_->stop();
    start(now);
    return {};
}

void Stack::apply(const Ipv4Config& next, Instant tell_at) {
    stirred_ = true;
    const bool moved = ipv4_.address != next.address || ipv4_.prefix != next.prefix;
    ipv4_ = next;
    changed_ = true;
    if (!moved) return;
    arp_.address_changed(ipv4_, tell_at);
    paths_.clear();
}

/// `told`: what the network says packets may be; 0: nothing.
void Stack::use_mtu(u16 told) {
    path_mtu_ = told == 0 ? config_.mtu : std::min(told, config_.mtu);
    tcp_.set_mss(static_cast<u16>(path_mtu_ - 40));
}

/// The fixed address is used at once, while it is asked whether it is free, and told to everybody when it is: a server
/// is there when it has booted, and yet a mistake does no more harm than an answer to who asks for us (docs/ip.md). One
/// that was taken before is used only when it is free.
void Stack::use_fixed(Instant now) {
    fixed_at_ = Instant::never();
    if (!is_usable(config_.fixed)) return;
    fallback_ = config_.addressing == Addressing::dhcp_then_fixed;
    if (config_.probe_interval.ns <= 0) return apply(config_.fixed, now);
    probing_fixed_ = true;
    arp_.end_probe();
    if (!fixed_refused_) apply(config_.fixed, Instant::never());
    drive_fixed(now);
}

void Stack::drive_fixed(Instant now) {
    const auto answer = arp_.probe(config_.fixed.address, config_.probe_interval, now);
    if (answer == Arp::Probe::asking) return;
    arp_.end_probe();
    probing_fixed_ = false;
    changed_ = true;
    if (answer == Arp::Probe::taken) {
        ++stats_.arp_refused;
        fixed_refused_ = true;
        fallback_ = false;
        apply({}, now);
        fixed_at_ = now + kAskAgain;
        return;
    }
    fixed_refused_ = false;
    if (ipv4_ == config_.fixed)
        arp_.announce(ipv4_, now);
    else
        apply(config_.fixed, now);
}

/// Another address takes its place.
void Stack::leave_fixed() {
    if (probing_fixed_) arp_.end_probe();
    probing_fixed_ = fixed_refused_ = fallback_ = false;
    fixed_at_ = Instant::never();
}

/// Timers, and the question whether an acknowledged address is free.
void Stack::drive_dhcp(Instant now) {
    dhcp_.poll(now);
    if (const auto address = dhcp_.address_to_probe()) [[unlikely]] {
        probing_fixed_ = false;  // one question at a time, and this address is the better one
        const auto answer =
            config_.probe_interval.ns > 0 ? arp_.probe(*address, config_.probe_interval, now) : Arp::Probe::free;
        if (answer != Arp::Probe::asking) {
            arp_.end_probe();
            dhcp_.probed(answer == Arp::Probe::free, now);
        }
    }
    if (dhcp_.take_change()) addressing_changed(now);
}

/// DHCP's lease came, changed or went.
void Stack::addressing_changed(Instant now) {
    routes_.set_dhcp(dhcp_.lease() ? &dhcp_.lease()->hints : nullptr);
    if (dhcp_.lease()) {
        leave_fixed();
        apply(dhcp_.lease()->ipv4, now);
        use_mtu(dhcp_.lease()->hints.mtu);
        return;
    }
    use_mtu(0);
    apply({}, now);
    if (config_.addressing == Addressing::dhcp_then_fixed) fixed_at_ = now + config_.dhcp_patience;
}

/// A lease is kept: it is renewed, or lost, under the new address.
[[gnu::cold]] void Stack::mac_changed(const MacAddr& mac, Instant now) {
    stirred_ = true;
    config_.mac = mac;
    arp_.set_mac(mac);
    dhcp_.set_mac(mac);
    arp_.announce(ipv4_, now);
    if (ipv6_) ipv6_->restart(now);
}

void Stack::carrier_changed(bool up, Instant now) {
    stirred_ = true;
    carrier_ = up;
    tcp_.set_link(up, now);
    if (!up) return;
    if (ipv4_ == config_.fixed || fixed_refused_) use_fixed(now);  // another network perhaps, in which it is somebody's
    arp_.address_changed(ipv4_, probing_fixed_ ? Instant::never() : now);
    paths_.clear();
    groups_.restart(now);
    if (ipv6_) ipv6_->restart(now);
    dhcp_.reconfirm(now);
    if (dhcp_.take_change()) addressing_changed(now);
}

void Stack::poll(Instant now) {
    if (now >= tcp_.deadline()) tcp_.poll(now);
    if (stirred_ || now >= others_due_) poll_others(now);
}

void Stack::poll_others(Instant now) {
    stirred_ = true;
    arp_.poll(now);
    drive_dhcp(now);
    if (now >= fixed_at_) use_fixed(now);
    if (probing_fixed_) [[unlikely]]
        drive_fixed(now);
    groups_.poll(now);
    if (now >= reassembly_.deadline()) {
        reassembly_.poll(now, [&](PacketBuffer first) {
            if (u8(first.data()[0]) >> 4 == 4)
                send_icmp_error(std::move(first), IcmpHeader::kTimeExceeded, 1, Origin::wire, now);
            else if (ipv6_)
                ipv6_->reassembly_expired(std::move(first), now);
        });
    }
    if (ipv6_) ipv6_->poll(now);
}

u16 Stack::path_mtu(Ipv4Addr destination, Instant now) const {
    const Destinations::Entry* known = paths_.find(destination, now);
    return known != nullptr && known->mtu < path_mtu_ ? known->mtu : path_mtu_;
}

Instant Stack::deadline() const {
    if (!loopback_.empty() || output_cut_) return Instant{};
    return std::min(std::min(tcp_.deadline(), retry_at_), stirred_ ? others_deadline() : others_due_);
}

Instant Stack::others_deadline() const {
    return std::min({arp_.deadline(), dhcp_.deadline(), fixed_at_, groups_.deadline(), reassembly_.deadline(),
                     ipv6_ ? ipv6_->deadline() : Instant::never()});
}

Result<tcp::Handle> Stack::connect(Endpoint remote, Instant now) {
    if (!remote.address.is_ipv4()) {
        const auto source = ipv6_ ? ipv6_->source_for(remote.address, now) : std::nullopt;
        if (!source || remote.address.is_multicast()) return fail(Error::unreachable);
        return tcp_.connect({*source, 0, remote.scope}, remote, now);
    }
    const Ipv4Addr to = remote.address.ipv4();
    const auto r = route(to);
    if (!r || to.is_broadcast() || to.is_multicast() || ipv4_.is_subnet_broadcast(to)) return fail(Error::unreachable);
    return tcp_.connect({r->source, 0, 0}, remote, now);
}

Result<> Stack::send_to(UdpHandle h, Endpoint to, Bytes payload, Instant now) {
    if (to.port == 0) to = TRY(udp_.remote(h));
    const IpAddr local = TRY(udp_.local(h)).address;
    if (local != IpAddr{} && local.is_ipv4() != to.address.is_ipv4()) return fail(Error::invalid);
    Udp::Layout layout;
    if (to.address.is_ipv4()) {
        const auto r = route(to.address.ipv4());
        if (!r) return fail(Error::unreachable);
        if (!r->local) layout = Udp::Layout::of(path_mtu(to.address.ipv4(), now), sizeof(Ipv4Header));
    } else {
        if (!ipv6_ || !ipv6_->source_for(to.address, now)) return fail(Error::unreachable);
        if (!ipv6_->is_ours(to.address))
            layout = Udp::Layout::of(ipv6_->path_mtu(to.address, now), sizeof(Ipv6Header), sizeof(Ipv6FragmentHeader));
    }
    return udp_.send_to(h, to, payload, layout);
}

Result<u32> Stack::ping(const IpAddr& to, u16 bytes, Instant now) {
    stirred_ = true;
    const bool v4 = to.is_ipv4();
    if (v4 ? !route(to.ipv4()) : !ipv6_ || !ipv6_->source_for(to, now)) return fail(Error::unreachable);
    const usize room = v4 ? path_mtu_ - sizeof(Ipv4Header) : ipv6_->path_mtu(to, now) - sizeof(Ipv6Header);
    if (bytes > room - sizeof(IcmpHeader)) return fail(Error::too_large);
    return pings_.start(to, bytes);
}

Result<> Stack::join(const IpAddr& group, Instant now) {
    stirred_ = true;
    if (!group.is_multicast()) return fail(Error::invalid);
    if (!group.is_ipv4() && !ipv6_) return fail(Error::unreachable);
    const bool joined = group.is_ipv4() ? groups_.join(group, now) : ipv6_->join(group, now);
    if (!joined) return fail(Error::no_space);
    return {};
}

void Stack::leave(const IpAddr& group, Instant now) {
    stirred_ = true;
    if (group.is_ipv4())
        groups_.leave(group, now);
    else if (ipv6_)
        ipv6_->leave(group, now);
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
    arp_.for_each(visit);
    if (ipv6_) ipv6_->for_each_neighbour(visit);
}

std::string_view to_string(Ipv6AddressInfo::State s) {
    constexpr std::string_view kNames[] = {"tentative", "preferred", "deprecated", "duplicate"};
    return kNames[static_cast<usize>(s)];
}

InterfaceInfo Stack::interface() const {
    InterfaceInfo i;
    i.mac = config_.mac;
    i.mtu = path_mtu_;
    i.carrier = carrier_;
    i.offloads = config_.offloads;
    i.ipv4 = ipv4_;
    i.dhcp = dhcp_.state();
    i.fallback = fallback_;
    i.conflict = arp_.conflict();
    i.refused = fixed_refused_;
    if (dhcp_.lease()) {
        i.dhcp_server = dhcp_.lease()->server;
        i.lease_end = dhcp_.lease()->ends_at;
        i.hints = dhcp_.lease()->hints;
    }
    if (ipv6_) ipv6_->describe(i);
    return i;
}

bool Stack::is_configuring() const {
    return ipv4_.address.is_unspecified() && dhcp_.state() != DhcpState::off && carrier_ && !sources().ipv6;
}

Stack::Sources Stack::sources() const {
    Sources s{config_.names.dns, config_.names.ntp, config_.names.search, config_.names.hosts};
    const NetworkHints* hints = dhcp_.lease() ? &dhcp_.lease()->hints : nullptr;
    if (s.dns.empty() && hints != nullptr)
        for (const Ipv4Addr a : hints->dns) s.dns.try_push_back(a);
    if (s.dns.empty())
        for (const Ipv4Addr a : ipv4_.dns)
            if (!a.is_unspecified()) s.dns.try_push_back(a);
    if (s.ntp.empty() && hints != nullptr)
        for (const Ipv4Addr a : hints->ntp) s.ntp.try_push_back(a);
    InterfaceInfo six;
    if (ipv6_) ipv6_->describe(six);
    for (usize i = 0; i < six.ipv6.dns_used && config_.names.dns.empty(); ++i) s.dns.try_push_back(six.ipv6.dns[i]);
    for (usize i = 0; i < six.ipv6.addresses_used; ++i) {
        const Ipv6AddressInfo& a = six.ipv6.addresses[i];
        s.ipv6 |= a.state == Ipv6AddressInfo::State::preferred && !a.address.is_link_local();
    }
    if (s.search.empty() && hints != nullptr) s.search = hints->search.view();
    return s;
}

usize Stack::packets_held() const {
    return arp_.packets_held() + udp_.packets_held() + tcp_.buffers_held() + replies_.buffers() + loopback_.buffers() +
           fragments_.buffers() + reassembly_.packets_held() + (ipv6_ ? ipv6_->packets_held() : 0) + pool_.orphans();
}

}  // namespace ringlet::net
