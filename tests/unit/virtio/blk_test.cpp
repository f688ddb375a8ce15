// The block driver against a model of the device, over every transport and interrupt mode.
#include "tests/unit/virtio/blk_world.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_CASE("Sectors written are read back over every transport and interrupt mode") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    REQUIRE(w.start());
    CHECK(w.disk->sectors() == 2048);
    CHECK(w.disk->limits().block_size == 512);
    CHECK(w.disk->limits().max_segments == 32);
    for (u32 i = 0; i < 200; ++i) {
        for (usize k = 0; k < 8192; ++k) w.memory.bytes()[k] = std::byte(i + k / 512);
        Io write(Op::write, i * 8, {w.piece(0, 512), w.piece(512, 3584)});
        w.disk->submit(write);
        w.disk->flush_submissions();
        w.heard();
        REQUIRE(write.good());
        Io read(Op::read, i * 8, {w.piece(65536, 4096)}), flush(Op::flush, 0);
        w.disk->submit(read);
        w.disk->submit(flush);
        w.disk->flush_submissions();
        w.heard();
        REQUIRE(read.good());
        REQUIRE(flush.good());
        REQUIRE(std::memcmp(w.memory.bytes().data(), w.memory.bytes().data() + 65536, 4096) == 0);
    }
    CHECK(w.dev.flushes == 200);
    CHECK(w.dev.with_indirect == (w.dev.accepted.test(unsigned(virtio::Common::indirect_desc)) ? 600 : 0));
    const auto c = w.disk->info().queues[0].counters;
    CHECK(c.kicks == 400);
    CHECK(c.bad_used == 0);
}

TEST_CASE("Everything submitted before one flush leaves with one kick, and a full ring loses nothing") {
    World w(GENERATE(Way::pci_vectors, Way::mmio, Way::pci_polling));
    w.dev.immediate = false;
    if (GENERATE(true, false)) w.dev.offered = w.dev.offered.without(virtio::mask(virtio::Common::indirect_desc));
    const bool indirect = w.dev.offered.test(unsigned(virtio::Common::indirect_desc));
    REQUIRE(w.start());
    std::mt19937 rng(7);
    std::vector<std::unique_ptr<Io>> all;
    for (u32 i = 0; i < 500; ++i) {
        all.emplace_back(new Io(Op::read, rng() % 2000, {w.piece(512 * i, 512), w.piece(512 * i, 512)}));
        w.disk->submit(*all.back());
    }
    CHECK(w.dev.queues[0].notified == 0);
    w.disk->flush_submissions();
    CHECK(w.dev.queues[0].notified == 1);
    CHECK(w.dev.waiting.size() == (indirect ? 32 + (64 - 32) / 4 : 16));
    int guard = 0;
    while (!w.dev.waiting.empty() && ++guard < 10000) {
        w.dev.serve(rng() % w.dev.waiting.size());
        w.heard();
    }
    for (const auto& r : all) REQUIRE(r->good());
    CHECK(w.dev.served == 500);
    CHECK(w.disk->info().queues[0].in_flight == 0);
}

TEST_CASE("Requests that the disk cannot take are refused at once") {
    World w(Way::mmio);
    w.dev.put<u32>(20, 4096);
    w.dev.put<u32>(8, 65536);
    w.dev.offered = w.dev.offered | virtio::mask(virtio::BlkSpec::Feature::size_max);
    REQUIRE(w.start());
    const auto refused = [&](Io&& r) {
        w.disk->submit(r);
        w.disk->flush_submissions();
        return r.failed(Error::invalid);
    };
    CHECK(refused(Io(Op::read, 1, {w.piece(0, 4096)})));
    CHECK(refused(Io(Op::read, 0, {w.piece(0, 512)})));
    CHECK(refused(Io(Op::read, 0, {w.piece(0, 100)})));
    CHECK(refused(Io(Op::read, 0, {})));
    CHECK(refused(Io(Op::read, 0, {w.piece(0, 0)})));
    CHECK(refused(Io(Op::read, 2048, {w.piece(0, 4096)})));
    CHECK(refused(Io(Op::read, 2040, {w.piece(0, 8192)})));
    CHECK(refused(Io(Op::read, ~u64{7}, {w.piece(0, 4096)})));
    CHECK(refused(Io(Op::read, 0, {w.piece(0, 131072)})));
    CHECK(refused(Io(Op::read, 0, std::vector<IoSegment>(33, w.piece(0, 4096)))));
    CHECK(refused(Io(Op::flush, 0, {w.piece(0, 4096)})));
    CHECK(w.dev.queues[0].notified == 0);
    Io most(Op::read, 0, std::vector<IoSegment>(32, w.piece(0, 4096)));
    w.disk->submit(most);
    w.disk->flush_submissions();
    CHECK(most.good());
    Io last(Op::read, 2040, {w.piece(0, 4096)});
    w.disk->submit(last);
    w.disk->flush_submissions();
    CHECK(last.good());
}

TEST_CASE("A read-only disk refuses writes; one without FLUSH takes flushes as done") {
    World w(Way::pci_vectors);
    w.dev.offered = virtio::mask(virtio::Common::version_1, virtio::BlkSpec::Feature::ro);
    REQUIRE(w.start());
    CHECK(w.disk->read_only());
    CHECK(w.disk->limits().max_segments == 1);
    Io write(Op::write, 0, {w.piece(0, 512)}), flush(Op::flush, 0);
    w.disk->submit(write);
    w.disk->submit(flush);
    CHECK(write.failed(Error::read_only));
    CHECK(flush.good());
}

TEST_CASE("The device's status becomes the request's error") {
    World w(Way::mmio);
    REQUIRE(w.start());
    const auto run = [&] {
        Io r(Op::read, 0, {w.piece(0, 512)});
        w.disk->submit(r);
        w.disk->flush_submissions();
        REQUIRE(r.completions == 1);
        return r.error;
    };
    CHECK_FALSE(run());
    w.dev.answer = 1;
    CHECK(run() == Error::io);
    w.dev.answer = 2;
    CHECK(run() == Error::unsupported);
    w.dev.answer = 77;
    CHECK(run() == Error::io);
    w.dev.answer = 0, w.dev.writes_status = false;  // "done", but it never wrote the status
    CHECK(run() == Error::io);
}

TEST_CASE("The host resizes the disk") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    REQUIRE(w.start());
    w.dev.disk.resize(4096 * 512);
    w.dev.change_config([&] { w.dev.put<u64>(0, 4096); });
    w.heard();
    CHECK(w.disk->sectors() == 4096);
    w.dev.change_config([&] { w.dev.put<u64>(0, ~u64{0}); });
    w.heard();
    CHECK(w.disk->sectors() == 4096);
}

TEST_CASE("A device that lies is reset and every unanswered request is replayed") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    REQUIRE(w.start());
    w.dev.immediate = false;
    std::vector<std::unique_ptr<Io>> all;
    for (u32 i = 0; i < 100; ++i) {
        all.emplace_back(new Io(i % 2 ? Op::write : Op::read, i, {w.piece(512 * i, 512)}));
        w.disk->submit(*all.back());
    }
    w.disk->flush_submissions();
    for (int i = 0; i < 5; ++i) w.dev.serve(i), w.heard();
    device::RingDevice& ring = w.dev.queues[0].ring;
    SECTION("an id twice") {
        const u16 id = w.dev.waiting[0].id;
        ring.put(id, 1), ring.put(id, 1), ring.publish_used(u16(ring.used_idx - 2)), w.dev.interrupt_queue(0);
    }
    SECTION("an id never given") {
        w.dev.complete(0, 62, 1);
    }
    SECTION("an id out of range") {
        ring.put(1000, 1), ring.publish_used(u16(ring.used_idx - 1)), w.dev.interrupt_queue(0);
    }
    SECTION("used.idx jumps") {
        ring.set_used_idx(u16(ring.used_idx + 500)), w.dev.interrupt_queue(0);
    }
    SECTION("DEVICE_NEEDS_RESET") {
        w.dev.needs_reset();
    }
    w.heard();
    CHECK(w.disk->info().recoveries == 1);
    w.dev.immediate = true;
    while (!w.dev.waiting.empty()) w.dev.serve(0), w.heard();
    for (int i = 0; i < 100; ++i) w.heard();
    int completed = 0;
    for (const auto& r : all) completed += r->completions == 1;
    CHECK(completed == 100);
}

TEST_CASE("A device that never recovers fails every request, and hangs nobody") {
    World w(GENERATE(from_range(std::begin(device::kModernWays), std::end(device::kModernWays))));
    REQUIRE(w.start());
    w.dev.immediate = false;
    std::vector<std::unique_ptr<Io>> all;
    for (u32 i = 0; i < 100; ++i) {
        all.emplace_back(new Io(Op::read, i, {w.piece(512 * i, 512)}));
        w.disk->submit(*all.back());
    }
    w.disk->flush_submissions();
    SECTION("it lies again and again") {
        for (int i = 0; i < 10 && !w.disk->info().broken; ++i) {
            device::RingDevice& ring = w.dev.queues[0].ring;
            ring.set_used_idx(u16(ring.used_idx + 500));
            w.dev.interrupt_queue(0);
            w.heard();
        }
    }
    SECTION("it refuses its features") {
        w.dev.refuses_features = true, w.dev.needs_reset(), w.heard();
    }
    SECTION("it does not reset") {
        w.dev.never_resets = true, w.dev.needs_reset(), w.heard();
    }
    CHECK(w.disk->info().broken);
    for (const auto& r : all) CHECK(r->failed(Error::device_broken));
    Io late(Op::read, 0, {w.piece(0, 512)});
    w.disk->submit(late);
    w.disk->flush_submissions();
    CHECK(late.failed(Error::device_broken));
    w.dev.never_resets = false;
}

TEST_CASE("A device that breaks under load completes every request exactly once, with the right bytes") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    const u32 seed = GENERATE(range(1u, 5u));
    CAPTURE(seed);
    std::mt19937 engine(seed);
    const auto rng = [&](u32 n) { return u32(engine()) % n; };
    for (usize i = 0; i < w.dev.disk.size(); ++i) w.dev.disk[i] = u8(i / 512 * 7 + i);
    REQUIRE(w.start());
    w.dev.immediate = false;
    device::RingDevice& ring = w.dev.queues[0].ring;
    std::vector<std::unique_ptr<Io>> all;
    const u32 breaks = seed % 2 == 0 ? 4 : 20;  // survives, or is given up under way
    u32 broken = 0, false_answers = 0, unanswered = 0;
    for (u32 step = 0; step < 2000; ++step) {
        const bool live = !w.disk->info().broken;
        if (all.size() < 500 && rng(3) == 0) {
            const usize at = 1024 * all.size();
            all.emplace_back(new Io(Op::read, rng(2046), {w.piece(at, 512), w.piece(at + 512, 512)}));
            w.disk->submit(*all.back());
        }
        if (rng(4) == 0) w.disk->flush_submissions();
        if (live && !w.dev.waiting.empty() && rng(3) == 0) w.dev.serve(rng(u32(w.dev.waiting.size())));
        if (live && broken < breaks && rng(100) == 0) {
            ++broken;
            const u16 next = ring.used_idx;
            switch (rng(4)) {
            case 0:
                ring.put(1000, 1), ring.publish_used(next);
                break;
            case 1:
                ring.set_used_idx(u16(next + 300));
                break;
            case 2:
                w.dev.needs_reset();
                break;
            default:  // one honest answer, then the same id again
                // In a packed ring this is no lie that could show: the two halves' positions come apart.
                if (w.dev.waiting.empty() || ring.packed) break;
                const u16 id = w.dev.waiting[0].id;
                w.dev.serve(0);
                ++false_answers;  // the id may be another request's by now, which gets an answer without a status
                std::erase_if(w.dev.waiting, [&](const BlkDevice::Waiting& c) { return c.id == id; });
                ring.put(id, 1), ring.publish_used(u16(ring.used_idx - 1));
            }
            if (w.dev.live()) w.dev.interrupt_queue(0);
        }
        w.heard();
    }
    for (int i = 0; i < 3; ++i) {
        w.disk->flush_submissions();
        while (!w.disk->info().broken && !w.dev.waiting.empty()) w.dev.serve(0), w.heard();
        w.heard();
    }
    CHECK(w.disk->info().broken == (breaks > 4));
    CHECK(w.disk->info().recoveries >= 2);
    CHECK(w.disk->info().queues[0].in_flight == 0);
    for (usize i = 0; i < all.size(); ++i) {
        Io& r = *all[i];
        REQUIRE(r.completions == 1);
        if (r.error == Error::io)
            ++unanswered;
        else if (r.error)
            REQUIRE((breaks > 4 && r.error == Error::device_broken));
        else
            REQUIRE(std::memcmp(r.pieces[0].bytes.data(), &w.dev.disk[r.lba.raw * 512], 1024) == 0);
    }
    CHECK(unanswered <= false_answers);
}

TEST_CASE("Requests outstanding when the driver goes are completed, not forgotten") {
    Io a(Op::read, 0), b(Op::read, 1);
    {
        World w(Way::mmio);
        REQUIRE(w.start());
        w.dev.silent = true;
        a.pieces = {w.piece(0, 512)}, a.data = a.pieces;
        b.pieces = {w.piece(512, 512)}, b.data = b.pieces;
        w.disk->submit(a);
        w.disk->flush_submissions();
        w.disk->submit(b);
    }
    CHECK(a.failed(Error::device_broken));
    CHECK(b.failed(Error::device_broken));
}

TEST_CASE("Disks with impossible values are refused") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    SECTION("block size 0") {
        w.dev.put<u32>(20, 0);
    }
    SECTION("block size 513") {
        w.dev.put<u32>(20, 513);
    }
    SECTION("block size 1 MiB") {
        w.dev.put<u32>(20, 1 << 20);
    }
    SECTION("capacity beyond reason") {
        w.dev.put<u64>(0, ~u64{0});
    }
    SECTION("size_max 100") {
        w.dev.offered = w.dev.offered | virtio::mask(virtio::BlkSpec::Feature::size_max);
        w.dev.put<u32>(8, 100);
    }
    SECTION("queue of one") {
        w.dev.queues[0].max_size = w.dev.queues[0].size = 1, w.dev.offered = virtio::mask(virtio::Common::version_1);
    }
    SECTION("no queue") {
        w.dev.queues.clear();
    }
    SECTION("configuration always torn") {
        w.dev.torn_reads = 1 << 30;
    }
    CHECK_FALSE(w.start());
    CHECK(w.dev.status_history.back() == 0);
}
