// A block driver over the model of its device, with a clock that the test moves: shared by the block driver's tests.
#pragma once

#include <catch2/catch.hpp>

#include <map>
#include <random>

#include "drivers/virtio/blk.hpp"
#include "tests/device/blk_device.hpp"
#include "tests/unit/virtio/bench.hpp"

namespace ringlet::test {

using device::BlkDevice, device::Way;
using fs::BlockRequest, fs::IoSegment;
using virtio::Blk, virtio::BlkConfig;
using Op = BlockRequest::Op;

template <BlkConfig kC> struct WorldOf : device::Bench<BlkDevice> {
    kernel::DmaRegion memory = kernel::DmaRegion::allocate(1 << 20).value();
    std::unique_ptr<Blk<kC>> disk;
    virtio::BlkTunables tunables;

    template <class... A> explicit WorldOf(Way way, A... a) : Bench(way, a...) { arch::host::use_virtual_clock(); }
    Result<> start() {
        auto r = Blk<kC>::probe(device(), "vda", tunables);
        if (!r) return fail(r.error());
        disk = std::move(*r);
        return {};
    }
    ~WorldOf() {
        disk.reset();
        CHECK(dev.all_violations() == std::vector<std::string>{});
        arch::host::use_real_clock();
    }
    IoSegment piece(usize offset, usize bytes) { return {memory.bytes().subspan(offset, bytes), memory.addr(offset)}; }
    /// A millisecond passes, and the driver's thread does what is due.
    void heard() { later(Duration::from_ms(1)); }
    void later(Duration d) {
        arch::host::advance_to(kernel::now() + d);
        (void)disk->service(kernel::now());
    }
    u64 value(std::string_view name) const {
        u64 found = ~u64{0};
        disk->for_each_value([&](std::string_view n, u64 v) { found = n == name ? v : found; });
        return found;
    }
};
using World = WorldOf<device::every_ring<BlkConfig>()>;

/// A request that counts how often it was completed.
struct Io : BlockRequest {
    std::vector<IoSegment> pieces;
    int completions = 0;
    Io(Op o, u64 sector, std::vector<IoSegment> p = {}, u64 range = 0) : pieces(std::move(p)) {
        op = o;
        lba = Lba(sector);
        data = pieces;
        sectors = range;
        done = [](BlockRequest& r) { ++static_cast<Io&>(r).completions; };
    }
    bool good() const { return completions == 1 && !error; }
    bool failed(Error e) const { return completions == 1 && error == e; }
};

}  // namespace ringlet::test
