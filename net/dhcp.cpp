// RFC 2131 §4.4: the client's states and timers. Context: the network monitor.
#include "net/dhcp.hpp"

#include <algorithm>

namespace ringlet::net {
namespace {

using dhcp::is_plausible_host;
using dhcp::MessageType;

constexpr u32 kShortestLease = 10;  // seconds; a server that offers less would only make us spin
constexpr Duration kLongestBackoff = Duration::from_s(64);
constexpr Duration kShortestRenewal = Duration::from_s(60);  // RFC 2131 §4.4.5
constexpr unsigned kRequestTries = 5, kRebootTries = 4;

}  // namespace

void Dhcp::start(Instant now) {
    u64 mac = 0;
    std::memcpy(&mac, mac_.octets.data(), mac_.octets.size());
    entropy_ = mac ^ now.ns;
    restart(now);
}

void Dhcp::stop() {
    state_ = DhcpState::off;
    due_ = MessageType::none;
    deadline_ = Instant::never();
    candidate_.reset();
    lose_lease();
}

void Dhcp::release(Instant now) {
    if (!lease_) return stop();
    xid_ = static_cast<u32>(random());
    state_ = DhcpState::releasing;
    due_ = MessageType::release;
    deadline_ = now + kReleaseWait;
}

void Dhcp::renew(Instant now) {
    if (state_ == DhcpState::bound) begin(DhcpState::renewing, now);
}

void Dhcp::reconfirm(Instant now) {
    if (state_ == DhcpState::off || state_ == DhcpState::releasing) return;
    candidate_.reset();
    if (!lease_ || now >= lease_->ends_at) {
        lose_lease();
        return restart(now);
    }
    tries_ = 0;
    begin(DhcpState::rebooting, now);
}

void Dhcp::input(Bytes payload, Instant now) {
    dhcp::Answer a;
    u64 bad_options = 0;
    if (state_ == DhcpState::off) {
        ++stats_.dhcp_ignored;
        return;
    }
    if (dhcp::parse(payload, a, bad_options) != dhcp::Verdict::good) {
        ++stats_.dhcp_bad;
        return;
    }
    if (a.xid != xid_ || a.client != mac_) {  // somebody else's conversation
        ++stats_.dhcp_ignored;
        return;
    }
    ++stats_.dhcp_in;
    stats_.dhcp_bad_options += bad_options;
    const bool any_server = state_ == DhcpState::rebinding || state_ == DhcpState::rebooting;
    const bool asked = any_server || state_ == DhcpState::requesting || state_ == DhcpState::renewing;
    const bool believed = asked && (any_server || a.server == offering_server_);
    if (a.type == MessageType::offer && state_ == DhcpState::selecting)
        on_offer(a, now);
    else if (a.type == MessageType::ack && believed)
        on_ack(a, now);
    else if (a.type == MessageType::nak && believed)
        on_nak(now);
    else
        ++stats_.dhcp_ignored;
}

void Dhcp::on_offer(const dhcp::Answer& a, Instant now) {
    if (!is_plausible_host(a.your_address) || !is_plausible_host(a.server)) {
        ++stats_.dhcp_bad;
        return;
    }
    offered_ = a.your_address;
    offering_server_ = a.server;
    tries_ = 0;
    begin(DhcpState::requesting, now);
}

bool Dhcp::is_usable(const dhcp::Answer& a) const {
    const Ipv4Config c{.address = a.your_address, .prefix = a.prefix.value_or(24), .gateway = {}, .dns = {}};
    const bool network_itself = c.prefix < 31 && (c.address.value & ~c.mask().value) == 0;
    return a.your_address == offered_ && c.prefix != 0 && !network_itself && !c.is_subnet_broadcast(c.address) &&
           is_plausible_host(a.server) && a.lease_seconds && *a.lease_seconds >= kShortestLease;
}

Dhcp::Lease Dhcp::make_lease(const dhcp::Answer& a) const {
    Lease next;
    Ipv4Config& c = next.ipv4;
    c.address = a.your_address;
    c.prefix = a.prefix.value_or(24);
    if (is_plausible_host(a.router) && a.router != c.address && !c.is_subnet_broadcast(a.router)) c.gateway = a.router;
    for (usize i = 0; i < c.dns.size() && i < a.hints.dns.size(); ++i) c.dns[i] = a.hints.dns[i];
    next.server = a.server;
    next.hints = a.hints;
    const u32 lease = *a.lease_seconds;
    if (lease == dhcp::kInfinite) {
        next.renew_at = next.rebind_at = next.ends_at = Instant::never();
        return next;
    }
    // RFC 2131 §4.4.5's defaults in the place of what is missing or out of order.
    const u32 told_t2 = a.rebinding_seconds.value_or(0), told_t1 = a.renewal_seconds.value_or(0);
    const u32 t2 = told_t2 > 0 && told_t2 < lease ? told_t2 : static_cast<u32>(u64{lease} * 7 / 8);
    const u32 t1 = told_t1 > 0 && told_t1 <= t2 ? told_t1 : std::min(t2, lease / 2);
    next.renew_at = requested_ + Duration::from_s(t1);
    next.rebind_at = requested_ + Duration::from_s(t2);
    next.ends_at = requested_ + Duration::from_s(lease);
    return next;
}

void Dhcp::on_ack(const dhcp::Answer& a, Instant now) {
    if (!is_usable(a)) {
        ++stats_.dhcp_bad;
        return;
    }
    offering_server_ = a.server;
    const Lease next = make_lease(a);
    if (lease_ && lease_->ipv4.address == next.ipv4.address) return bind(next, now);
    candidate_ = next;
    state_ = DhcpState::probing;
    due_ = MessageType::none;
    deadline_ = Instant::never();
}

std::optional<Ipv4Addr> Dhcp::address_to_probe() const {
    if (state_ != DhcpState::probing) return std::nullopt;
    return candidate_->ipv4.address;
}

void Dhcp::probed(bool is_free, Instant now) {
    if (state_ != DhcpState::probing) return;
    const Lease next = *candidate_;
    candidate_.reset();
    if (is_free) return bind(next, now);
    ++stats_.dhcp_declined;
    restart(now + kDeclineWait);
    xid_ = static_cast<u32>(random());
    due_ = MessageType::decline;
}

void Dhcp::bind(const Lease& next, Instant now) {
    changed_ = changed_ || !lease_ || lease_->ipv4 != next.ipv4 || !(lease_->hints == next.hints);
    lease_ = next;
    state_ = DhcpState::bound;
    due_ = MessageType::none;
    tries_ = 0;
    deadline_ = std::max(lease_->renew_at, now);
}

void Dhcp::on_nak(Instant now) {
    ++stats_.dhcp_naks;
    lose_lease();
    offered_ = {};
    restart(now + Duration::from_s(1));  // a server that always says no must not make us spin
}

void Dhcp::lose_lease() {
    if (!lease_) return;
    lease_.reset();
    changed_ = true;
}

void Dhcp::restart(Instant at) {
    state_ = DhcpState::init;
    due_ = MessageType::none;
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

/// Doubling from one second, not from four as in RFC 2131 §4.1: an appliance has nothing else to do when it boots.
/// +-25 % at random.
Instant Dhcp::backoff(Instant now) {
    const Duration step = std::min(Duration::from_s(i64{1} << std::min(tries_, 7u)), kLongestBackoff);
    ++tries_;
    const i64 jitter = static_cast<i64>(random() % static_cast<u64>(step.ns / 2));
    return now + Duration{step.ns * 3 / 4 + jitter};
}

/// Sends now, and says when to try again (RFC 2131 §4.1 and §4.4.5).
void Dhcp::schedule(Instant now) {
    due_ = state_ == DhcpState::selecting ? MessageType::discover : MessageType::request;
    requested_ = now;
    if (state_ != DhcpState::renewing && state_ != DhcpState::rebinding) {
        deadline_ = backoff(now);
        return;
    }
    const Instant limit = state_ == DhcpState::renewing ? lease_->rebind_at : lease_->ends_at;
    if (limit.is_never()) {  // asked to renew an infinite lease
        deadline_ = now + kShortestRenewal;
        return;
    }
    const Duration half = limit > now ? (limit - now) / 2 : Duration{};
    deadline_ = std::min(now + std::max(half, kShortestRenewal), limit);
}

void Dhcp::poll(Instant now) {
    if (now < deadline_) return;
    switch (state_) {
    case DhcpState::off:
    case DhcpState::probing:
        deadline_ = Instant::never();
        return;
    case DhcpState::releasing:
        return stop();
    case DhcpState::init:
        return begin(DhcpState::selecting, now);
    case DhcpState::selecting:
        return schedule(now);
    case DhcpState::requesting:
        return tries_ >= kRequestTries ? restart(now + Duration::from_s(1)) : schedule(now);
    case DhcpState::rebooting:
        if (tries_ < kRebootTries) return schedule(now);
        // Nobody said no: the lease may be used until it ends (RFC 2131 §3.2).
        state_ = DhcpState::bound;
        tries_ = 0;
        deadline_ = std::max(lease_->renew_at, now);
        return;
    case DhcpState::bound:
        return begin(DhcpState::renewing, now);
    case DhcpState::renewing:
        return now >= lease_->rebind_at ? begin(DhcpState::rebinding, now) : schedule(now);
    case DhcpState::rebinding:
        if (now < lease_->ends_at) return schedule(now);
        lose_lease();
        return restart(now);
    }
}

std::optional<Dhcp::Outgoing> Dhcp::output(MutableBytes to, Instant now) {
    const MessageType type = std::exchange(due_, MessageType::none);
    if (type == MessageType::none) return std::nullopt;
    dhcp::Question q;
    q.type = type;
    q.xid = xid_;
    q.client = mac_;
    const i64 seconds = (now - started_).ms() / 1000;
    q.seconds = static_cast<u16>(std::min<i64>(seconds, 0xffff));
    // RFC 2131 table 5, and §4.3.2 for which REQUEST carries what.
    const bool in_use = state_ == DhcpState::renewing || state_ == DhcpState::rebinding || type == MessageType::release;
    if (in_use)
        q.client_address = lease_->ipv4.address;
    else
        q.requested = state_ == DhcpState::rebooting ? lease_->ipv4.address : offered_;
    if (state_ == DhcpState::requesting || type == MessageType::decline || type == MessageType::release)
        q.server = offering_server_;
    if (type == MessageType::decline) {
        q.seconds = 0;
        q.message = "address in use";
        offered_ = {};
    }
    if (type == MessageType::release) q.seconds = 0;
    if (type == MessageType::discover || type == MessageType::request) q.hostname = hostname_;
    dhcp::build(q, to);
    ++stats_.dhcp_out;
    const bool unicast = state_ == DhcpState::renewing || type == MessageType::release;
    return Outgoing{q.client_address, unicast ? lease_->server : Ipv4Addr{0xffff'ffff}};
}

std::string_view to_string(DhcpState s) {
    static constexpr std::string_view kNames[] = {"off",   "init",     "selecting", "requesting", "probing",
                                                  "bound", "renewing", "rebinding", "rebooting",  "releasing"};
    const auto i = static_cast<usize>(s);
    return i < std::size(kNames) ? kNames[i] : "?";
}

}  // namespace ringlet::net
