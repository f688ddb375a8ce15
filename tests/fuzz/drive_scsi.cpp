// The SCSI driver against the hostile device, which knows enough commands for disks to be found. Host only.
#include "drivers/virtio/scsi.hpp"
#include "tests/fuzz/drive.hpp"
#include "tests/fuzz/world.hpp"

namespace ringlet::fuzz {

namespace {

constexpr auto kScsiConfig = device::every_ring<virtio::ScsiConfig>();

/// Two targets with a disk each, of 4096 blocks.
void answer_scsi(u16 queue, const device::Chain& c) {
    using Spec = virtio::ScsiSpec;
    for (const device::Piece& p : c.in)
        if (p.bytes != nullptr) std::memset(p.bytes, 0, p.len);
    const bool is_command = queue >= Spec::kFirstRequestQueue && !c.out.empty() && c.out[0].bytes != nullptr &&
                            c.out[0].len >= sizeof(Spec::CommandRequest) && !c.in.empty() && c.in[0].bytes != nullptr &&
                            c.in[0].len >= sizeof(Spec::CommandResponse);
    if (!is_command) return;
    const auto& request = *reinterpret_cast<const Spec::CommandRequest*>(c.out[0].bytes);
    auto& response = *reinterpret_cast<Spec::CommandResponse*>(c.in[0].bytes);
    const u8 target = request.lun[1], page = request.cdb[2];
    if (target > 1) return void(response.response = Spec::kBadTarget);
    std::vector<u8> d;
    switch (request.cdb[0]) {
    case 0xa0:  // REPORT LUNS
        d = {0, 0, 0, 8};
        d.resize(16);
        break;
    case 0x12:  // INQUIRY
        d = {0, 0, 5, 2, 31, 0, 0, 2};
        d.resize(36, ' ');
        if ((request.cdb[1] & 1) != 0) d = {0, page, 0, 4, 'S', '1', '2', target};
        if ((request.cdb[1] & 1) != 0 && page == 0) d = {0, 0, 0, 5, 0, 0x80, 0xb0, 0xb1, 0xb2};
        break;
    case 0x25:  // READ CAPACITY (10), (16)
        d = {0, 0, 15, 255, 0, 0, 2, 0};
        break;
    case 0x9e:
        d = {0, 0, 0, 0, 0, 0, 15, 255, 0, 0, 2, 0};
        break;
    }
    if (!d.empty() && c.in.size() > 1 && c.in[1].bytes != nullptr)
        std::memcpy(c.in[1].bytes, d.data(), std::min<usize>(d.size(), c.in[1].len));
}

}  // namespace

void run_scsi(device::Way way, Script& s) {
    World w(way, s, virtio::ScsiSpec::kDeviceId, 4);
    w.dev.answer = answer_scsi;
    if (s.byte() % 8 != 0) {
        const u32 words[] = {2, 126, 0xffff, 128, 16, 96, 32, u32(s.below(4)) << 16, 7};
        std::memcpy(w.dev.config.data(), words, sizeof words);
    }
    virtio::ScsiRegistry registry;
    registry.on_disk = [](void*, fs::BlockDevice&) {};
    auto made = virtio::Scsi<kScsiConfig>::open(w.device(), "scsi0", registry);
    if (!made) return;
    std::unique_ptr<virtio::Scsi<kScsiConfig>> host = std::move(*made);
    host->set_wait([](void* self, Instant until) { static_cast<World*>(self)->sleep(until); }, &w);
    Requests requests;
    host->scan();
    while (!s.done()) {
        switch (s.below(8)) {
        case 0:
        case 1:
            for (u32 n = 1 + s.below(6); n != 0; --n)
                host->for_each_disk([&](virtio::ScsiDisk& d) { requests.submit(d, s), d.flush_submissions(); });
            break;
        case 2:
            w.later(Duration::from_ms(1 + s.number() % 40'000));
            [[fallthrough]];
        case 3:
            host->poll();
            for (int n = 0; n < 20 && host->service(); ++n) {
            }
            break;
        default:
            w.act();
            break;
        }
        requests.check();
    }
    if (s.byte() == 0) w.dev.behave();
    host.reset();
    requests.check_all_done();
}

}  // namespace ringlet::fuzz
