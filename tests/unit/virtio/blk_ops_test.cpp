// What a disk can do besides reading and writing, what it says about itself, and how few interrupts it needs.
#include "tests/unit/virtio/blk_world.hpp"

using namespace ringlet;
using namespace ringlet::test;
using F = virtio::BlkSpec::Feature;

namespace {

constexpr BlkConfig kEverything = [] {
    BlkConfig c;
    c.features.optional = {virtio::Common::version_1,
                           virtio::Common::event_idx,
                           virtio::Common::indirect_desc,
                           F::size_max,
                           F::seg_max,
                           F::geometry,
                           F::ro,
                           F::blk_size,
                           F::flush,
                           F::topology,
                           F::config_wce,
                           F::mq,
                           F::discard,
                           F::write_zeroes,
                           F::lifetime,
                           F::secure_erase};
    c.queues = 4;
    return c;
}();
using Whole = WorldOf<device::every_ring(kEverything)>;

}  // namespace

TEST_CASE("Ranges are discarded, zeroed and erased as one descriptor each") {
    Whole w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    w.dev.offered = w.dev.offered | virtio::mask(F::secure_erase);
    REQUIRE(w.start());
    const auto l = w.disk->limits();
    CHECK(l.max_discard_bytes == 1024 * 512);
    CHECK(l.discard_granularity == 8 * 512);
    CHECK(l.max_write_zeroes_bytes == 2048 * 512);
    CHECK(l.write_zeroes_unmaps);
    CHECK(l.max_secure_erase_bytes == 512 * 512);
    for (const Op op : {Op::discard, Op::write_zeroes, Op::secure_erase}) {
        std::fill(w.dev.disk.begin(), w.dev.disk.end(), 0x77);
        Io r(op, 100, {}, 300);
        r.unmap = BlockRequest::Unmap::allowed;
        w.disk->submit(r);
        w.disk->flush_submissions();
        w.heard();
        REQUIRE(r.good());
        for (usize s = 0; s < 2048; ++s) REQUIRE(w.dev.disk[s * 512] == (s >= 100 && s < 400 ? 0 : 0x77));
    }
    CHECK(w.dev.discards == 1);
    CHECK(w.dev.zeroes == 1);
    CHECK(w.dev.erases == 1);
    CHECK(w.dev.unmaps == 1);  // of the write-zeroes alone
}

TEST_CASE("Ranges that the disk cannot take are refused at once") {
    Whole w(Way::mmio);
    w.dev.put<u32>(20, 4096);
    SECTION("limits and alignment") {
        REQUIRE(w.start());
        const auto refused = [&](Io&& r, Error e = Error::invalid) {
            w.disk->submit(r);
            w.disk->flush_submissions();
            return r.failed(e);
        };
        CHECK(refused(Io(Op::discard, 0, {}, 0)));
        CHECK(refused(Io(Op::discard, 0, {}, 1025)));
        CHECK(refused(Io(Op::discard, 0, {}, ~u64{0} / 512 * 8)));
        CHECK(refused(Io(Op::discard, 1, {}, 8)));
        CHECK(refused(Io(Op::discard, 0, {}, 7)));
        CHECK(refused(Io(Op::discard, 2048, {}, 8)));
        CHECK(refused(Io(Op::discard, ~u64{7}, {}, 8)));
        CHECK(refused(Io(Op::discard, 0, {w.piece(0, 4096)}, 8)));
        CHECK(refused(Io(Op::secure_erase, 0, {}, 8), Error::unsupported));  // not offered
        CHECK(refused(Io(Op(7), 0, {}, 8), Error::unsupported));
        CHECK(refused(Io(virtio::kOpGetId, 0, {w.piece(0, 512)}), Error::unsupported));
        Io hasty(Op::read, 0, {w.piece(0, 4096)});
        hasty.timeout = Duration{0};
        CHECK(refused(std::move(hasty)));
    }
    SECTION("offered, but for no sectors or no segments") {
        w.dev.put<u32>(36, 7);
        w.dev.put<u32>(52, 0);
        REQUIRE(w.start());
        CHECK(w.disk->limits().max_discard_bytes == 0);
        CHECK(w.disk->limits().max_write_zeroes_bytes == 0);
        CHECK(w.disk->run(Op::discard, Lba(0), 8).error() == Error::unsupported);
    }
    SECTION("read-only") {
        w.dev.offered = w.dev.offered | virtio::mask(F::ro);
        REQUIRE(w.start());
        CHECK(w.disk->run(Op::write_zeroes, Lba(0), 8).error() == Error::read_only);
    }
    CHECK(w.dev.served == 0);
}

TEST_CASE("A flush makes durable what was written before it") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    REQUIRE(w.start());
    CHECK(w.disk->write_cache() == fs::WriteCache::write_back);
    w.memory.bytes()[0] = std::byte{0x5a};
    Io write(Op::write, 3, {w.piece(0, 512)}), flush(Op::flush, 0);
    w.disk->submit(write), w.disk->flush_submissions();
    REQUIRE(write.good());
    CHECK(w.dev.durable[3 * 512] == 0);
    w.disk->submit(flush), w.disk->flush_submissions();
    REQUIRE(flush.good());
    CHECK(w.dev.durable[3 * 512] == 0x5a);
}

TEST_CASE("The write cache is switched, and stays so over a reset") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    w.tunables.writecache_mode = virtio::BlkTunables::CacheMode::leave;
    SECTION("at run time") {
        REQUIRE(w.start());
        Io write(Op::write, 3, {w.piece(0, 512)});
        w.memory.bytes()[0] = std::byte{0x5a};
        w.disk->submit(write), w.disk->flush_submissions();
        REQUIRE(w.disk->set_write_cache(fs::WriteCache::write_through));
        CHECK(w.dev.durable[3 * 512] == 0x5a);
    }
    SECTION("by the tunable") {
        w.tunables.writecache_mode = virtio::BlkTunables::CacheMode::write_through;
        REQUIRE(w.start());
    }
    CHECK_FALSE(w.dev.write_back());
    CHECK(w.disk->write_cache() == fs::WriteCache::write_through);
    const u64 flushes = w.dev.flushes;
    CHECK(w.disk->run(Op::flush, Lba(0), 0));
    CHECK(w.dev.flushes == flushes);  // nothing to flush
    w.dev.needs_reset();
    w.heard();
    REQUIRE(w.disk->info().recoveries == 1);
    CHECK_FALSE(w.dev.write_back());
    CHECK(w.disk->write_cache() == fs::WriteCache::write_through);
    REQUIRE(w.disk->set_write_cache(fs::WriteCache::write_back));
    CHECK(w.dev.write_back());
    CHECK(w.disk->run(Op::flush, Lba(0), 0));
    CHECK(w.dev.flushes == flushes + 1);
}

TEST_CASE("A disk without a switch for its cache says so") {
    World w(Way::mmio);
    w.dev.offered = w.dev.offered.without(virtio::mask(F::config_wce));
    REQUIRE(w.start());
    CHECK(w.disk->set_write_cache(fs::WriteCache::write_through).error() == Error::unsupported);
    CHECK(w.disk->write_cache() == fs::WriteCache::write_back);
}

TEST_CASE("Topology, geometry, serial number and wear") {
    Whole w(Way::pci_vectors);
    w.dev.offered = w.dev.offered | virtio::mask(F::geometry, F::lifetime);
    w.dev.put<u16>(16, 1000), w.dev.put<u8>(18, 16), w.dev.put<u8>(19, 63);
    w.dev.put<u8>(24, 3), w.dev.put<u8>(25, 1), w.dev.put<u16>(26, 8), w.dev.put<u32>(28, 128);
    SECTION("believed") {
        REQUIRE(w.start());
        const auto l = w.disk->limits();
        CHECK(l.physical_block_size == 4096);
        CHECK(l.alignment_offset == 512);
        CHECK(l.min_io_bytes == 4096);
        CHECK(l.optimal_io_bytes == 65536);
        CHECK(w.value("cylinders") == 1000);
        CHECK(w.disk->identity().serial == "RING-0815");
        w.dev.serial = "other";
        CHECK(w.disk->identity().serial == "RING-0815");  // asked once
        const auto life = w.disk->lifetime();
        REQUIRE(life);
        CHECK(life->pre_end_of_life == 1);
        CHECK(life->used_b == 7);
    }
    SECTION("absurd hints are no hints") {
        w.dev.put<u8>(24, 200), w.dev.put<u8>(25, 255), w.dev.put<u32>(28, ~u32{0});
        REQUIRE(w.start());
        const auto l = w.disk->limits();
        CHECK(l.physical_block_size == 512);
        CHECK(l.alignment_offset == 0);
        CHECK(l.optimal_io_bytes == 0);
    }
    SECTION("no serial number") {
        w.tunables.no_ident = GENERATE(true, false);
        w.dev.answer = 2;
        REQUIRE(w.start());
        CHECK(w.disk->identity().serial.empty());
        CHECK(w.disk->lifetime().error() == Error::unsupported);
        CHECK(w.dev.served == (w.tunables.no_ident ? 1u : 2u));
    }
}

TEST_CASE("Several queues share the work, each with its kick and its interrupt") {
    Whole w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))), u64{2048}, u16{6});
    w.dev.offered = w.dev.offered | virtio::mask(F::mq);
    REQUIRE(w.start());
    REQUIRE(w.disk->info().queues.size() == 4);
    for (int turn = 0; turn < 8; ++turn) {
        std::vector<std::unique_ptr<Io>> all;
        for (u32 i = 0; i < 10; ++i) {
            all.emplace_back(new Io(Op::read, i, {w.piece(512 * i, 512)}));
            w.disk->submit(*all.back());
        }
        w.disk->flush_submissions();
        w.heard();
        for (const auto& r : all) REQUIRE(r->good());
    }
    for (u16 q = 0; q < 6; ++q) {
        CHECK(w.dev.served_by[q] == (q < 4 ? 20u : 0u));
        CHECK(w.dev.queues[q].notified == (q < 4 ? 2u : 0u));
    }
    w.dev.immediate = false;
    std::vector<std::unique_ptr<Io>> all;
    for (u32 i = 0; i < 400; ++i) {  // more than the queues hold, over a reset
        all.emplace_back(new Io(i % 2 ? Op::write : Op::read, i, {w.piece(512 * i, 512)}));
        w.disk->submit(*all.back());
        if (i % 10 == 0) w.disk->flush_submissions();
    }
    w.disk->flush_submissions();
    for (int i = 0; i < 50; ++i) w.dev.serve(0);
    w.dev.needs_reset();
    w.heard();
    CHECK(w.disk->info().recoveries == 1);
    for (int i = 0; i < 2000 && !w.dev.waiting.empty(); ++i) w.dev.serve(usize(i) % w.dev.waiting.size()), w.heard();
    for (const auto& r : all) REQUIRE(r->good());
}

TEST_CASE("A device with no queues, or with many, is understood") {
    const u16 told = GENERATE(u16{0}, u16{1}, u16{2}, u16{65535});
    Whole w(Way::pci_vectors, u64{2048}, u16{8});
    w.dev.offered = w.dev.offered | virtio::mask(F::mq);
    w.dev.put<u16>(34, told);
    CHECK(bool(w.start()) == (told != 0));
    if (told != 0) CHECK(w.disk->info().queues.size() == std::min<usize>(told, 4));
}

TEST_CASE("A deep queue is interrupted for batches, and no completion waits long", "[plain]") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    w.dev.immediate = false;
    REQUIRE(w.start());
    std::vector<std::unique_ptr<Io>> all;
    const auto submit = [&] {
        all.emplace_back(new Io(Op::read, all.size(), {w.piece(512 * all.size(), 512)}));
        w.disk->submit(*all.back());
    };
    for (int i = 0; i < 32; ++i) submit();
    w.disk->flush_submissions();
    const u64 kicks = w.dev.queues[0].notified, interrupts = w.dev.interrupts_sent;
    usize seen = 0;
    while (all.size() < 1024) {  // the device trickles; the application resubmits what it was told of
        w.dev.serve(0);
        usize done = 0;
        for (const auto& r : all) done += usize(r->completions);
        for (; seen < done; ++seen) submit();
        w.disk->flush_submissions();
    }
    CHECK(double(w.dev.interrupts_sent - interrupts) / double(seen) < 0.1);
    CHECK(double(w.dev.queues[0].notified - kicks) / double(seen) < 0.1);
    // Now the device stops after one completion that asked for no interrupt.
    usize before = 0, after = 0;
    for (const auto& r : all) before += usize(r->completions);
    w.dev.serve(0);
    for (const auto& r : all) after += usize(r->completions);
    REQUIRE(after == before);
    w.later(Duration::from_us(1100));
    after = 0;
    for (const auto& r : all) after += usize(r->completions);
    CHECK(after > before);
    // After a look in vain every completion interrupts again.
    w.later(Duration::from_us(1100));
    const u64 sent = w.dev.interrupts_sent;
    w.dev.serve(0);
    CHECK(w.dev.interrupts_sent == sent + 1);
    while (!w.dev.waiting.empty()) w.dev.serve(0), w.heard();
    for (const auto& r : all) REQUIRE(r->good());
}

TEST_CASE("Whatever the configuration says, the driver starts with sane limits or not at all", "[plain]") {
    const u32 seed = GENERATE(range(1u, 4u));
    CAPTURE(seed);
    std::mt19937 rng(seed);
    int started = 0;
    for (int round = 0; round < 300; ++round) {
        Whole w(round % 2 ? Way::mmio : Way::pci_vectors, u64{2048}, u16{4});
        for (const F f : {F::size_max, F::geometry, F::ro, F::mq, F::lifetime, F::secure_erase})
            if (rng() % 2) w.dev.offered = w.dev.offered | virtio::mask(f);
        for (int i = 0; i < 6; ++i) {
            const usize at = 8 + rng() % 64;
            w.dev.config[at] = u8(rng() % 4 == 0 ? 0xff : rng() % 3 == 0 ? rng() : 1u << rng() % 8);
        }
        if (rng() % 4 == 0) w.dev.config.resize(rng() % 72);
        if (!w.start()) continue;
        ++started;
        const auto l = w.disk->limits();
        REQUIRE((l.block_size & (l.block_size - 1)) == 0);
        REQUIRE(l.block_size >= 512);
        REQUIRE(l.max_segments >= 1);
        REQUIRE(l.max_segments <= 32);
        REQUIRE(l.max_segment_bytes >= l.block_size);
        REQUIRE(l.physical_block_size >= l.block_size);
        REQUIRE(l.alignment_offset < l.physical_block_size);
        Io r(Op::read, 0, {w.piece(0, l.block_size)});
        w.disk->submit(r), w.disk->flush_submissions(), w.heard();
        REQUIRE(r.good());
    }
    CHECK(started > 50);
}
