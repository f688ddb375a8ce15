// RFC 2131 §4.4: the client's states and timers; RFC 2132: options. Context: the network monitor.
#include "net/dhcp.hpp"

#include <algorithm>

#include "lib/endian.hpp"

namespace ringlet::net {
namespace {

struct BootpHeader {
    u8 op, htype, hlen, hops;
    be32 xid;
    be16 secs, flags;
    be32 ciaddr, yiaddr, siaddr, giaddr;
    MacAddr chaddr;
    u8 chaddr_padding[10];
    u8 sname[64], file[128];
    be32 magic;
};
static_assert(sizeof(BootpHeader) == 240 && alignof(BootpHeader) == 1);
constexpr u32 kMagic = 0x63825363;

enum Option : u8 {
    kPad = 0,
    kSubnetMask = 1,
    kRouter = 3,
    kDns = 6,
    kHostname = 12,
    kMtu = 26,
    kRequestedAddress = 50,
    kLeaseTime = 51,
    kOverload = 52,
    kMessageType = 53,
    kServerId = 54,
    kParameterList = 55,
    kMaxSize = 57,
    kRenewal = 58,
    kRebinding = 59,
    kClientId = 61,
    kEnd = 255
};
enum MessageType : u8 { kDiscover = 1, kOffer = 2, kRequest = 3, kAck = 5, kNak = 6 };

constexpr u32 kInfinite = 0xffff'ffff;
constexpr u32 kShortestLease = 10;  // seconds; a server that offers less would only make us spin
constexpr Duration kLongestBackoff = Duration::from_s(64);
constexpr unsigned kRequestTries = 5, kRebootTries = 4;

bool is_plausible_host(Ipv4Addr a) {
    return (a.value >> 24) != 0 && !a.is_loopback() && (a.value >> 28) < 0xe;  // not 0/8, 127/8, multicast, class E
}

}  // namespace

struct Dhcp::Options {
    u8 type = 0;
    Ipv4Addr server;
    std::optional<u32> lease_seconds, renewal, rebinding;
    std::optional<u8> prefix;
    Ipv4Addr router;
    std::array<Ipv4Addr, 2> dns{};
    u16 mtu = 0;
    u8 overload = 0;

    /// One run of options; false when it is malformed.
    bool parse(Bytes from);
    bool take(u8 code, Bytes value);
};

bool Dhcp::Options::parse(Bytes from) {
    usize at = 0;
    while (at < from.size()) {
        const u8 code = static_cast<u8>(from[at++]);
        if (code == kPad) continue;
        if (code == kEnd) return true;
        if (at == from.size()) return false;
        const usize length = static_cast<u8>(from[at++]);
        const auto value = slice(from, at, length);
        if (!value || !take(code, *value)) return false;
        at += length;
    }
    return true;  // some servers leave the end mark out when the packet ends
}

bool Dhcp::Options::take(u8 code, Bytes value) {
    const auto word = read_at<be32>(value, 0);
    auto is_word = [&] { return value.size() == 4; };
    switch (code) {
    case kMessageType:
        if (value.size() != 1) return false;
        type = static_cast<u8>(value[0]);
        return true;
    case kOverload:
        if (value.size() != 1) return false;
        overload = static_cast<u8>(value[0]) & 3;
        return true;
    case kServerId:
        if (!is_word()) return false;
        server = {*word};
        return true;
    case kLeaseTime:
        if (!is_word()) return false;
        lease_seconds = *word;
        return true;
    case kRenewal:
        if (!is_word()) return false;
        renewal = *word;
        return true;
    case kRebinding:
        if (!is_word()) return false;
        rebinding = *word;
        return true;
    case kSubnetMask: {
        if (!is_word()) return false;
        const u32 inverse = ~u32{*word};
        if ((inverse & (inverse + 1)) != 0) return false;  // holes in the mask
        prefix = static_cast<u8>(32 - std::popcount(inverse));
        return true;
    }
    case kRouter:
        if (value.empty() || value.size() % 4 != 0) return false;
        router = {*word};
        return true;
    case kDns:
        if (value.empty() || value.size() % 4 != 0) return false;
        for (usize i = 0; i < dns.size() && i * 4 < value.size(); ++i) dns[i] = {*read_at<be32>(value, i * 4)};
        return true;
    case kMtu: {
        const auto v = read_at<be16>(value, 0);
        if (value.size() != 2) return false;
        if (*v >= 576) mtu = *v;  // smaller ones are legal to announce and useless to obey (RFC 791's minimum is 68)
        return true;
    }
    default:
        return true;
    }
}

std::optional<Dhcp::Options> Dhcp::parse(Bytes payload) const {
    Options o;
    if (!o.parse(payload.subspan(sizeof(BootpHeader)))) return std::nullopt;
    const auto* h = reinterpret_cast<const BootpHeader*>(payload.data());
    const u8 overload = o.overload;  // RFC 2131 §4.1: `file` first, then `sname`; neither may overload again
    if ((overload & 1) != 0 && !o.parse(std::as_bytes(std::span(h->file)))) return std::nullopt;
    if ((overload & 2) != 0 && !o.parse(std::as_bytes(std::span(h->sname)))) return std::nullopt;
    return o;
}

void Dhcp::input(Bytes payload, Ipv4Addr, Instant now) {
    if (state_ == DhcpState::off) {
        ++stats_.dhcp_ignored;
        return;
    }
    const auto h = read_at<BootpHeader>(payload, 0);
    if (!h || h->op != 2 || h->htype != 1 || h->hlen != 6 || h->magic != kMagic) {
        ++stats_.dhcp_bad;
        return;
    }
    if (h->xid != xid_ || h->chaddr != mac_) {  // somebody else's conversation
        ++stats_.dhcp_ignored;
        return;
    }
    const auto o = parse(payload);
    if (!o) {
        ++stats_.dhcp_bad;
        return;
    }
    ++stats_.dhcp_in;
    const bool asked = state_ == DhcpState::requesting || state_ == DhcpState::renewing ||
                       state_ == DhcpState::rebinding || state_ == DhcpState::rebooting;
    const bool right_server =
        state_ == DhcpState::rebinding || state_ == DhcpState::rebooting || o->server == offering_server_;
    if (o->type == kOffer && state_ == DhcpState::selecting)
        on_offer(*o, {h->yiaddr}, now);
    else if (o->type == kAck && asked && right_server)
        on_ack(*o, {h->yiaddr}, now);
    else if (o->type == kNak && asked && right_server)
        on_nak(now);
    else
        ++stats_.dhcp_ignored;
}

void Dhcp::on_offer(const Options& o, Ipv4Addr your_address, Instant now) {
    if (!is_plausible_host(your_address) || !is_plausible_host(o.server)) {
        ++stats_.dhcp_bad;
        return;
    }
    offered_ = your_address;
    offering_server_ = o.server;
    tries_ = 0;
    begin(DhcpState::requesting, now);
}

void Dhcp::on_ack(const Options& o, Ipv4Addr your_address, Instant now) {
    Lease next;
    next.ipv4.address = your_address;
    next.ipv4.prefix = o.prefix.value_or(24);
    next.server = o.server;
    next.mtu = o.mtu;
    const Ipv4Config& c = next.ipv4;
    const u32 host_bits = ~c.mask().value;
    const bool network_itself = c.prefix < 31 && (your_address.value & host_bits) == 0;
    if (your_address != offered_ || c.prefix == 0 || network_itself || c.is_subnet_broadcast(your_address) ||
        !is_plausible_host(o.server) || !o.lease_seconds || *o.lease_seconds < kShortestLease) {
        ++stats_.dhcp_bad;
        return;
    }
    if (is_plausible_host(o.router) && o.router != your_address && !c.is_subnet_broadcast(o.router))
        next.ipv4.gateway = o.router;
    usize servers = 0;
    for (Ipv4Addr dns : o.dns)
        if (is_plausible_host(dns)) next.ipv4.dns[servers++] = dns;

    const u32 lease = *o.lease_seconds;
    if (lease == kInfinite) {
        next.renew_at = next.rebind_at = next.ends_at = Instant::never();
    } else {
        const u32 t2 = o.rebinding && *o.rebinding > 0 && *o.rebinding < lease ? *o.rebinding
                                                                               : static_cast<u32>(u64{lease} * 7 / 8);
        const u32 t1 = o.renewal && *o.renewal > 0 && *o.renewal <= t2 ? *o.renewal : t2 < lease / 2 ? t2 : lease / 2;
        next.renew_at = requested_ + Duration::from_s(t1);
        next.rebind_at = requested_ + Duration::from_s(t2);
        next.ends_at = requested_ + Duration::from_s(lease);
    }
    offering_server_ = o.server;
    const bool differs = !lease_ || lease_->ipv4 != next.ipv4;
    lease_ = next;
    changed_ = changed_ || differs;
    state_ = DhcpState::bound;
    send_ = false;
    tries_ = 0;
    deadline_ = lease_->renew_at;
    if (deadline_ < now) deadline_ = now;
}

void Dhcp::on_nak(Instant now) {
    ++stats_.dhcp_naks;
    lose_lease(now);
    restart(now + Duration::from_s(1));  // a server that always says no must not make us spin
}

void Dhcp::lose_lease(Instant) {
    if (!lease_) return;
    lease_.reset();
    changed_ = true;
}

void Dhcp::start(Instant now) {
    u64 mac = 0;
    std::memcpy(&mac, mac_.octets.data(), mac_.octets.size());
    entropy_ = mac ^ now.ns;
    restart(now);
}

void Dhcp::stop() {
    state_ = DhcpState::off;
    send_ = false;
    deadline_ = Instant::never();
    if (lease_) changed_ = true;
    lease_.reset();
}

void Dhcp::reconfirm(Instant now) {
    if (state_ == DhcpState::off) return;
    if (!lease_ || now >= lease_->ends_at) {
        lose_lease(now);
        restart(now);
        return;
    }
    tries_ = 0;
    begin(DhcpState::rebooting, now);
}

void Dhcp::restart(Instant at) {
    state_ = DhcpState::init;
    send_ = false;
    tries_ = 0;
    deadline_ = at;
}

/// Enters a state that sends: a new transaction except for the REQUEST that answers an OFFER.
void Dhcp::begin(DhcpState state, Instant now) {
    if (state != DhcpState::requesting) {
        xid_ = static_cast<u32>(random());
        started_ = now;
    }
    state_ = state;
    schedule(now);
}

/// Sends now, and says when to try again (RFC 2131 §4.1 and §4.4.5).
void Dhcp::schedule(Instant now) {
    send_ = true;
    requested_ = now;
    if (state_ == DhcpState::renewing || state_ == DhcpState::rebinding) {
        const Instant limit = state_ == DhcpState::renewing ? lease_->rebind_at : lease_->ends_at;
        Duration half = limit > now ? (limit - now) / 2 : Duration{};
        if (half < Duration::from_s(60)) half = Duration::from_s(60);
        deadline_ = now + half;
        if (limit < deadline_) deadline_ = limit;
        return;
    }
    // Doubling from one second, not from four: an appliance has nothing else to do when it boots. +-25 % at random.
    Duration backoff = Duration::from_s(i64{1} << (tries_ < 7 ? tries_ : 7));
    if (kLongestBackoff < backoff) backoff = kLongestBackoff;
    ++tries_;
    const i64 jitter = static_cast<i64>(random() % static_cast<u64>(backoff.ns / 2));
    deadline_ = now + Duration{backoff.ns * 3 / 4 + jitter};
}

void Dhcp::poll(Instant now) {
    if (now < deadline_) return;
    switch (state_) {
    case DhcpState::off:
        deadline_ = Instant::never();
        return;
    case DhcpState::init:
        begin(DhcpState::selecting, now);
        return;
    case DhcpState::selecting:
        schedule(now);
        return;
    case DhcpState::requesting:
        if (tries_ >= kRequestTries)
            restart(now + Duration::from_s(1));
        else
            schedule(now);
        return;
    case DhcpState::rebooting:
        if (tries_ < kRebootTries) return schedule(now);
        // Nobody said no: the lease may be used until it ends (RFC 2131 §3.2).
        state_ = DhcpState::bound;
        tries_ = 0;
        deadline_ = std::max(lease_->renew_at, now);
        return;
    case DhcpState::bound:
        begin(DhcpState::renewing, now);
        return;
    case DhcpState::renewing:
        if (now >= lease_->rebind_at)
            begin(DhcpState::rebinding, now);
        else
            schedule(now);
        return;
    case DhcpState::rebinding:
        if (now < lease_->ends_at) return schedule(now);
        lose_lease(now);
        restart(now);
        return;
    }
}

std::optional<Dhcp::Outgoing> Dhcp::output(MutableBytes to, Instant now) {
    if (!send_) return std::nullopt;
    ASSERT(to.size() >= kMessageBytes);
    send_ = false;
    const bool has_address = state_ == DhcpState::renewing || state_ == DhcpState::rebinding;
    std::memset(to.data(), 0, kMessageBytes);
    auto* h = reinterpret_cast<BootpHeader*>(to.data());
    h->op = 1;
    h->htype = 1;
    h->hlen = 6;
    h->xid = xid_;
    const i64 seconds = (now - started_).ms() / 1000;
    h->secs = static_cast<u16>(seconds < 0xffff ? seconds : 0xffff);
    h->ciaddr = has_address ? lease_->ipv4.address.value : 0;
    h->chaddr = mac_;
    h->magic = kMagic;

    usize at = sizeof(BootpHeader);
    auto byte = [&](u8 v) { to[at++] = std::byte{v}; };
    auto option_address = [&](u8 code, Ipv4Addr a) {
        const be32 v = a.value;
        byte(code);
        byte(4);
        std::memcpy(to.data() + at, &v, 4);
        at += 4;
    };
    for (u8 v : {u8{kMessageType}, u8{1}, state_ == DhcpState::selecting ? u8{kDiscover} : u8{kRequest}}) byte(v);
    for (u8 v : {u8{kClientId}, u8{7}, u8{1}}) byte(v);
    for (u8 v : mac_.octets) byte(v);
    if (state_ == DhcpState::requesting) {
        option_address(kRequestedAddress, offered_);
        option_address(kServerId, offering_server_);
    }
    if (state_ == DhcpState::rebooting) option_address(kRequestedAddress, lease_->ipv4.address);
    for (u8 v : {u8{kMaxSize}, u8{2}, u8{1500 >> 8}, u8{1500 & 0xff}}) byte(v);
    for (u8 v : {u8{kParameterList}, u8{7}, u8{kSubnetMask}, u8{kRouter}, u8{kDns}, u8{kMtu}, u8{kLeaseTime},
                 u8{kRenewal}, u8{kRebinding}})
        byte(v);
    if (!hostname_.empty()) {
        byte(kHostname);
        byte(static_cast<u8>(hostname_.size()));
        for (char c : hostname_) byte(static_cast<u8>(c));
    }
    byte(kEnd);
    ++stats_.dhcp_out;
    const bool unicast = state_ == DhcpState::renewing;
    return Outgoing{has_address ? lease_->ipv4.address : Ipv4Addr{}, unicast ? lease_->server : Ipv4Addr{0xffff'ffff}};
}

std::string_view to_string(DhcpState s) {
    switch (s) {
    case DhcpState::off:
        return "off";
    case DhcpState::init:
        return "init";
    case DhcpState::selecting:
        return "selecting";
    case DhcpState::requesting:
        return "requesting";
    case DhcpState::bound:
        return "bound";
    case DhcpState::renewing:
        return "renewing";
    case DhcpState::rebinding:
        return "rebinding";
    case DhcpState::rebooting:
        return "rebooting";
    }
    return "?";
}

}  // namespace ringlet::net
