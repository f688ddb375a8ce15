// A virtio block device (virtio 1.2 §5.2) over a vector of bytes. Host tests only.
#pragma once

#include <cstring>
#include <deque>

#include "drivers/virtio/spec/blk.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

class BlkDevice final : public VirtioDevice {
public:
    using Spec = virtio::BlkSpec;
    std::vector<u8> disk;
    std::deque<Chain> waiting;  ///< taken, not served
    bool immediate = true;      ///< serve at the doorbell
    u8 answer = 0;              ///< status byte of every request
    bool writes_status = true;
    u64 flushes = 0, served = 0, with_indirect = 0;

    explicit BlkDevice(u64 sectors = 2048) : disk(sectors * 512) {
        type = Spec::kDeviceId;
        using F = Spec::Feature;
        using virtio::Common;
        offered = virtio::mask(Common::version_1, Common::event_idx, Common::indirect_desc, F::seg_max, F::blk_size,
                               F::flush, F::topology, F::discard);
        config.resize(60);
        put<u64>(0, sectors);
        put<u32>(12, 126);
        put<u32>(20, 512);
        queues.resize(1);
        queues[0].max_size = 128;
    }
    template <class T> void put(usize at, T v) { std::memcpy(config.data() + at, &v, sizeof v); }

    void on_notify(u16) override {
        RingDevice& ring = queues[0].ring;
        ring.busy();
        do {
            while (auto chain = ring.take()) {
                with_indirect += chain->indirect;
                waiting.push_back(*chain);
            }
        } while (ring.sleep());
        while (immediate && !waiting.empty() && live()) serve(0);
    }
    void on_reset() override { waiting.clear(); }

    /// Serves one of the waiting requests.
    void serve(usize which) {
        const Chain chain = waiting.at(which);
        waiting.erase(waiting.begin() + isize(which));
        RingDevice& ring = queues[0].ring;
        if (chain.out.empty() || chain.out[0].len != 16 || chain.in.empty() || chain.in.back().len != 1)
            return ring.violate("malformed request");
        Spec::Request header;
        std::memcpy(&header, chain.out[0].bytes, sizeof header);
        u32 written = 1;
        u64 at = header.sector * 512;
        if (*reinterpret_cast<u8*>(chain.in.back().bytes) != 0xff) ring.violate("status byte not poisoned");
        if (answer == 0 && header.type == Spec::kTypeFlush) {
            ++flushes;
            if (header.sector != 0) ring.violate("flush with a sector");
        } else if (answer == 0) {
            const bool in = header.type == Spec::kTypeIn;
            const auto& pieces = in ? chain.in : chain.out;
            for (usize i = in ? 0 : 1; i < pieces.size() - (in ? 1 : 0); ++i) {
                if (at + pieces[i].len > disk.size()) return ring.violate("beyond the disk");
                if (in)
                    std::memcpy(pieces[i].bytes, &disk[at], pieces[i].len), written += pieces[i].len;
                else
                    std::memcpy(&disk[at], pieces[i].bytes, pieces[i].len);
                at += pieces[i].len;
            }
        }
        if (writes_status) *chain.in.back().bytes = std::byte(answer);
        ++served;
        complete(0, chain.id, written);
    }

private:
    using isize = std::ptrdiff_t;
};

}  // namespace ringlet::device
