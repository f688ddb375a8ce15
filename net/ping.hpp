// Echo requests of our own (RFC 792, RFC 4443 §4), of both families: what was asked, what came back.
// Context: the network monitor.
#pragma once

#include <array>
#include <optional>

#include "lib/bytes.hpp"
#include "lib/result.hpp"
#include "lib/siphash.hpp"
#include "lib/time.hpp"
#include "net/address.hpp"
#include "net/packet.hpp"
#include "net/statistics.hpp"

namespace ringlet::net {

class Pings {
public:
    static constexpr usize kMost = 8;  ///< in flight
    struct Reply {
        Duration round_trip;
        u8 ttl;
        u16 bytes;
    };

    Pings(SipKey key, Statistics& stats) : key_(key), stats_(stats) {}

    /// Names a new one, whose answer result() tells. no_space.
    Result<u32> start(const IpAddr& to, u16 bytes, u16 scope = 0);
    /// would_block: no answer yet. Anything else ends it; invalid for one that has ended.
    Result<Reply> result(u32 ping);
    void cancel(u32 ping);

    bool has_output() const { return unsent_ != 0; }
    struct Outgoing {
        PacketBuffer packet;  ///< window = an ICMP or ICMPv6 message without type and checksum
        IpAddr to;
        u16 scope;
        u32 id;
    };
    /// The next request; nothing when there is none or no packet buffer.
    std::optional<Outgoing> output(PacketPool& pool, Instant now);
    /// An echo reply, window = behind the ICMP header.
    void answered(const IpAddr& from, u16 ident, u16 sequence, Bytes payload, u8 ttl, Instant now);
    /// ICMP says that a request did not arrive.
    void failed(const IpAddr& to, u16 ident, u16 sequence);
    void failed(u32 id);
    /// True once after one ended.
    bool take_change() { return std::exchange(changed_, false); }

private:
    struct Ping {
        u32 id = 0;  // 0: free
        u16 ident = 0, sequence = 0;
        IpAddr to;
        u16 bytes = 0, scope = 0;
        bool unsent = false;
        Instant sent;
        std::optional<Result<Reply>> result;
    };
    Ping* find(u32 id);
    Ping* find(const IpAddr& peer, u16 ident, u16 sequence);

    SipKey key_;
    Statistics& stats_;
    std::array<Ping, kMost> pings_{};
    u32 next_ = 1, unsent_ = 0;
    bool changed_ = false;
};

}  // namespace ringlet::net
