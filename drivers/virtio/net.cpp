// The parts of the network driver that do not depend on its configuration: checksum metadata, virtio 1.2 §5.1.6.
#include "drivers/virtio/net.hpp"

namespace ringlet::virtio {

net::PacketMeta received_meta(const NetSpec::Header& h, usize frame_bytes) {
    using Checksum = net::PacketMeta::Checksum;
    net::PacketMeta meta;
    if (h.flags & NetSpec::kHdrNeedsCsum) {
        const u32 end = u32{h.csum_start} + h.csum_offset + 2;
        if (end > frame_bytes) return meta;  // nonsense: verified in software like any other packet
        meta.checksum = Checksum::partial;
        meta.csum_start = h.csum_start;
        meta.csum_offset = h.csum_offset;
    } else if (h.flags & NetSpec::kHdrDataValid) {
        meta.checksum = Checksum::verified;
    }
    return meta;
}

void complete_checksum(MutableBytes frame, const net::PacketMeta& meta) {
    const usize start = meta.csum_start, field = start + meta.csum_offset;
    if (field + 2 > frame.size()) return;
    u64 sum = 0;  // the field holds the pseudo-header's sum (§5.1.6.2)
    for (usize i = start; i + 1 < frame.size(); i += 2) sum += u64(frame[i]) << 8 | u64(frame[i + 1]);
    if ((frame.size() - start) % 2 != 0) sum += u64(frame.back()) << 8;
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    u16 folded = u16(~sum);
    if (folded == 0) folded = 0xffff;  // for UDP 0 means none; for TCP the two are the same number
    frame[field] = std::byte(folded >> 8);
    frame[field + 1] = std::byte(folded & 0xff);
}

}  // namespace ringlet::virtio
