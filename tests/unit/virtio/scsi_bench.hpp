// A SCSI driver without its worker over the modelled host: the test calls service(), and the virtual clock moves
// exactly when the driver would sleep.
#pragma once

#include <catch2/catch.hpp>
#include <cstring>

#include "drivers/virtio/scsi.hpp"
#include "tests/device/scsi_device.hpp"
#include "tests/unit/virtio/bench.hpp"

namespace ringlet::device {

using EveryScsi = virtio::Scsi<every_ring<virtio::ScsiConfig>()>;

struct ScsiWorld : Bench<ScsiDevice> {
    kernel::DmaRegion memory = kernel::DmaRegion::allocate(1 << 20).value();
    virtio::ScsiRegistry registry;
    std::vector<fs::BlockDevice*> found;
    std::unique_ptr<EveryScsi> host;
    std::function<void()> while_waiting;

    explicit ScsiWorld(Way way, u16 queues = 2) : Bench(way, queues) {
        arch::host::use_virtual_clock(Instant{} + Duration::from_s(1));
        registry.context = this;
        registry.on_disk = [](void* self, fs::BlockDevice& d) { static_cast<ScsiWorld*>(self)->found.push_back(&d); };
        registry.on_gone = [](void* self, fs::BlockDevice& d) { std::erase(static_cast<ScsiWorld*>(self)->found, &d); };
    }
    Result<> start(virtio::ScsiTunables tunables = {}) {
        auto r = EveryScsi::open(device(), "scsi0", registry, tunables);
        if (!r) return fail(r.error());
        host = std::move(*r);
        host->set_wait([](void* self, Instant until) { static_cast<ScsiWorld*>(self)->sleep(until); }, this);
        host->scan();
        return {};
    }
    void sleep(Instant until) {
        if (while_waiting) while_waiting();
        const Instant now = kernel::now();
        // Somebody was woken meanwhile: no time passes. Two steps at most, then the rest of the wait.
        if (until > now) arch::host::advance_to(until.is_never() ? now : until);
    }
    /// Everything that the worker would do now.
    void settle() {
        for (int i = 0; i < 100; ++i) {
            heard();
            if (!host->service() && i >= 20) return;
        }
    }
    void pass(Duration d) {
        arch::host::advance_to(kernel::now() + d);
        settle();
    }
    ~ScsiWorld() {
        host.reset();
        CHECK(dev.all_violations() == std::vector<std::string>{});
        arch::host::use_real_clock();
    }
    fs::IoSegment piece(usize offset, usize bytes) {
        return {memory.bytes().subspan(offset, bytes), memory.addr(offset)};
    }
    virtio::ScsiDisk* disk(std::string_view name) {
        virtio::ScsiDisk* hit = nullptr;
        host->for_each_disk([&](virtio::ScsiDisk& d) {
            if (d.name() == name) hit = &d;
        });
        REQUIRE(hit != nullptr);
        return hit;
    }
    void heard() {
        if (host->info().interrupts == virtio::InterruptMode::polling) host->poll();
    }
    u64 value(std::string_view name) {
        u64 v = ~u64{0};
        host->for_each_value([&](std::string_view n, u64 x) {
            if (n == name) v = x;
        });
        return v;
    }
};

/// A request that counts how often it was completed.
struct ScsiIo : fs::BlockRequest {
    std::vector<fs::IoSegment> pieces;
    int completions = 0;
    ScsiIo(Op o, u64 sector, std::vector<fs::IoSegment> p = {}, u64 length = 0) : pieces(std::move(p)) {
        op = o;
        lba = Lba(sector);
        data = pieces;
        sectors = length;
        done = [](fs::BlockRequest& r) { ++static_cast<ScsiIo&>(r).completions; };
    }
    bool good() const { return completions == 1 && !error; }
    bool failed(Error e) const { return completions == 1 && error == e; }
};

}  // namespace ringlet::device
