// Between the network device's buffers and the stack's packets, virtio 1.3 §5.1.6: the header in front of a frame, and
// frames spread over several buffers. Every field of a received header is believed only inside the frame. Not
// templates. Context: the network monitor.
#pragma once

#include <optional>
#include <span>

#include "drivers/virtio/features.hpp"
#include "drivers/virtio/net_counters.hpp"
#include "drivers/virtio/ring.hpp"
#include "drivers/virtio/spec/net.hpp"
#include "net/packet.hpp"

namespace ringlet::virtio {

/// What is negotiated, as far as single frames are concerned.
struct FrameRules {
    bool guest_csum = false, merge = false;
    bool guest_tso4 = false, guest_tso6 = false, guest_uso = false;
    bool host_csum = false, host_tso4 = false, host_tso6 = false, host_uso = false, host_ecn = false;
    u8 header_bytes = sizeof(NetSpec::Header);

    static FrameRules of(FeatureBits negotiated);
    bool large_frames() const { return guest_tso4 || guest_tso6 || guest_uso; }
};

/// Checksum and segmentation of a received frame. `first`: the frame's first buffer, `frame_bytes`: all of it. Nothing
/// when the frame must be dropped: segmentation that is impossible or was not negotiated.
std::optional<net::PacketMeta> received_meta(const NetSpec::Header& h, Bytes first, usize frame_bytes,
                                             const FrameRules& rules, CounterSet<NetCount>& counters);

/// The header for a packet to be sent. False: the device cannot do what the packet asks for; drop it.
bool fill_header(NetSpec::Header& h, const net::PacketMeta& meta, const FrameRules& rules);
/// Finishes a checksum in software that the stack left for the device: only when the device cannot. Chains too.
void complete_checksum(const net::PacketBuffer& p);

/// The pieces of a packet of several buffers; 0 when there are more than `to` holds.
usize gather(const net::PacketBuffer& p, std::span<Segment> to);
/// A number that is the same for all packets of a TCP connection or UDP flow; 0 for anything else.
u32 flow_hash(Bytes frame);

/// Makes frames out of the buffers that come back from one receive queue.
class Assembly {
public:
    /// After negotiation, before anything else; forgets a half-received frame.
    void reset(const FrameRules& rules, CounterSet<NetCount>& counters) {
        counters_ = &counters;
        rules_ = rules;
        head_.reset();
        missing_ = 0;
        drop_ = false;
    }
    /// The next used buffer (or chain of buffers that was posted as one), `written` bytes of it, with `posted` more in
    /// the device's hands. A whole frame, or nothing when there is more to come or nothing worth keeping.
    std::optional<net::PacketBuffer> take(net::PacketBuffer&& p, u32 written, u16 posted) {
        // What nearly every frame is: one buffer, nothing merged.
        if (missing_ == 0 && written >= rules_.header_bytes + kEthernetHeader && p.fragments() == 1) {
            NetSpec::Header h{};
            std::memcpy(&h, p.data().data(), sizeof h);  // a legacy header is shorter, the buffer is not
            if (h.gso_type == NetSpec::kGsoNone && (!rules_.merge || h.num_buffers <= 1)) {
                const usize frame = written - rules_.header_bytes;
                p.window(net::PacketBuffer::kHeadroom, net::PacketBuffer::kHeadroom + frame);
                p.meta() = {};
                if (rules_.guest_csum && h.flags != 0)
                    p.meta() = *received_meta(h, p.data(), frame, rules_, *counters_);
                return std::move(p);
            }
        }
        return take_large(std::move(p), written, posted);
    }
    /// Frames dropped since the last call.
    u32 take_drops() { return std::exchange(drops_, 0u); }
    bool pending() const { return missing_ != 0; }

private:
    static constexpr usize kEthernetHeader = 14;
    std::optional<net::PacketBuffer> take_large(net::PacketBuffer&& p, u32 written, u16 posted);
    std::optional<net::PacketBuffer> begin(net::PacketBuffer&& p, u32 written, u16 posted);
    std::optional<net::PacketBuffer> finish();
    void drop(NetCount why);

    CounterSet<NetCount>* counters_ = nullptr;
    FrameRules rules_;
    std::optional<net::PacketBuffer> head_;  ///< with its frame's bytes so far in bytes_
    NetSpec::Header header_;
    usize bytes_ = 0;
    u16 missing_ = 0;    ///< buffers of the frame that are still to come
    bool drop_ = false;  ///< they are thrown away
    u32 drops_ = 0;
};

}  // namespace ringlet::virtio
