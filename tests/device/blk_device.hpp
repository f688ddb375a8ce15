// A virtio block device (virtio 1.2 §5.2) over a vector of bytes. It can be late, silent, wrong and hostile in the ways
// that a test chooses; what the driver must obey goes into the ring's violations. Host tests only.
#pragma once

#include <cstring>
#include <deque>

#include "drivers/virtio/spec/blk.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

class BlkDevice final : public VirtioDevice {
public:
    using Spec = virtio::BlkSpec;
    using F = Spec::Feature;
    struct Waiting : Chain {
        u16 queue = 0;
    };
    std::vector<u8> disk, durable;  ///< `durable`: what a power cut would leave
    std::deque<Waiting> waiting;    ///< taken, not served
    bool immediate = true;          ///< serve at the doorbell
    u8 answer = 0;                  ///< status byte of every request
    bool writes_status = true;
    std::string serial = "  RING-0815\x01 ";
    u64 flushes = 0, served = 0, with_indirect = 0, discards = 0, zeroes = 0, erases = 0, unmaps = 0;
    std::vector<u64> served_by = std::vector<u64>(16);  ///< per queue

    explicit BlkDevice(u64 sectors = 2048, u16 request_queues = 1) : disk(sectors * 512), durable(disk) {
        type = Spec::kDeviceId;
        using virtio::Common;
        offered = virtio::mask(Common::version_1, Common::event_idx, Common::indirect_desc, F::seg_max, F::blk_size,
                               F::flush, F::topology, F::discard, F::write_zeroes, F::config_wce);
        config.resize(sizeof(Spec::Config));
        put<u64>(0, sectors);
        put<u32>(12, 126);
        put<u32>(20, 512);
        put<u8>(32, 1);
        put<u16>(34, request_queues);
        put<u32>(36, 1024), put<u32>(40, 1), put<u32>(44, 8);
        put<u32>(48, 2048), put<u32>(52, 1), put<u8>(56, 1);
        put<u32>(60, 512), put<u32>(64, 1), put<u32>(68, 8);
        queues.resize(request_queues);
        for (Queue& q : queues) q.max_size = q.size = 128;
    }
    template <class T> void put(usize at, T v) { std::memcpy(config.data() + at, &v, sizeof v); }
    template <class T> T get(usize at) const {
        T v;
        std::memcpy(&v, config.data() + at, sizeof v);
        return v;
    }
    bool write_back() const { return get<u8>(32) != 0; }

    void on_notify(u16 queue) override {
        RingDevice& ring = queues[queue].ring;
        ring.busy();
        do {
            while (auto chain = ring.take()) {
                with_indirect += chain->indirect;
                waiting.push_back({*chain, queue});
            }
        } while (ring.sleep());
        while (immediate && !waiting.empty() && live()) serve(0);
    }
    void on_reset() override {
        waiting.clear();
        put<u8>(32, 1);  // back to its own choice
    }
    void on_config_write(u64 at, unsigned width, u64 v) override {
        if (at != 32 || width != 1 || v > 1 || !accepted.test(unsigned(F::config_wce)))
            return violations.push_back("write to configuration byte " + std::to_string(at));
        put<u8>(32, u8(v));
    }

    /// Serves one of the waiting requests.
    void serve(usize which) {
        const Waiting chain = waiting.at(which);
        waiting.erase(waiting.begin() + std::ptrdiff_t(which));
        RingDevice& ring = queues[chain.queue].ring;
        if (chain.out.empty() || chain.out[0].len < 16 || chain.in.empty() || chain.in.back().len != 1)
            return ring.violate("malformed request");
        Spec::Request header;
        std::memcpy(&header, chain.out[0].bytes, sizeof header);
        if (*reinterpret_cast<u8*>(chain.in.back().bytes) != 0xff) ring.violate("status byte not poisoned");
        if (header.reserved != 0) ring.violate("reserved field of the header");
        const u32 written = answer == 0 ? perform(ring, header, chain) : 0;
        if (writes_status) *chain.in.back().bytes = std::byte(answer);
        ++served;
        ++served_by[chain.queue];
        complete(chain.queue, chain.id, written + 1);
    }

private:
    void need(RingDevice& ring, F f) {
        if (!accepted.test(unsigned(f))) ring.violate("request of a feature that was not negotiated");
    }
    u32 perform(RingDevice& ring, const Spec::Request& header, const Chain& chain) {
        switch (u32(header.type)) {
        case Spec::kTypeIn:
        case Spec::kTypeOut:
            return transfer(ring, header, chain);
        case Spec::kTypeFlush:
            need(ring, F::flush);
            ++flushes;
            if (header.sector != 0 || chain.out[0].len != 16) ring.violate("flush with a sector or data");
            durable = disk;
            return 0;
        case Spec::kTypeGetId:
            if (chain.in.size() != 2 || chain.in[0].len != 20) return ring.violate("GET_ID without 20 bytes"), 0;
            std::memset(chain.in[0].bytes, 0, 20);
            std::memcpy(chain.in[0].bytes, serial.data(), std::min<usize>(serial.size(), 20));
            return 20;
        case Spec::kTypeGetLifetime: {
            need(ring, F::lifetime);
            const u16 l[] = {1, 3, 7};
            if (chain.in.size() != 2 || chain.in[0].len != 6) return ring.violate("GET_LIFETIME without 6 bytes"), 0;
            std::memcpy(chain.in[0].bytes, l, 6);
            return 6;
        }
        case Spec::kTypeDiscard:
            need(ring, F::discard);
            ++discards;
            return range(ring, chain, get<u32>(36), false), 0;
        case Spec::kTypeWriteZeroes:
            need(ring, F::write_zeroes);
            ++zeroes;
            return range(ring, chain, get<u32>(48), true), 0;
        case Spec::kTypeSecureErase:
            need(ring, F::secure_erase);
            ++erases;
            return range(ring, chain, get<u32>(60), false), 0;
        default:
            return ring.violate("unknown request type"), 0;
        }
    }
    u32 transfer(RingDevice& ring, const Spec::Request& header, const Chain& chain) {
        const bool in = header.type == Spec::kTypeIn;
        if (chain.out[0].len != 16) ring.violate("header of a transfer is not 16 bytes");
        u64 at = header.sector * 512;
        u32 written = 0;
        const auto& pieces = in ? chain.in : chain.out;
        for (usize i = in ? 0 : 1; i < pieces.size() - (in ? 1 : 0); ++i) {
            if (at + pieces[i].len > disk.size()) return ring.violate("beyond the disk"), 0;
            if (in)
                std::memcpy(pieces[i].bytes, &disk[at], pieces[i].len), written += pieces[i].len;
            else
                std::memcpy(&disk[at], pieces[i].bytes, pieces[i].len);
            at += pieces[i].len;
        }
        if (!in && !write_back()) durable = disk;
        return written;
    }
    void range(RingDevice& ring, const Chain& chain, u32 most, bool may_unmap) {
        Spec::Range r;
        if (chain.out[0].len != 32 || chain.out.size() != 1) return ring.violate("range is not one segment");
        std::memcpy(&r, chain.out[0].bytes + 16, sizeof r);
        if (r.num_sectors == 0 || r.num_sectors > most) return ring.violate("range longer than allowed");
        if (r.flags > 1 || (r.flags == 1 && !may_unmap)) return ring.violate("flags of a range");
        if ((r.sector + r.num_sectors) * 512 > disk.size()) return ring.violate("range beyond the disk");
        unmaps += r.flags;
        std::memset(&disk[r.sector * 512], 0, r.num_sectors * 512);
    }
};

}  // namespace ringlet::device
