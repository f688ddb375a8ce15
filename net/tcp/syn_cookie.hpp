// SYN cookies (RFC 4987 §3.6): when there is no room for another half-open connection, all that must be remembered of a
// SYN goes into the SYN-ACK and comes back with the ACK. The sequence number carries the segment size and proves that
// the peer has seen it; the timestamp, if there is one, carries the window scale and SACK. A value. Context: any.
#pragma once

#include <algorithm>
#include <optional>

#include "net/tcp/isn.hpp"
#include "net/tcp/segment.hpp"

namespace ringlet::net::tcp {

class SynCookie {
public:
    /// How long the answer to a cookie may take: at least one period, at most two.
    static constexpr Duration kPeriod = Duration::from_s(64);

    /// The initial sequence number for the answer to `syn`: 27 bits of hash, two of the period, three of the size.
    static SeqNum make(const Secrets& secrets, const Segment& syn, Instant now) {
        const u32 period = period_at(now);
        u32 size = kSizes - 1;
        while (size != 0 && kMss[size] > (syn.mss == 0 ? kDefaultMss : syn.mss)) --size;
        const u32 what = (period & 3) << 3 | size;
        return SeqNum(proof(secrets, syn, syn.seq, period, size) << 5 | what);
    }
    /// `ack` completes a handshake that make() began: what the peer said about its segment size; else nothing.
    static std::optional<u16> check(const Secrets& secrets, const Segment& ack, Instant now) {
        const u32 cookie = (ack.ack - 1u).raw(), size = cookie & 7;
        const u32 age = (period_at(now) - (cookie >> 3)) & 3;
        if (age > 1) return std::nullopt;
        if (proof(secrets, ack, ack.seq - 1u, period_at(now) - age, size) != cookie >> 5) return std::nullopt;
        return kMss[size];
    }

    /// A timestamp no later than `stamp` that carries the options of `syn`; and back, from its echo.
    static u32 mark(u32 stamp, const Segment& syn) {
        const u32 what = u32{syn.sack_permitted} << 4 | syn.window_scale.value_or(kNoScale);
        const u32 marked = (stamp & ~u32{31}) | what;
        return SeqNum(stamp) < SeqNum(marked) ? marked - 32 : marked;
    }
    static void read_mark(u32 echo, Segment& syn) {
        syn.sack_permitted = (echo & 16) != 0;
        if ((echo & 15) <= kMaxWindowScale) syn.window_scale = static_cast<u8>(echo & 15);
    }

private:
    static constexpr u32 kSizes = 8;
    static constexpr u16 kMss[kSizes] = {64, 256, 536, 1024, 1220, 1360, 1440, 1460};
    static constexpr u8 kNoScale = 15;

    static u32 period_at(Instant now) { return static_cast<u32>(now.ns / static_cast<u64>(kPeriod.ns)); }
    static u32 proof(const Secrets& secrets, const Segment& s, SeqNum irs, u32 period, u32 size) {
        return secrets.cookie(s.local, s.remote, irs, u64{period} << 3 | size) >> 5;
    }
};

}  // namespace ringlet::net::tcp
