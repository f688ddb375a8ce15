// The network driver with everything it knows against the hostile device. Host only.
#include "drivers/virtio/net.hpp"
#include "tests/fuzz/drive.hpp"
#include "tests/fuzz/world.hpp"

namespace ringlet::fuzz {

namespace {
constexpr auto kNetConfig = device::every_ring(virtio::NetConfig::full(2));

/// A pool that outlives the run when a device was given packets for ever.
struct Packets {
    kernel::DmaRegion memory = kernel::DmaRegion::allocate(128 * net::PacketBuffer::kSize).value();
    std::unique_ptr<net::PacketPool> pool = std::make_unique<net::PacketPool>(memory.bytes(), memory.addr());
    HostileDevice& dev;
    explicit Packets(HostileDevice& d) : dev(d) {}
    ~Packets() {
        if (pool->free() == pool->total()) return;
        must(dev.ever_stuck, "packets were lost");
        using Kept = std::vector<std::pair<kernel::DmaRegion, std::unique_ptr<net::PacketPool>>>;
        static Kept& kept = *new Kept;  // never destroyed
        kept.emplace_back(std::move(memory), std::move(pool));
    }
};
}  // namespace

void run_net(device::Way way, Script& s) {
    World w(way, s, virtio::NetSpec::kDeviceId, 5);
    Packets packets(w.dev);
    net::PacketPool& pool = *packets.pool;
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
            w.act();
            break;
        }
    }
    w.dev.behave();
    nic.reset();
}

}  // namespace ringlet::fuzz
