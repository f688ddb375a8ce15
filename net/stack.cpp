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
    t.scatter = o.tx_checksum && scattered >= 2 * u32{PacketBuffer::kSize};
    if (o.tx_checksum && o.tso4) t.gso_bytes = std::min({o.max_gso_bytes, 0xffffu, scattered});
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
      udp_(config.max_udp_sockets, derive(key_, 3), pool, stats_), tcp_(tcp_config(config_, key_), pool) {
    next_ping_ = 1 + static_cast<u32>(siphash(derive(key_, 4), 0, 0) >> 40);
}

void Stack::start(Instant now) {
    switch (config_.addressing) {
    case Addressing::none:
        break;
    case Addressing::fixed:
        if (is_usable(config_.fixed)) apply(config_.fixed, now);
        break;
    case Addressing::dhcp_then_fixed:
        fallback_at_ = now + config_.dhcp_patience;
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
    fallback_at_ = Instant::never();
    fallback_ = false;
    config_.addressing = addressing;
    config_.fixed = fixed;
    if (addressing != Addressing::fixed) apply({}, now);
    start(now);
    return {};
}

void Stack::apply(const Ipv4Config& next, Instant now) {
    const bool moved = ipv4_.address != next.address || ipv4_.prefix != next.prefix;
    ipv4_ = next;
    changed_ = true;
    if (moved) arp_.address_changed(ipv4_, now);
}

/// DHCP's lease came, changed or went.
void Stack::addressing_changed(Instant now) {
    if (dhcp_.lease()) {
        fallback_ = false;
        fallback_at_ = Instant::never();
        apply(dhcp_.lease()->ipv4, now);
        return;
    }
    apply({}, now);
    if (config_.addressing == Addressing::dhcp_then_fixed) fallback_at_ = now + config_.dhcp_patience;
}

/// A lease is kept: it is renewed, or lost, under the new address.
[[gnu::cold]] void Stack::mac_changed(const MacAddr& mac, Instant now) {
    config_.mac = mac;
    arp_.set_mac(mac);
    dhcp_.set_mac(mac);
    arp_.announce(ipv4_, now);
}

void Stack::carrier_changed(bool up, Instant now) {
    carrier_ = up;
    tcp_.set_link(up, now);
    if (!up) return;
    arp_.address_changed(ipv4_, now);
    dhcp_.reconfirm(now);
    if (dhcp_.take_change()) addressing_changed(now);
}

void Stack::poll(Instant now) {
    arp_.poll(now);
    dhcp_.poll(now);
    if (dhcp_.take_change()) addressing_changed(now);
    if (now >= fallback_at_) {
        fallback_at_ = Instant::never();
        if (is_usable(config_.fixed)) {
            fallback_ = true;
            apply(config_.fixed, now);
        }
    }
    if (now >= tcp_.deadline()) tcp_.poll(now);
}

Instant Stack::deadline() const {
    if (!loopback_.empty() || output_cut_) return Instant{};
    Instant d = tcp_.deadline();
    for (Instant other : {arp_.deadline(), dhcp_.deadline(), fallback_at_, retry_at_})
        if (other < d) d = other;
    return d;
}

Result<tcp::Handle> Stack::connect(Endpoint remote, Instant now) {
    if (!remote.address.is_ipv4()) return fail(Error::unreachable);
    const Ipv4Addr to = remote.address.ipv4();
    const auto r = route(to);
    if (!r || to.is_broadcast() || to.is_multicast() || ipv4_.is_subnet_broadcast(to)) return fail(Error::unreachable);
    return tcp_.connect({r->source, 0, 0}, remote, now);
}

Result<> Stack::send_to(UdpHandle h, Endpoint to, Bytes payload) {
    if (!to.address.is_ipv4() || !route(to.address.ipv4())) return fail(Error::unreachable);
    return udp_.send_to(h, to, payload, config_.mtu - sizeof(Ipv4Header) - sizeof(UdpHeader));
}

Result<u32> Stack::ping(Ipv4Addr to, u16 bytes, Instant) {
    if (bytes > config_.mtu - sizeof(Ipv4Header) - sizeof(IcmpHeader)) return fail(Error::too_large);
    if (!route(to)) return fail(Error::unreachable);
    for (Ping& p : pings_) {
        if (p.id != 0) continue;
        p.id = next_ping_++;
        if (next_ping_ == 0) next_ping_ = 1;
        const u64 r = siphash(key_, p.id, 5);
        p.ident = static_cast<u16>(r);
        p.sequence = static_cast<u16>(r >> 16);
        p.to = to;
        p.bytes = bytes;
        p.unsent = true;
        p.result.reset();
        ++pings_unsent_;
        return p.id;
    }
    return fail(Error::no_space);
}

Result<Stack::PingResult> Stack::ping_result(u32 ping) {
    for (Ping& p : pings_) {
        if (p.id != ping || ping == 0) continue;
        if (!p.result) return fail(Error::would_block);
        const auto result = *p.result;
        ping_cancel(ping);
        return result;
    }
    return fail(Error::invalid);
}

void Stack::ping_cancel(u32 ping) {
    for (Ping& p : pings_) {
        if (p.id != ping || ping == 0) continue;
        if (p.unsent) --pings_unsent_;
        p = {};
    }
}

InterfaceInfo Stack::interface() const {
    InterfaceInfo i;
    i.mac = config_.mac;
    i.mtu = config_.mtu;
    i.carrier = carrier_;
    i.offloads = config_.offloads;
    i.ipv4 = ipv4_;
    i.dhcp = dhcp_.state();
    i.fallback = fallback_;
    if (dhcp_.lease()) {
        i.dhcp_server = dhcp_.lease()->server;
        i.lease_end = dhcp_.lease()->ends_at;
    }
    return i;
}

usize Stack::packets_held() const {
    return arp_.packets_held() + udp_.packets_held() + tcp_.buffers_held() + replies_.buffers() + loopback_.buffers() +
           pool_.orphans();
}

}  // namespace ringlet::net
