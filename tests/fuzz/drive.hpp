// One run: bytes choose the driver, the transport, the ring, and then everything that the application and the device do.
// Another driver is another case in run(). Whatever is broken afterwards is reported by abort(). Host only.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"
#include "kernel/time/clock.hpp"
#include "tests/fuzz/hostile_device.hpp"

namespace ringlet::fuzz {

inline void must(bool good, const char* what) {
    if (good) return;
    std::fprintf(stderr, "fuzz: %s\n", what);
    std::abort();
}

inline constexpr auto kNetConfig = device::every_ring<virtio::NetConfig>();
inline constexpr auto kBlkConfig = device::every_ring<virtio::BlkConfig>();

struct World : device::Bench<HostileDevice> {
    Script& script;
    World(device::Way way, Script& s, u16 type) : Bench(way), script(s) {
        arch::host::use_virtual_clock();
        dev.type = type;
        dev.script = &s;
        dev.offered.word[0] = ~u64{0};  // everything there is, less what the bytes take away
        dev.offered.word[1] = ~u64{0};
        for (u32 n = s.below(8); n != 0; --n) dev.offered = dev.offered.without(virtio::FeatureBits::of(s.below(64)));
        for (const unsigned bit : {28u, 29u, 34u, 35u})
            if (s.byte() % 2 == 0) dev.offered = dev.offered.without(virtio::FeatureBits::of(bit));
        if (s.byte() % 16 != 0) dev.offered = dev.offered | virtio::mask(virtio::Common::version_1);
        for (auto& b : dev.config) b = s.byte() % 4 == 0 ? s.byte() : 0;
        for (auto& q : dev.queues) q.max_size = q.size = u16(1u << s.below(9));
    }
    ~World() { arch::host::use_real_clock(); }
    void later(Duration d) { arch::host::advance_to(kernel::now() + d); }
};

inline void run_blk(device::Way way, Script& s) {
    World w(way, s, virtio::BlkSpec::kDeviceId);
    const u64 sectors = 4096;
    std::memcpy(w.dev.config.data(), &sectors, 8);
    if (s.byte() % 8 != 0) {
        const u32 seg_max = 1 + s.below(40), block = 512;
        std::memcpy(w.dev.config.data() + 12, &seg_max, 4);
        std::memcpy(w.dev.config.data() + 20, &block, 4);
    }
    auto made = virtio::Blk<kBlkConfig>::probe(w.device(), "vda");
    if (!made) return;
    std::unique_ptr<virtio::Blk<kBlkConfig>> disk = std::move(*made);
    kernel::DmaRegion memory = kernel::DmaRegion::allocate(1 << 16).value();

    struct Io : fs::BlockRequest {
        fs::IoSegment pieces[4];
        int completions = 0;
    };
    std::vector<std::unique_ptr<Io>> ios(96);
    usize next = 0;
    const auto submit = [&] {
        std::unique_ptr<Io>& slot = ios[next++ % ios.size()];
        if (slot && slot->completions == 0) return;
        slot.reset(new Io);
        Io& io = *slot;
        const u32 count = 1 + s.below(4);
        using Op = fs::BlockRequest::Op;
        for (u32 i = 0; i < count; ++i) {
            const usize bytes = 512u * (1 + s.below(4)), at = 2048u * s.below(30);
            io.pieces[i] = {memory.bytes().subspan(at, bytes), memory.addr(at)};
        }
        const u8 op = s.byte();
        io.op = op % 8 == 7 ? Op::flush : op % 2 == 0 ? Op::read : Op::write;
        io.lba = Lba(s.below(4200));
        if (io.op != Op::flush) io.data = {io.pieces, count};
        io.done = [](fs::BlockRequest& r) { ++static_cast<Io&>(r).completions; };
        disk->submit(io);
    };
    while (!s.done()) {
        switch (s.below(8)) {
        case 0:
        case 1:
            for (u32 n = 1 + s.below(6); n != 0; --n) submit();
            disk->flush_submissions();
            break;
        case 2:
            w.later(Duration::from_ms(1 + s.number() % 40'000));
            [[fallthrough]];
        case 3:
            (void)disk->service(kernel::now());
            break;
        default:
            w.dev.act();
            break;
        }
        for (const auto& io : ios) must(!io || io->completions <= 1, "a block request completed twice");
    }
    if (s.byte() == 0) w.dev.behave();
    disk.reset();
    for (const auto& io : ios) must(!io || io->completions == 1, "a block request was lost");
}

inline void run_net(device::Way way, Script& s) {
    World w(way, s, virtio::NetSpec::kDeviceId);
    kernel::DmaRegion memory = kernel::DmaRegion::allocate(128 * net::PacketBuffer::kSize).value();
    {
        net::PacketPool pool(memory.bytes(), memory.addr());
        auto made = virtio::Net<kNetConfig>::probe(
            w.device(), pool, "net0", [](void*) {}, nullptr);
        if (!made) return;
        std::unique_ptr<virtio::Net<kNetConfig>> nic = std::move(*made);
        while (!s.done()) {
            switch (s.below(8)) {
            case 0:
                for (u32 n = s.below(8); n != 0 && nic->room() != 0; --n) {
                    auto p = pool.allocate();
                    if (!p) break;
                    for (auto& b : p->append(14 + s.number() % 1400)) b = std::byte(n);
                    nic->transmit(std::move(*p));
                }
                nic->flush();
                break;
            case 1:
                for (int n = 0; n < 300; ++n) {
                    auto p = nic->receive();
                    if (!p) break;
                    must(p->size() <= net::PacketBuffer::kSize, "a frame larger than its buffer");
                    u8 sum = 0;
                    for (const std::byte b : p->data()) sum = u8(sum + u8(b));  // the sanitizer looks at every byte
                    asm volatile("" ::"r"(sum));
                }
                nic->flush();
                break;
            case 2:
                (void)nic->rearm(s.byte() % 2 == 0 ? net::Arm::rx : net::Arm::rx_and_tx);
                (void)nic->carrier();
                break;
            case 3:
                if (nic->polled()) nic->poll();
                w.later(Duration::from_ms(1 + s.number() % 40'000));
                break;
            default:
                w.dev.act();
                break;
            }
        }
        w.dev.behave();
        nic.reset();
        must(w.dev.ever_stuck || pool.free() == pool.total(), "packets were lost");
    }
}

inline void run(std::span<const u8> bytes) {
    Script s(bytes);
    const device::Way way = device::kWays[s.below(u32(std::size(device::kWays)))];
    if (s.byte() % 2 == 0)
        run_blk(way, s);
    else
        run_net(way, s);
}

}  // namespace ringlet::fuzz
