// Requests that run out of time, devices that go away, and memory that nobody may use again.
#include "tests/unit/virtio/blk_world.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

/// `n` reads; the first has `timeout`.
std::vector<std::unique_ptr<Io>> reads(World& w, u32 n, Duration timeout = BlockRequest::kTimeout) {
    std::vector<std::unique_ptr<Io>> all;
    for (u32 i = 0; i < n; ++i) {
        all.emplace_back(new Io(Op::read, i, {w.piece(512 * i, 512)}));
        if (i == 0) all[0]->timeout = timeout;
        w.disk->submit(*all.back());
    }
    w.disk->flush_submissions();
    return all;
}

}  // namespace

TEST_CASE("A request that runs out of time fails; the others are sent again") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    REQUIRE(w.start());
    w.dev.immediate = false;
    const auto all = reads(w, 100, Duration::from_s(1));
    w.later(Duration::from_ms(990));
    CHECK(all[0]->completions == 0);
    CHECK(w.dev.resets == 1);
    w.later(Duration::from_ms(20));
    CHECK(all[0]->failed(Error::timed_out));
    CHECK_FALSE(all[0]->quarantined);
    const u64 resets = w.dev.resets;
    CHECK(resets > 1);
    CHECK(w.disk->info().recoveries == 1);
    CHECK(w.value("timeouts") == 1);
    for (u32 i = 1; i < 100; ++i) CHECK(all[i]->completions == 0);
    while (!w.dev.waiting.empty()) w.dev.serve(0), w.heard();
    for (u32 i = 1; i < 100; ++i) CHECK(all[i]->good());
    w.later(Duration::from_s(100));
    CHECK(w.dev.resets == resets);
}

TEST_CASE("A request waits for its turn as long as it must; its time begins with the device") {
    World w(Way::pci_vectors);
    REQUIRE(w.start());
    w.dev.immediate = false;
    const auto all = reads(w, 200);
    for (int i = 0; i < 200; ++i) {  // 80 seconds for all, less than 30 for each
        w.later(Duration::from_ms(400));
        REQUIRE_FALSE(w.dev.waiting.empty());
        w.dev.serve(0);
    }
    w.heard();
    for (const auto& r : all) CHECK(r->good());
    CHECK(w.dev.resets == 1);
}

TEST_CASE("A lost interrupt costs a look, not a reset") {
    World w(Way::pci_vectors);
    REQUIRE(w.start());
    w.dev.immediate = false;
    const auto all = reads(w, 1, Duration::from_s(2));
    const auto chain = w.dev.waiting[0];
    *chain.in.back().bytes = std::byte{0};
    (void)w.dev.queues[0].ring.give(chain.id, 513);  // and no interrupt
    CHECK(all[0]->completions == 0);
    w.later(Duration::from_ms(2001));
    CHECK(all[0]->good());
    CHECK(w.dev.resets == 1);
    CHECK(w.value("lost_interrupts") == 1);
    w.dev.waiting.clear();
}

TEST_CASE("A device that fell asleep over a request is told of it after a second") {
    World w(GENERATE(Way::pci_vectors, Way::pci_line, Way::mmio, Way::legacy_one_vector));
    REQUIRE(w.start());
    w.dev.queues[0].ring.busy();
    const auto all = reads(w, 1);
    (void)w.dev.queues[0].ring.sleep();  // and does not look again
    w.later(Duration::from_ms(900));
    CHECK(all[0]->completions == 0);
    w.later(Duration::from_ms(200));
    CHECK(all[0]->good());
    CHECK(w.dev.resets == 1);
    CHECK(w.disk->info().queues[0].counters.kicks_late == 1);
}

TEST_CASE("A request is given to a failing device a few times, not for ever") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    REQUIRE(w.start());
    w.dev.immediate = false;
    const auto all = reads(w, 3);
    for (int i = 0; i < 3; ++i) {
        w.dev.needs_reset();
        w.heard();
        for (const auto& r : all) CHECK(r->completions == 0);
        w.later(Duration::from_s(20));  // not three in a minute
    }
    w.dev.needs_reset();
    w.heard();
    for (const auto& r : all) CHECK(r->failed(Error::device_broken));
    CHECK_FALSE(w.disk->info().broken);
    w.dev.immediate = true;
    const auto more = reads(w, 3);
    for (const auto& r : more) CHECK(r->good());
}

TEST_CASE("Too many resets in a row end it; peace forgives them") {
    World w(Way::pci_vectors);
    REQUIRE(w.start());
    const bool peace = GENERATE(true, false);
    for (int i = 0; i < 8; ++i) {
        w.dev.needs_reset();
        w.later(peace ? Duration::from_s(61) : Duration::from_s(1));
        if (w.disk->info().broken) break;
    }
    CHECK(w.disk->info().broken == !peace);
    CHECK(w.disk->info().recoveries == (peace ? 8u : 5u));
}

TEST_CASE("Memory that a device never gave back is quarantined") {
    const Way way = GENERATE(Way::pci_vectors, Way::mmio);
    std::vector<DmaAddr> rings;
    {
        World w(way);
        REQUIRE(w.start());
        w.dev.immediate = false;
        const auto all = reads(w, 200);
        REQUIRE(w.dev.waiting.size() < 200);
        const usize held = w.dev.waiting.size();
        rings = {w.dev.queues[0].ring.desc, w.dev.queues[0].ring.device};
        w.dev.never_resets = true;
        SECTION("it wants a reset that it does not do") {
            w.dev.needs_reset();
            w.heard();
        }
        SECTION("a request is late") {
            w.later(Duration::from_s(31));
        }
        SECTION("it is shut down") {
            w.disk.reset();
        }
        usize quarantined = 0;
        for (usize i = 0; i < all.size(); ++i) {
            CHECK(all[i]->failed(Error::device_broken));
            quarantined += all[i]->quarantined;
            CHECK(all[i]->quarantined == (i < held));
        }
        CHECK(quarantined == held);
        if (w.disk) {
            Io late(Op::read, 0, {w.piece(0, 512)});
            w.disk->submit(late), w.disk->flush_submissions();
            CHECK(late.failed(Error::device_broken));
            CHECK_FALSE(late.quarantined);
        }
        w.memory.abandon();
    }
    for (const DmaAddr a : rings) CHECK(arch::host::dma_to_pointer(a, 4) != nullptr);
}

TEST_CASE("A disk that is gone from the bus fails what it had and what comes") {
    World w(GENERATE(Way::pci_vectors, Way::mmio, Way::pci_polling));
    REQUIRE(w.start());
    w.dev.immediate = false;
    const auto all = reads(w, 100);
    w.dev.absent = true;
    w.later(Duration::from_s(31));
    for (const auto& r : all) CHECK(r->failed(all[0]->error.value_or(Error::io)));
    CHECK(all[0]->error == Error::device_broken);
    CHECK(w.disk->info().broken);
    Io late(Op::flush, 0);
    w.disk->submit(late), w.disk->flush_submissions();
    CHECK(late.failed(Error::device_broken));
    w.memory.abandon();
}

TEST_CASE("done() may submit again at once") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    REQUIRE(w.start());
    struct Chained : BlockRequest {
        World* world;
        IoSegment segment;
        int left = 100;
    } r;
    r.world = &w;
    r.segment = w.piece(0, 512);
    r.data = {&r.segment, 1};
    r.done = [](BlockRequest& b) {
        auto& c = static_cast<Chained&>(b);
        if (--c.left == 0) return;
        c.world->disk->submit(c);
        c.world->disk->flush_submissions();
    };
    w.dev.immediate = false;
    w.disk->submit(r);
    w.disk->flush_submissions();
    for (int i = 0; i < 200 && !w.dev.waiting.empty(); ++i) w.dev.serve(0);
    CHECK(r.left == 0);
}

namespace {
constexpr BlkConfig kQueueResets = [] {
    BlkConfig c;
    c.features.optional = {virtio::Common::version_1,        virtio::Common::event_idx,
                           virtio::Common::indirect_desc,    virtio::Common::ring_reset,
                           virtio::BlkSpec::Feature::mq,     virtio::BlkSpec::Feature::flush,
                           virtio::BlkSpec::Feature::seg_max};
    c.queues = 2;
    return c;
}();
}  // namespace

TEST_CASE("Where RING_RESET was agreed, a late request costs one queue its state and the other nothing") {
    WorldOf<device::every_ring(kQueueResets)> w(Way::pci_vectors, u64{2048}, u16{2});
    w.dev.offered = w.dev.offered | virtio::mask(virtio::Common::ring_reset, virtio::BlkSpec::Feature::mq);
    REQUIRE(w.start());
    w.dev.immediate = false;
    std::vector<std::unique_ptr<Io>> all;
    for (u32 i = 0; i < 20; ++i) {
        all.emplace_back(new Io(Op::read, i, {w.piece(512 * i, 512)}));
        if (i == 3) all[3]->timeout = Duration::from_s(1);
        w.disk->submit(*all.back());
        if (i == 9) w.disk->flush_submissions();  // the rest goes into the other queue
    }
    w.disk->flush_submissions();
    REQUIRE(w.dev.waiting.size() == 20);
    const u64 resets = w.dev.resets;
    SECTION("the queue is reset") {
        std::erase_if(w.dev.waiting, [](const BlkDevice::Waiting& c) { return c.queue == 0; });
        w.later(Duration::from_ms(1001));
        CHECK(w.dev.resets == resets);
        CHECK(w.value("queue_resets") == 1);
    }
    SECTION("the device does not end the queue's reset, but its own") {
        w.dev.queue_reset_takes = -1;
        w.later(Duration::from_ms(1001));
        CHECK(w.dev.resets > resets);
        CHECK(w.value("queue_resets") == 0);
    }
    CHECK(all[3]->failed(Error::timed_out));
    for (int i = 0; i < 100 && !w.dev.waiting.empty(); ++i) w.dev.serve(0), w.heard();
    for (u32 i = 0; i < 20; ++i)
        if (i != 3) CHECK(all[i]->good());
    CHECK_FALSE(w.disk->info().broken);
}
