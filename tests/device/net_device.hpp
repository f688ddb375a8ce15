// A virtio network device (virtio 1.2 §5.1): frames in, frames out. Host tests only.
#pragma once

#include <cstring>

#include "drivers/virtio/spec/net.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

class NetDevice final : public VirtioDevice {
public:
    using Spec = virtio::NetSpec;
    using Header = Spec::Header;
    struct Sent {
        Header header;
        std::vector<u8> frame;
    };
    std::vector<Sent> sent;
    std::vector<u16> tx_held;  ///< with hold_tx: chains not given back yet
    bool hold_tx = false;
    u64 rx_without_buffer = 0;

    NetDevice() {
        type = Spec::kDeviceId;
        using F = Spec::Feature;
        using virtio::Common;
        offered = virtio::mask(Common::version_1, Common::event_idx, F::mac, F::status, F::mtu, F::csum, F::guest_csum,
                               F::mrg_rxbuf, F::ctrl_vq);
        config = {0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, 1, 0, 0xdc, 0x05};
        queues.resize(2);
    }
    void set_mtu(u16 mtu) { config[10] = u8(mtu), config[11] = u8(mtu >> 8); }

    void on_notify(u16 queue) override {
        if (queue != 1) return;
        RingDevice& ring = queues[1].ring;
        ring.busy();
        do {
            while (auto chain = ring.take()) take_frame(*chain);
        } while (ring.sleep());
    }
    void on_reset() override { tx_held.clear(); }
    void release_tx() {
        for (u16 id : std::exchange(tx_held, {})) complete(1, id, 0);
    }

    /// The host sends a frame. False: there was no buffer.
    bool receive(const std::vector<u8>& frame, Header header = {}) {
        RingDevice& ring = queues[0].ring;
        auto chain = ring.take();
        if (!chain) return ++rx_without_buffer, (void)ring.sleep(), false;
        if (!chain->out.empty()) ring.violate("readable part in a receive buffer");
        if (chain->writable() < 1526) ring.violate("receive buffer too small for the MTU");
        if (header.num_buffers == 0) header.num_buffers = 1;
        std::memcpy(chain->in[0].bytes, &header, sizeof header);
        std::memcpy(chain->in[0].bytes + sizeof header, frame.data(), frame.size());
        ring.busy();
        complete(0, chain->id, u32(sizeof header + frame.size()));
        return true;
    }

private:
    void take_frame(const Chain& chain) {
        RingDevice& ring = queues[1].ring;
        if (!chain.in.empty()) ring.violate("writable part in a transmission");
        std::vector<u8> bytes;
        for (const Piece& p : chain.out)
            bytes.insert(bytes.end(), reinterpret_cast<u8*>(p.bytes), reinterpret_cast<u8*>(p.bytes) + p.len);
        if (bytes.size() < sizeof(Header) + 14) return ring.violate("frame without headers");
        Sent s;
        std::memcpy(&s.header, bytes.data(), sizeof s.header);
        if (s.header.num_buffers != 0) ring.violate("num_buffers set by the driver");
        if ((s.header.flags & 1) && !accepted.test(0)) ring.violate("NEEDS_CSUM without CSUM");
        s.frame.assign(bytes.begin() + sizeof(Header), bytes.end());
        sent.push_back(std::move(s));
        if (hold_tx)
            tx_held.push_back(chain.id);
        else
            complete(1, chain.id, 0);
    }
};

}  // namespace ringlet::device
