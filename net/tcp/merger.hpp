// Consecutive segments of one connection that arrived in one batch, joined into one as a device would (a chain, with
// gso_size): the connection then looks at one instead of each. Only what differs in nothing that it would notice is
// joined: same addresses, ports, acknowledgment, window and flags, the next sequence number, the same options
// (timestamps may go on: that of the first counts, for none between is acknowledged, RFC 7323 §4.3), as long as the
// first or, the last one, shorter, and with a right checksum. PSH ends it. One is held at a time.
// Context: the network monitor.
#pragma once

#include <optional>

#include "lib/endian.hpp"
#include "net/tcp/segment.hpp"

namespace ringlet::net::tcp {

class Merger {
public:
    static constexpr u32 kWorthHolding = 512;  ///< bytes of payload: small ones are requests, and want an answer
    static constexpr u16 kMost = 64;           ///< segments: one round of the pump

    /// Is it large enough to be worth a look?
    static bool may_join(const PacketBuffer& p) { return p.size() >= sizeof(Header) + kWorthHolding; }

    struct Held {
        IpAddr source, destination;
        PacketBuffer packet;
    };
    /// Appends `p` to what is held when it continues that: then it is gone.
    bool join(const IpAddr& source, const IpAddr& destination, PacketBuffer& p);
    /// Holds `p`, if more may follow that can be joined: then it is gone. Nothing must be held.
    bool begin(const IpAddr& source, const IpAddr& destination, PacketBuffer& p);
    bool holds() const { return held_.has_value(); }
    /// Nothing can follow any more.
    bool is_full() const { return full_; }
    /// What is held, as Tcp::input() takes it.
    std::optional<Held> take();
    usize buffers() const { return held_ ? held_->packet.buffers() : 0; }

private:
    /// As on the wire (RFC 9293 §3.1), with the one option that is joined (RFC 7323 §3.2).
    struct Header {
        be16 source_port, destination_port;
        be32 sequence, acknowledgment;
        u8 data_offset, flags;
        be16 window, checksum, urgent;
        be32 option_kinds, timestamp, timestamp_echo;
    };
    static_assert(sizeof(Header) == kHeaderBytes + kTimestampBytes);
    struct Parsed {
        Header header;
        u16 header_bytes, length;
        bool has_timestamp() const { return header_bytes != kHeaderBytes; }
    };
    static std::optional<Parsed> parse(const PacketBuffer& p);

    std::optional<Held> held_;
    Header first_{};  ///< of what is held; `timestamp` of the latest
    SeqNum next_;
    u32 bytes_ = 0;  ///< of header and payload
    u16 unit_ = 0, header_bytes_ = 0, count_ = 0;
    bool full_ = false;
};

}  // namespace ringlet::net::tcp
