// Segments to and from bytes: RFC 9293 §3.1, §3.2; RFC 7323 §2.2, §3.2; RFC 2018 §2. Nothing read here is trusted:
// each option's length is checked against what is left of the header. Context: the network monitor.
#include "lib/endian.hpp"
#include "net/checksum.hpp"
#include "net/tcp/segment.hpp"

namespace ringlet::net::tcp {
namespace {

enum Kind : u8 {
    end_of_list = 0,
    no_operation = 1,
    mss_option = 2,
    window_scale_option = 3,
    sack_permitted_option = 4,
    sack_option = 5,
    timestamp_option = 8
};

u32 read32(Bytes b, usize at) {
    be32 v;
    std::memcpy(&v, b.data() + at, sizeof(v));
    return v;
}

void parse_option(Segment& s, u8 kind, Bytes body) {
    switch (kind) {
    case mss_option:
        if (body.size() == 2) s.mss = static_cast<u16>(u32(body[0]) << 8 | u32(body[1]));
        break;
    case window_scale_option:  // RFC 7323 §2.3: larger than 14 means 14
        if (body.size() == 1) s.window_scale = std::min(static_cast<u8>(body[0]), kMaxWindowScale);
        break;
    case sack_permitted_option:
        if (body.empty()) s.sack_permitted = true;
        break;
    case sack_option:  // the blocks are not believed here: only the connection knows what it has sent
        if (body.size() % 8 != 0) break;
        s.sack_count = static_cast<u8>(std::min<usize>(body.size() / 8, kMaxSackBlocks));
        for (u32 i = 0; i < s.sack_count; ++i)
            s.sack[i] = {SeqNum(read32(body, 8 * i)), SeqNum(read32(body, 8 * i + 4))};
        break;
    case timestamp_option:
        if (body.size() != 8) break;
        s.has_timestamp = true;
        s.timestamp = read32(body, 0);
        s.timestamp_echo = read32(body, 4);
        break;
    default:
        break;
    }
}

void put32(std::byte*& at, u32 value) {
    const be32 v = value;
    std::memcpy(at, &v, sizeof(v));
    at += sizeof(v);
}

usize option_bytes(const Segment& s) {
    return (s.mss != 0 ? 4u : 0u) + (s.sack_permitted ? 4u : 0u) + (s.window_scale ? 4u : 0u) +
           (s.has_timestamp ? kTimestampBytes : 0u) + (s.sack_count != 0 ? 4u + 8u * s.sack_count : 0u);
}

void write_header(const Segment& s, MutableBytes to) {
    Header h;
    h.source_port = s.local.port;
    h.destination_port = s.remote.port;
    h.sequence = s.seq.raw();
    h.acknowledgment = s.ack.raw();
    h.data_offset = static_cast<u8>(to.size() / 4 << 4);
    h.flags = s.flags;
    h.window = s.window;
    h.checksum = 0;
    h.urgent = s.urgent;
    std::memcpy(to.data(), &h, sizeof(h));
    std::byte* at = to.data() + sizeof(h);
    if (s.mss != 0) put32(at, 0x0204'0000u | s.mss);
    if (s.sack_permitted) put32(at, 0x0101'0402);
    if (s.window_scale) put32(at, 0x0103'0300u | *s.window_scale);
    if (s.has_timestamp) {
        put32(at, TimestampOption::kAlone);
        put32(at, s.timestamp);
        put32(at, s.timestamp_echo);
    }
    if (s.sack_count == 0) return;
    put32(at, 0x0101'0502u + 8u * s.sack_count);
    for (u32 i = 0; i < s.sack_count; ++i) {
        put32(at, s.sack[i].begin.raw());
        put32(at, s.sack[i].end.raw());
    }
}

}  // namespace

bool checksum_ok(IpAddr source, IpAddr destination, Bytes bytes) {
    InternetSum sum = InternetSum::pseudo_header(source, destination, kProtocol, bytes.size());
    sum.add(bytes);
    return sum.is_valid();
}

bool checksum_ok(IpAddr source, IpAddr destination, const PacketBuffer& packet) {
    if (packet.fragments() == 1) return checksum_ok(source, destination, packet.data());
    InternetSum sum = InternetSum::pseudo_header(source, destination, kProtocol, packet.total_size());
    sum.add_at(sum_of(packet), 0);
    return sum.is_valid();
}

void parse_options(Segment& s, Bytes options) {
    while (!options.empty()) {
        const u8 kind = static_cast<u8>(options[0]);
        if (kind == end_of_list) return;
        if (kind == no_operation) {
            options = options.subspan(1);
            continue;
        }
        if (options.size() < 2) return;
        const usize length = static_cast<usize>(options[1]);
        if (length < 2 || length > options.size()) return;
        parse_option(s, kind, options.subspan(2, length - 2));
        options = options.subspan(length);
    }
}

std::optional<PacketBuffer> build_header(PacketPool& pool, const Segment& s) {
    std::optional<PacketBuffer> packet = pool.allocate();
    if (!packet) return packet;
    const MutableBytes header = packet->push_bytes(kHeaderBytes + option_bytes(s));
    write_header(s, header);
    packet->meta().checksum = PacketMeta::Checksum::partial;
    packet->meta().csum_offset = kChecksumOffset;
    packet->meta().header_bytes = static_cast<u16>(header.size());
    const be16 field =
        InternetSum::pseudo_header(s.local.address, s.remote.address, kProtocol, header.size() + s.length).sum();
    std::memcpy(header.data() + kChecksumOffset, &field, sizeof(field));
    return packet;
}

std::optional<PacketBuffer> build(PacketPool& pool, const Segment& s, std::span<const Bytes> payload, TxChecksum mode) {
    std::optional<PacketBuffer> packet = pool.allocate();
    if (!packet) return packet;
    usize length = 0;
    for (const Bytes piece : payload) length += piece.size();
    std::byte* const to = packet->append(length).data();
    const MutableBytes header = packet->push_bytes(kHeaderBytes + option_bytes(s));
    write_header(s, header);
    InternetSum sum = InternetSum::pseudo_header(s.local.address, s.remote.address, kProtocol, header.size() + length);
    usize at = 0;
    be16 field;
    if (mode == TxChecksum::partial) {
        for (const Bytes piece : payload) {
            std::memcpy(to + at, piece.data(), piece.size());
            at += piece.size();
        }
        packet->meta().checksum = PacketMeta::Checksum::partial;
        packet->meta().csum_offset = kChecksumOffset;
        field = sum.sum();
    } else {
        sum.add(header);
        for (const Bytes piece : payload) {
            InternetSum part;
            part.add_copying({to + at, piece.size()}, piece);
            sum.add_at(part, at);
            at += piece.size();
        }
        field = sum.checksum();
    }
    std::memcpy(header.data() + kChecksumOffset, &field, sizeof(field));
    return packet;
}

}  // namespace ringlet::net::tcp
