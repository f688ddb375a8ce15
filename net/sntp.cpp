// RFC 4330 §4 and §5, RFC 5905 §7.3 and §7.4. Context: the owner's.
#include "net/sntp.hpp"

#include <algorithm>

#include "lib/endian.hpp"

namespace ringlet::net {
namespace {

struct NtpMessage {
    u8 leap_version_mode, stratum, poll, precision;
    be32 root_delay, root_dispersion;  // seconds, 16.16
    u8 reference_id[4];
    be64 reference, origin, receive, transmit;  // seconds since 1900 and a fraction, 32.32
};
static_assert(sizeof(NtpMessage) == Sntp::kMessageBytes && alignof(NtpMessage) == 1);

constexpr u8 kClient = 3, kServer = 4, kVersion = 4, kUnsynchronised = 3;
constexpr u64 kSecond = 1'000'000'000;
constexpr u64 k1900To1970 = 2'208'988'800;
// No answer can be from before this code: it decides between eras of 136 years, and is itself a check.
constexpr u64 kEarliest = 1'735'689'600;   // 2025-01-01
constexpr u32 kLargestDistance = 3 << 15;  // RFC 5905: MAXDIST, 1.5 s in 16.16

/// Nanoseconds since 1970, in the first era that is not before kEarliest.
u64 to_unix_ns(u64 ntp) {
    u64 seconds = ntp >> 32;
    if (seconds < k1900To1970 + kEarliest) seconds += u64{1} << 32;
    return (seconds - k1900To1970) * kSecond + (((ntp & 0xffff'ffff) * kSecond) >> 32);
}

bool is_code(const u8 (&id)[4], std::string_view code) {
    return std::equal(code.begin(), code.end(), id, [](char a, u8 b) { return static_cast<u8>(a) == b; });
}

}  // namespace

void Sntp::set_servers(std::span<const IpAddr> servers, Instant now) {
    servers = servers.first(std::min(servers.size(), kServers));
    if (std::ranges::equal(servers, servers_)) return;
    servers_.clear();
    for (const IpAddr& s : servers) servers_.try_push_back(s);
    server_ = denied_ = failures_ = 0;
    waiting_ = due_ = false;
    deadline_ = now;
}

std::optional<IpAddr> Sntp::output(MutableBytes to, Instant now) {
    if (!due_ || servers_.empty()) return std::nullopt;
    due_ = false;
    waiting_ = true;
    nonce_ = random();
    sent_at_ = now;
    deadline_ = now + kPatience;
    NtpMessage m{};
    m.leap_version_mode = kVersion << 3 | kClient;
    m.transmit = nonce_;
    std::memcpy(to.data(), &m, sizeof(m));
    ++status_.sent;
    status_.server = servers_[server_];
    return servers_[server_];
}

/// RFC 4330 §5's list. The time between sending and receiving is our own clock's: 0 < T3 - T2 <= T4 - T1.
Sntp::Verdict Sntp::judge(Bytes message, u64& unix_ns, Duration& delay, Instant now) const {
    const auto m = read_at<NtpMessage>(message, 0);
    if (!m || m->origin != nonce_) return Verdict::lie;
    const u8 leap = m->leap_version_mode >> 6, version = m->leap_version_mode >> 3 & 7, mode = m->leap_version_mode & 7;
    if (mode != kServer || version < 3 || version > kVersion) return Verdict::lie;
    if (m->stratum == 0) {  // kiss-o'-death
        if (is_code(m->reference_id, "DENY") || is_code(m->reference_id, "RSTR")) return Verdict::go_away;
        return is_code(m->reference_id, "RATE") ? Verdict::slow_down : Verdict::lie;
    }
    if (leap == kUnsynchronised || m->stratum > 15 || m->receive == 0 || m->transmit == 0) return Verdict::lie;
    if (m->root_delay / 2 + u64{m->root_dispersion} > kLargestDistance) return Verdict::lie;
    const u64 received = to_unix_ns(m->receive), sent = to_unix_ns(m->transmit);
    const u64 elapsed = now.ns - sent_at_.ns;
    if (sent < received || sent - received > elapsed) return Verdict::lie;
    delay = Duration{static_cast<i64>(elapsed - (sent - received))};
    unix_ns = sent + static_cast<u64>(delay.ns) / 2;
    return Verdict::good;
}

void Sntp::input(Bytes message, u64 wall, Instant now) {
    if (!waiting_) return;
    u64 unix_ns = 0;
    Duration delay;
    switch (judge(message, unix_ns, delay, now)) {
    case Verdict::lie:
        ++status_.refused;  // the real answer may still come
        return;
    case Verdict::go_away:
        denied_ = static_cast<u8>(denied_ | 1u << server_);
        return next_server(now);
    case Verdict::slow_down:
        poll_interval_ = std::min(poll_interval_ * 2, kLongestPoll);
        failures_ = 0;
        waiting_ = false;
        deadline_ = now + poll_interval_;
        return;
    case Verdict::good:
        status_.stratum = static_cast<u8>(message[1]);
        status_.delay = delay;
        return on_good(unix_ns, wall, now);
    }
}

void Sntp::on_good(u64 unix_ns, u64 wall, Instant now) {
    const i64 offset = static_cast<i64>(unix_ns - wall);
    const bool small = std::max(offset, -offset) <= kLargestSlew.ns;
    waiting_ = false;
    failures_ = 0;
    ++status_.good;
    status_.last = now;
    status_.offset_ns = offset;
    deadline_ = now + kShortestPause;
    if (status_.synchronised && !small) {
        const bool confirmed = doubt_ && std::max(offset - *doubt_, *doubt_ - offset) <= kLargestSlew.ns;
        if (!confirmed) {  // ask once more before jumping
            doubt_ = offset;
            return;
        }
    }
    doubt_.reset();
    correction_ =
        Correction{status_.synchronised && small ? Correction::How::slew : Correction::How::step, offset, unix_ns, now};
    const bool steady = status_.synchronised && std::max(offset, -offset) < kLargestSlew.ns / 8;
    poll_interval_ = steady ? std::min(poll_interval_ * 2, kLongestPoll) : kShortestPoll;
    status_.synchronised = true;
    deadline_ = now + poll_interval_;
}

void Sntp::failed(Instant now) {
    if (waiting_) next_server(now);
}

/// The next that may be asked: at once, and after a round of failures with ever longer pauses.
void Sntp::next_server(Instant now) {
    waiting_ = false;
    const usize n = servers_.size();
    if (failures_ < 100) ++failures_;
    usize allowed = 0;
    for (usize i = 0; i < n; ++i) allowed += (denied_ >> i & 1) == 0;
    if (allowed == 0) {  // until other servers are set
        deadline_ = Instant::never();
        return;
    }
    do server_ = static_cast<u8>((server_ + 1u) % n);
    while ((denied_ >> server_ & 1) != 0);
    const usize rounds = failures_ / allowed;
    const bool again_the_same = failures_ % allowed == 0;
    deadline_ = again_the_same
                    ? now + std::min(kShortestPause * (i64{1} << std::min<usize>(rounds - 1, 7)), kLongestPoll)
                    : now;
}

void Sntp::poll(Instant now) {
    if (servers_.empty() || now < deadline_) return;
    if (waiting_) return next_server(now);
    due_ = true;
    deadline_ = Instant::never();  // output() sets it
}

Sntp::Status Sntp::status() const {
    Status s = status_;
    s.next = waiting_ ? Instant::never() : deadline_;
    return s;
}

}  // namespace ringlet::net
