// A virtio entropy device (virtio 1.2 §5.4) that counts upwards instead. Host tests only.
#pragma once

#include <optional>

#include "drivers/virtio/spec/rng.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

class RngDevice final : public VirtioDevice {
public:
    std::optional<Chain> held;
    bool immediate = true;
    u32 most = 1 << 20;  ///< bytes per answer
    u32 lie = 0;         ///< more bytes than were written
    u8 next = 1;
    u64 asked = 0;

    RngDevice() {
        type = virtio::RngSpec::kDeviceId;
        offered = virtio::mask(virtio::Common::version_1, virtio::Common::event_idx);
        queues.resize(1);
    }
    void on_notify(u16) override {
        RingDevice& ring = queues[0].ring;
        ring.busy();
        do {
            while (auto chain = ring.take()) {
                if (!chain->out.empty()) ring.violate("readable buffer for an entropy device");  // §5.4.6.1
                if (held) ring.violate("test: two requests at once");
                held = *chain;
                ++asked;
            }
        } while (ring.sleep());
        if (immediate && held) answer();
    }
    void on_reset() override { held.reset(); }

    void answer() {
        const Chain chain = *std::exchange(held, std::nullopt);
        u32 written = 0;
        for (const Piece& p : chain.in)
            for (u32 i = 0; i < p.len && written < most; ++i, ++written) p.bytes[i] = std::byte(next++);
        complete(0, chain.id, written + lie);
    }
};

}  // namespace ringlet::device
