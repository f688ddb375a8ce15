// The block driver against the hostile device. Host only.
#include "drivers/virtio/blk.hpp"
#include "tests/fuzz/drive.hpp"
#include "tests/fuzz/world.hpp"

namespace ringlet::fuzz {

namespace {
constexpr auto kBlkConfig = device::every_ring<virtio::BlkConfig>();
}

void run_blk(device::Way way, Script& s) {
    World w(way, s, virtio::BlkSpec::kDeviceId, 1);
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
    Requests requests;
    while (!s.done()) {
        switch (s.below(8)) {
        case 0:
        case 1:
            for (u32 n = 1 + s.below(6); n != 0; --n) requests.submit(*disk, s);
            disk->flush_submissions();
            break;
        case 2:
            w.later(Duration::from_ms(1 + s.number() % 40'000));
            [[fallthrough]];
        case 3:
            (void)disk->service(kernel::now());
            break;
        default:
            w.act();
            break;
        }
        requests.check();
    }
    if (s.byte() == 0) w.dev.behave();
    disk.reset();
    requests.check_all_done();
}

}  // namespace ringlet::fuzz
