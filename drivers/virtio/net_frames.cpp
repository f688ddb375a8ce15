// Headers and merged frames, virtio 1.3 §5.1.6.2 and §5.1.6.4. Context: the network monitor.
#include "drivers/virtio/net_frames.hpp"

#include <algorithm>

namespace ringlet::virtio {

using net::PacketBuffer, net::PacketMeta;
using Spec = NetSpec;

namespace {

u16 be16_at(Bytes b, usize at) {
    return u16(u16(b[at]) << 8 | u16(b[at + 1]));
}
constexpr usize kEthernet = 14;
constexpr u16 kIpv4 = 0x0800, kIpv6 = 0x86dd;

/// All headers of a segmented packet: to be believed only as far as the first buffer reaches. 0: not to be known.
u16 header_bytes(const Spec::Header& h, Bytes first, bool tcp) {
    const usize l4 = h.csum_start;
    if ((h.flags & Spec::kHdrNeedsCsum) == 0 || l4 < kEthernet + 20) return 0;
    if (!tcp) return l4 + 8 <= first.size() ? u16(l4 + 8) : u16{0};
    if (l4 + 20 > first.size()) return 0;
    const usize tcp_bytes = usize(first[l4 + 12]) >> 4 << 2;
    return tcp_bytes >= 20 && l4 + tcp_bytes <= first.size() ? u16(l4 + tcp_bytes) : u16{0};
}

}  // namespace

FrameRules FrameRules::of(FeatureBits f) {
    using F = Spec::Feature;
    const auto has = [f](auto bit) { return f.test(unsigned(bit)); };
    FrameRules r{.guest_csum = has(F::guest_csum),
                 .merge = has(F::mrg_rxbuf),
                 .guest_tso4 = has(F::guest_tso4),
                 .guest_tso6 = has(F::guest_tso6),
                 .guest_uso = has(F::guest_uso4) || has(F::guest_uso6),
                 .host_csum = has(F::csum),
                 .host_tso4 = has(F::host_tso4),
                 .host_tso6 = has(F::host_tso6),
                 .host_uso = has(F::host_uso),
                 .host_ecn = has(F::host_ecn)};
    if (has(F::hash_report))
        r.header_bytes = sizeof(Spec::HashHeader);
    else if (!has(Common::version_1) && !r.merge)
        r.header_bytes = 10;  // §5.1.6.1: the legacy header ends before num_buffers
    return r;
}

std::optional<PacketMeta> received_meta(const Spec::Header& h, Bytes first, usize frame_bytes, const FrameRules& rules,
                                        CounterSet<NetCount>& counters) {
    using Checksum = PacketMeta::Checksum;
    using Gso = PacketMeta::Gso;
    PacketMeta meta;
    if (rules.guest_csum && (h.flags & Spec::kHdrNeedsCsum) != 0) {
        const usize end = usize{h.csum_start} + h.csum_offset + 2;
        if (end <= frame_bytes && h.csum_offset <= 0xff) {
            meta.checksum = Checksum::partial;
            meta.csum_start = h.csum_start;
            meta.csum_offset = u8(h.csum_offset);
        } else {
            counters.add(NetCount::rx_csum_bad_offset);  // nonsense: verified in software like any other frame
        }
    } else if (rules.guest_csum && (h.flags & Spec::kHdrDataValid) != 0) {
        meta.checksum = Checksum::verified;
    }
    if (h.gso_type == Spec::kGsoNone) return meta;

    const u8 type = u8(h.gso_type & ~Spec::kGsoEcn);
    const u16 protocol = first.size() >= kEthernet ? be16_at(first, 12) : u16{0};
    if (type == Spec::kGsoTcpv4 && rules.guest_tso4 && protocol == kIpv4)
        meta.gso = Gso::tcp4;
    else if (type == Spec::kGsoTcpv6 && rules.guest_tso6 && protocol == kIpv6)
        meta.gso = Gso::tcp6;
    else if (type == Spec::kGsoUdpL4 && rules.guest_uso && (protocol == kIpv4 || protocol == kIpv6))
        meta.gso = Gso::udp;
    if (meta.gso == Gso::none || h.gso_size == 0) return std::nullopt;
    meta.gso_size = h.gso_size;
    meta.ecn = (h.gso_type & Spec::kGsoEcn) != 0;
    meta.header_bytes = header_bytes(h, first, meta.gso != Gso::udp);
    return meta;
}

bool fill_header(Spec::Header& h, const PacketMeta& meta, const FrameRules& rules) {
    using Gso = PacketMeta::Gso;
    if (meta.checksum == PacketMeta::Checksum::partial) {
        h.flags = Spec::kHdrNeedsCsum;
        h.csum_start = meta.csum_start;
        h.csum_offset = meta.csum_offset;
    }
    if (meta.gso == Gso::none) return true;
    const bool able = meta.gso == Gso::tcp4   ? rules.host_tso4
                      : meta.gso == Gso::tcp6 ? rules.host_tso6
                                              : rules.host_uso;
    if (!able || meta.gso_size == 0 || h.flags == 0 || (meta.ecn && !rules.host_ecn)) return false;
    h.gso_type = meta.gso == Gso::tcp4 ? Spec::kGsoTcpv4 : meta.gso == Gso::tcp6 ? Spec::kGsoTcpv6 : Spec::kGsoUdpL4;
    if (meta.ecn) h.gso_type |= Spec::kGsoEcn;
    h.gso_size = meta.gso_size;
    h.hdr_len = meta.header_bytes;
    return true;
}

void complete_checksum(const PacketBuffer& p) {
    const PacketMeta& meta = p.meta();
    const usize field = usize{meta.csum_start} + meta.csum_offset;
    const MutableBytes first = p.data();
    if (field + 2 > first.size()) return;
    u64 sum = 0;  // the field holds the pseudo-header's sum (§5.1.6.2)
    usize skip = meta.csum_start;
    bool odd = false;  // across the buffers of a chain a word may be cut in two
    p.for_each_fragment([&](MutableBytes b, DmaAddr) {
        for (usize i = std::min(skip, b.size()); i < b.size(); ++i, odd = !odd) sum += u64(b[i]) << (odd ? 0 : 8);
        skip -= std::min(skip, b.size());
    });
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    u16 folded = u16(~sum);
    if (folded == 0) folded = 0xffff;  // for UDP 0 means none; for TCP the two are the same number
    first[field] = std::byte(folded >> 8);
    first[field + 1] = std::byte(folded & 0xff);
}

usize gather(const PacketBuffer& p, std::span<Segment> to) {
    usize n = 0;
    bool fits = true;
    p.for_each_fragment([&](MutableBytes b, DmaAddr at) {
        if (b.empty()) return;  // a descriptor must not be empty
        if (n == to.size())
            fits = false;
        else
            to[n++] = {at, u32(b.size())};
    });
    return fits ? n : 0;
}

u32 flow_hash(Bytes frame) {
    constexpr usize kIp = kEthernet;
    if (frame.size() < kIp + 20) return 0;
    std::array<u32, 9> words{};  // the addresses and, where there are any, the ports
    const u16 type = be16_at(frame, 12);
    u8 protocol = 0;
    usize l4 = 0;
    if (type == kIpv4) {
        std::memcpy(words.data(), frame.data() + kIp + 12, 8);
        protocol = u8(frame[kIp + 9]);
        const bool whole = (be16_at(frame, kIp + 6) & 0x3fff) == 0;  // a fragment has no ports, or not always
        if (whole) l4 = kIp + (usize(frame[kIp]) & 15) * 4;
    } else if (type == kIpv6 && frame.size() >= kIp + 40) {
        std::memcpy(words.data(), frame.data() + kIp + 8, 32);
        protocol = u8(frame[kIp + 6]);
        l4 = kIp + 40;
    } else {
        return 0;
    }
    if ((protocol == 6 || protocol == 17) && l4 != 0 && frame.size() >= l4 + 4)
        std::memcpy(&words[8], frame.data() + l4, 4);
    u32 hash = 0;
    for (const u32 w : words) hash = (hash ^ w) * 0x9e3779b1u;
    // Neighbouring ports differ in few bits, and those end up anywhere: all of them must reach the lowest ones.
    hash = (hash ^ hash >> 16) * 0x85ebca6bu;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
    return hash ^ hash >> 16;
}

// --- frames over several buffers -------------------------------------------------------------------------------------

void Assembly::drop(NetCount why) {
    counters_->add(why);
    ++drops_;
    head_.reset();
    drop_ = missing_ != 0;
}

std::optional<PacketBuffer> Assembly::take_large(PacketBuffer&& p, u32 written, u16 posted) {
    if (missing_ == 0) return begin(std::move(p), written, posted);
    --missing_;
    if (drop_) {
        drop_ = missing_ != 0;
        return std::nullopt;
    }
    const usize size = p.size();
    // All but the last must be full (§5.1.6.4.1), or where the next one's bytes belong cannot be known.
    if (written == 0 || (missing_ != 0 && written != size)) return drop(NetCount::rx_mergeable_failed), std::nullopt;
    bytes_ += written;
    if (bytes_ > Spec::kMostGsoFrame) return drop(NetCount::rx_frame_too_large), std::nullopt;
    p.trim_to(written);
    head_->append_fragment(std::move(p));
    return missing_ == 0 ? finish() : std::nullopt;
}

/// The first buffer of a frame: alone, with others to come, or a chain that was posted as one.
std::optional<PacketBuffer> Assembly::begin(PacketBuffer&& p, u32 written, u16 posted) {
    const usize header = rules_.header_bytes;
    if (written < header + kEthernetHeader) return drop(NetCount::rx_frame_too_short), std::nullopt;
    header_ = {};
    std::memcpy(&header_, p.data().data(), std::min(header, sizeof header_));
    const u16 count = rules_.merge && header_.num_buffers > 1 ? u16(header_.num_buffers) : u16{1};
    if (count - 1 > posted) return drop(NetCount::rx_mergeable_failed), std::nullopt;  // the rest cannot ever come
    missing_ = u16(count - 1);
    if (missing_ != 0 && written != p.total_size()) return drop(NetCount::rx_mergeable_failed), std::nullopt;
    bytes_ = written - header;
    const bool large = missing_ != 0 || written > p.size();
    if ((large && !rules_.large_frames()) || bytes_ > Spec::kMostGsoFrame)
        return drop(NetCount::rx_frame_too_large), std::nullopt;
    p.trim_to(written);
    (void)p.pull_bytes(header);
    head_.emplace(std::move(p));
    return missing_ == 0 ? finish() : std::nullopt;
}

std::optional<PacketBuffer> Assembly::finish() {
    const auto meta = received_meta(header_, head_->data(), bytes_, rules_, *counters_);
    if (!meta) return drop(NetCount::rx_bad_gso), std::nullopt;
    head_->meta() = *meta;
    return std::exchange(head_, std::nullopt);
}

}  // namespace ringlet::virtio
