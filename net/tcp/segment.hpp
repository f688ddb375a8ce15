// A TCP segment as a value (RFC 9293 §3.1, RFC 7323 §2, §3, RFC 2018 §2, §3): parsed once, validated once; everything
// after works on numbers. The payload travels beside it in its PacketBuffer. Context: any.
#pragma once

#include <array>
#include <optional>

#include "lib/bytes.hpp"
#include "lib/endian.hpp"
#include "net/address.hpp"
#include "net/checksum.hpp"
#include "net/packet.hpp"
#include "net/tcp/seq.hpp"

namespace ringlet::net::tcp {

inline constexpr u8 kProtocol = 6;
inline constexpr usize kHeaderBytes = 20;
inline constexpr usize kChecksumOffset = 16;
inline constexpr u16 kDefaultMss = 536;       ///< RFC 9293 §3.7.1: what a peer that says nothing can take
inline constexpr u8 kMaxWindowScale = 14;     ///< RFC 7323 §2.3
inline constexpr usize kTimestampBytes = 12;  ///< NOP NOP TS: what each segment carries once agreed
inline constexpr u32 kMaxSackBlocks = 4;      ///< what 40 bytes of options hold; 3 beside a timestamp

namespace flag {
inline constexpr u8 fin = 0x01, syn = 0x02, rst = 0x04, psh = 0x08, ack = 0x10, urg = 0x20;
}

/// As on the wire (RFC 9293 §3.1), without options.
struct Header {
    be16 source_port, destination_port;
    be32 sequence, acknowledgment;
    u8 data_offset;  ///< upper four bits, in 32-bit words
    u8 flags;
    be16 window, checksum, urgent;
};
static_assert(sizeof(Header) == kHeaderBytes && offsetof(Header, checksum) == kChecksumOffset);

/// The option that nearly every segment of a connection with timestamps has, and no other (RFC 7323 §3.2).
struct TimestampOption {
    be32 kinds, timestamp, echo;
    static constexpr u32 kAlone = 0x0101'080a;  ///< NOP NOP TS(10)
};
static_assert(sizeof(TimestampOption) == kTimestampBytes);

/// Bytes [begin, end) that have arrived ahead of the acknowledgment, or twice (RFC 2018 §3, RFC 2883 §3).
struct SackBlock {
    SeqNum begin, end;
    bool empty() const { return begin == end; }
    friend bool operator==(const SackBlock&, const SackBlock&) = default;
};

struct Segment {
    Endpoint local, remote;  ///< of this host and of the peer, whichever way the segment goes
    SeqNum seq, ack;
    u8 flags = 0;
    u16 window = 0;  ///< as on the wire: not scaled
    u16 urgent = 0;  ///< with URG: bytes from seq to the end of what is urgent (RFC 6093 §4)
    u16 length = 0;  ///< payload bytes
    u16 unit = 0;    ///< payload bytes of each segment on the wire, when several arrive merged into one; 0: just one
    u16 header_bytes = kHeaderBytes;
    // options; absent unless said otherwise
    u16 mss = 0;  ///< 0: absent
    std::optional<u8> window_scale;
    bool sack_permitted = false;
    bool has_timestamp = false;
    u8 link = 0;        ///< received: by which it came
    u8 sack_count = 0;  ///< of the blocks in `sack`, in the order of the option
    u32 timestamp = 0, timestamp_echo = 0;
    union {  // not initialised: one is made for each segment that arrives
        std::array<SackBlock, kMaxSackBlocks> sack;
    };

    Segment() {}
    bool has(u8 flags_wanted) const { return (flags & flags_wanted) == flags_wanted; }
    /// SEG.LEN: SYN and FIN count (RFC 9293 §3.4).
    u32 sequence_length() const { return u32{length} + ((flags & flag::syn) != 0) + ((flags & flag::fin) != 0); }
};

/// Reads options into `s`. Malformed ones end the list and are otherwise ignored (RFC 9293 §3.1: "MUST be able to
/// receive").
void parse_options(Segment& s, Bytes options);

/// Reads the header at the front of `bytes` into `s`, a fresh one; `total` bytes of header and payload there are, maybe
/// more than in `bytes`, which then is the first buffer of a chain and must hold the whole header. False: it does not
/// fit. Inline, for it is most of what a received segment costs before its connection is known.
inline bool parse(Segment& s, const IpAddr& source, const IpAddr& destination, Bytes bytes, usize total) {
    if (bytes.size() < sizeof(Header)) return false;
    const auto& h = *reinterpret_cast<const Header*>(bytes.data());
    const usize header_bytes = usize{h.data_offset} >> 4 << 2;
    if (header_bytes < sizeof(Header) || header_bytes > bytes.size() || total > 0xffff) return false;
    if (h.source_port == 0 || h.destination_port == 0) return false;
    s.local.address = destination;
    s.local.port = h.destination_port;
    s.remote.address = source;
    s.remote.port = h.source_port;
    s.seq = SeqNum(h.sequence);
    s.ack = SeqNum(h.acknowledgment);
    s.flags = h.flags & 0x3f;
    s.window = h.window;
    s.urgent = h.urgent;
    s.header_bytes = static_cast<u16>(header_bytes);
    s.length = static_cast<u16>(total - header_bytes);
    if (header_bytes == sizeof(Header)) return true;
    const auto& option = *reinterpret_cast<const TimestampOption*>(&h + 1);
    if (header_bytes == sizeof(Header) + sizeof(option) && option.kinds == TimestampOption::kAlone) [[likely]] {
        s.has_timestamp = true;
        s.timestamp = option.timestamp;
        s.timestamp_echo = option.echo;
    } else {
        parse_options(s, bytes.subspan(sizeof(Header), header_bytes - sizeof(Header)));
    }
    return true;
}
inline std::optional<Segment> parse(const IpAddr& source, const IpAddr& destination, Bytes bytes, usize total) {
    Segment s;
    return parse(s, source, destination, bytes, total) ? std::optional(s) : std::nullopt;
}
inline std::optional<Segment> parse(const IpAddr& source, const IpAddr& destination, Bytes bytes) {
    return parse(source, destination, bytes, bytes.size());
}
/// True when the checksum over pseudo-header and `bytes` is right.
bool checksum_ok(IpAddr source, IpAddr destination, Bytes bytes);

/// The same over a packet that may be a chain.
bool checksum_ok(IpAddr source, IpAddr destination, const PacketBuffer& packet);

enum class TxChecksum : u8 { complete, partial };
/// A packet with `s`'s header and a copy of its payload, s.length bytes in pieces. Nothing when the pool is empty.
std::optional<PacketBuffer> build(PacketPool& pool, const Segment& s, std::span<const Bytes> payload, TxChecksum mode);

/// What most segments are: no flags but ACK and PSH, no option but timestamps.
struct PlainSegment {
    const Endpoint &local, &remote;
    InternetSum pseudo;  ///< of both addresses and the protocol
    SeqNum seq, ack;
    u8 flags = flag::ack;
    u16 window = 0;
    bool has_timestamp = false;
    u32 timestamp = 0, timestamp_echo = 0;
};
/// The same as build(), with the text in one piece. Inline, for it is most of what sending one costs.
[[gnu::always_inline]] inline std::optional<PacketBuffer> build_plain(PacketPool& pool, const PlainSegment& s,
                                                                      Bytes text, TxChecksum mode) {
    std::optional<PacketBuffer> packet = pool.allocate();
    if (!packet) return packet;
    const usize header_bytes = kHeaderBytes + (s.has_timestamp ? sizeof(TimestampOption) : 0);
    std::byte* const to = packet->append(text.size()).data();
    std::byte* const header = packet->push_bytes(header_bytes).data();
    InternetSum sum = s.pseudo;
    sum.add_u32(static_cast<u32>(header_bytes + text.size()));
    auto& h = *reinterpret_cast<Header*>(header);
    h.source_port = s.local.port;
    h.destination_port = s.remote.port;
    h.sequence = s.seq.raw();
    h.acknowledgment = s.ack.raw();
    h.data_offset = static_cast<u8>(header_bytes / 4 << 4);
    h.flags = s.flags;
    h.window = s.window;
    h.checksum = mode == TxChecksum::partial ? sum.sum() : u16{0};
    h.urgent = 0;
    if (s.has_timestamp) {
        auto& option = *reinterpret_cast<TimestampOption*>(&h + 1);
        option.kinds = TimestampOption::kAlone;
        option.timestamp = s.timestamp;
        option.echo = s.timestamp_echo;
    }
    if (mode == TxChecksum::partial) {
        if (!text.empty()) std::memcpy(to, text.data(), text.size());
        packet->meta().checksum = PacketMeta::Checksum::partial;
        packet->meta().csum_offset = kChecksumOffset;
        return packet;
    }
    sum.add({header, header_bytes});
    InternetSum part;
    part.add_copying({to, text.size()}, text);
    sum.add_at(part, 0);
    h.checksum = sum.checksum();
    return packet;
}

/// A packet with `s`'s header alone; the caller appends s.length bytes of payload as fragments. The checksum is
/// partial.
std::optional<PacketBuffer> build_header(PacketPool& pool, const Segment& s);

}  // namespace ringlet::net::tcp
