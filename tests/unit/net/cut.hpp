// The device's half of transmission offloads: one large packet becomes the frames on the wire (what QEMU's tap or a
// NIC does with a virtio header that says NEEDS_CSUM and GSO_TCPV4). Host tests only.
#pragma once

#include <catch2/catch.hpp>

#include <vector>

#include "net/checksum.hpp"
#include "net/headers.hpp"
#include "net/packet.hpp"

namespace ringlet::net::test {

inline std::vector<std::byte> joined(const PacketBuffer& p) {
    std::vector<std::byte> all;
    p.for_each_fragment([&](MutableBytes b, DmaAddr) { all.insert(all.end(), b.begin(), b.end()); });
    return all;
}

/// `tcp`: where the TCP header begins; when that is not 0, an IPv4 header of 20 bytes lies in front of it, and its
/// pseudo-header is taken from there; otherwise from `source` and `destination`.
inline std::vector<std::vector<std::byte>> cut(const PacketBuffer& p, usize tcp, IpAddr source = {},
                                               IpAddr destination = {}) {
    using Piece = std::vector<std::byte>;
    const PacketMeta m = p.meta();
    const Piece whole = joined(p);
    std::vector<Piece> out;
    const auto put = [](Piece& f, usize at, auto v) { std::memcpy(f.data() + at, &v, sizeof v); };
    if (m.gso == PacketMeta::Gso::none) {
        out.push_back(whole);
        if (m.checksum != PacketMeta::Checksum::partial) return out;
        const usize start = m.csum_start;
        REQUIRE(start + m.csum_offset + 2 <= whole.size());
        InternetSum s;
        s.add(Bytes(whole).subspan(start));
        put(out[0], start + m.csum_offset, be16(s.checksum()));
        return out;
    }
    REQUIRE(m.gso == PacketMeta::Gso::tcp4);
    REQUIRE(m.checksum == PacketMeta::Checksum::partial);
    REQUIRE(m.csum_start == tcp);
    REQUIRE(m.csum_offset == 16);
    const usize header = m.header_bytes;
    REQUIRE(header == tcp + (usize(whole[tcp + 12]) >> 4 << 2));
    REQUIRE(header == p.size());  // the headers are in the first buffer, alone
    REQUIRE(m.gso_size != 0);
    REQUIRE(whole.size() > header + m.gso_size);
    {  // the field must hold the pseudo-header's sum over the whole length
        const auto ip = read_at<Ipv4Header>(Bytes(whole), tcp - (tcp != 0 ? 20 : 0));
        if (tcp != 0) source = Ipv4Addr{ip->source}, destination = Ipv4Addr{ip->destination};
        if (tcp != 0) REQUIRE(ip->total_length == whole.size() - tcp + 20);
        const u16 seeded = *read_at<be16>(Bytes(whole), tcp + 16);
        REQUIRE(seeded == InternetSum::pseudo_header(source, destination, 6, whole.size() - tcp).sum());
    }
    const u32 seq = *read_at<be32>(Bytes(whole), tcp + 4);
    for (usize at = header; at < whole.size(); at += m.gso_size) {
        const usize n = std::min<usize>(m.gso_size, whole.size() - at);
        Piece f(whole.begin(), whole.begin() + long(header));
        f.insert(f.end(), whole.begin() + long(at), whole.begin() + long(at + n));
        put(f, tcp + 4, be32(u32(seq + (at - header))));
        if (at + n != whole.size()) f[tcp + 13] &= std::byte(0xf6);  // FIN and PSH: on the last alone
        put(f, tcp + 16, be16(0));
        InternetSum s = InternetSum::pseudo_header(source, destination, 6, f.size() - tcp);
        s.add(Bytes(f).subspan(tcp));
        put(f, tcp + 16, be16(s.checksum()));
        if (tcp != 0) {
            put(f, tcp - 18, be16(u16(f.size() - tcp + 20)));
            put(f, tcp - 10, be16(0));
            put(f, tcp - 10, be16(internet_checksum(Bytes(f).subspan(tcp - 20, 20))));
        }
        out.push_back(std::move(f));
    }
    return out;
}

/// One packet over several buffers, `first` bytes in the first and at most `each` in the others: a merged frame as
/// receive() yields it. Nothing when the pool is too empty.
inline std::optional<PacketBuffer> scatter(PacketPool& pool, Bytes bytes, usize first, usize each) {
    std::optional<PacketBuffer> p;
    for (usize n = std::min(first, bytes.size()); !p || !bytes.empty(); n = std::min(each, bytes.size())) {
        auto b = pool.allocate();
        if (!b) return std::nullopt;
        if (p) b->window(0, 0);
        if (n != 0) std::memcpy(b->append(n).data(), bytes.data(), n);
        bytes = bytes.subspan(n);
        if (p)
            p->append_fragment(std::move(*b));
        else
            p = std::move(b);
    }
    return p;
}

}  // namespace ringlet::net::test
