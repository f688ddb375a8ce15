// Interfaces from before 1.0 (virtio 1.2 §4.1.4.10, §4.2.4), and what later versions added to the transports: resetting
// one queue, doorbells that tell more than a queue's number.
#include <catch2/catch.hpp>

#include "drivers/virtio/session.hpp"
#include "drivers/virtio/spec/net.hpp"
#include "drivers/virtio/split_ring.hpp"
#include "drivers/virtio/virtqueue.hpp"
#include "tests/unit/virtio/bench.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using device::Way;
using F = NetSpec::Feature;

namespace {

constexpr Features<NetSpec> kF{.required = {F::mac},
                               .optional = {Common::version_1, Common::event_idx, Common::ring_reset,
                                            Common::notification_data, Common::notif_config_data,
                                            Common::order_platform, Common::access_platform, F::status}};
constexpr Features<NetSpec> kModern{.required = {Common::version_1, F::mac}, .optional = {}};
using Hs = Handshake<NetSpec, kF, AnyTransport>;
using Queue = Virtqueue<SplitRing, int, 64>;

struct Quiet final : device::VirtioDevice {
    Quiet() {
        type = 1;
        offered = mask(Common::version_1, Common::event_idx, F::mac, F::status);
        config = {0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0xdc, 0x05};
        queues.resize(2);
    }
    void on_notify(u16) override {}
};
using World = device::Bench<Quiet>;

/// A session with both queues, as a driver would have it.
struct Driver {
    Session<NetSpec, kF, AnyTransport> session;
    std::optional<Queue> queues[2];
    kernel::DmaRegion memory = kernel::DmaRegion::allocate(4096).value();
    int heard = 0;

    explicit Driver(Device d) : session(std::move(d), "test0") {}
    ~Driver() { session.close(queues[0], queues[1]); }
    Result<> start() {
        auto h = TRY(session.begin());
        TRY(session.bind({.queues = 2, .slow = 0}, on_interrupt, this));
        for (u16 i = 0; i < 2; ++i) TRY(session.connect(h, i, queues[i], {.size = 16}));
        return session.run(std::move(h));
    }
    bool add(u16 queue, int token = 1) {
        const Segment s{memory.addr(), 64};
        if (!queues[queue]->add({&s, 1}, {}, token)) return false;
        queues[queue]->kick();
        return true;
    }
    static void on_interrupt(void* self, u32, bool) { ++static_cast<Driver*>(self)->heard; }
};

}  // namespace

TEST_CASE("Over a legacy interface there is no FEATURES_OK, no VERSION_1, and the device's ring size") {
    World w(GENERATE(from_range(std::begin(device::kLegacyWays), std::end(device::kLegacyWays))));
    w.dev.offered = w.dev.offered | mask(Common::ring_reset) | FeatureBits::of(24) | FeatureBits::of(30);
    Driver d(w.device());
    REQUIRE(d.start());
    CHECK(w.dev.status_history == std::vector<u8>{0, 1, 3, 7});
    CHECK(d.session.features().bits() == mask(Common::event_idx, F::mac, F::status));
    CHECK(w.dev.accepted == d.session.features().bits());
    CHECK(d.session.config().read(NetSpec::kMac).value() == std::array<u8, 6>{0x52, 0x54, 0, 1, 2, 3});
    CHECK(d.queues[1]->size() == 16);  // used of them
    CHECK(w.dev.queues[1].size == (w.mmio_v1 ? 16 : 256));
    CHECK(w.dev.queues[1].device % 4096 == 0);
    for (int i = 0; i < 1000; ++i) {  // across the end of the layout, many times
        REQUIRE(d.add(1, i));
        const auto chain = w.dev.queues[1].ring.take();
        REQUIRE(chain);
        CHECK(chain->id < 16);
        CHECK_FALSE(d.queues[1]->rearm());
        w.dev.complete(1, chain->id, 0);
        CHECK(d.heard == i + 1);
        CHECK(d.queues[1]->pop()->token == i);
    }
    CHECK(w.dev.all_violations() == std::vector<std::string>{});
}

TEST_CASE("A legacy ring is full at what the driver asked for, and breaks on ids beyond it") {
    World w(Way::legacy_line);
    Driver d(w.device());
    REQUIRE(d.start());
    for (int i = 0; i < 16; ++i) REQUIRE(d.add(0, i));
    CHECK_FALSE(d.add(0));
    w.dev.queues[0].ring.put(GENERATE(16u, 255u, 256u, 65535u), 0), w.dev.queues[0].ring.publish_used(0);
    CHECK_FALSE(d.queues[0]->pop());
    CHECK(d.queues[0]->broken());
}

TEST_CASE("Legacy devices with impossible rings are refused") {
    World w(GENERATE(Way::legacy_line, Way::mmio_v1));
    Driver d(w.device());
    SECTION("no queue") {
        w.dev.queues[1].max_size = w.dev.queues[1].size = 0;
    }
    SECTION("one queue only") {
        w.dev.queues.resize(1);
    }
    SECTION("not a power of two, which only a device with a size of its own can ask for") {
        w.dev.queues[1].max_size = w.dev.queues[1].size = w.mmio_v1 ? 0 : 100;
    }
    SECTION("no MAC") {
        w.dev.offered = mask(Common::version_1);
    }
    SECTION("never resets") {
        w.dev.never_resets = true, w.dev.status = 4;
    }
    SECTION("not there") {
        w.dev.absent = true;
    }
    CHECK_FALSE(d.start());
}

TEST_CASE("A driver that requires VERSION_1 leaves a legacy interface alone") {
    World w(GENERATE(Way::legacy_line, Way::mmio_v1));
    auto device = w.device();
    CHECK(Handshake<NetSpec, kModern, AnyTransport>::begin(device.transport).error() == Error::unsupported);
    CHECK(w.dev.status_history.back() == 128);
}

TEST_CASE("A modern interface without VERSION_1 is refused, whatever the driver could do") {
    World w(GENERATE(Way::pci_line, Way::mmio));
    w.dev.offered = mask(F::mac);
    auto device = w.device();
    CHECK(Hs::begin(device.transport).error() == Error::unsupported);
}

TEST_CASE("Without generations a value is read until it stands still, and not for ever") {
    World w(GENERATE(Way::legacy_line, Way::mmio_v1));
    auto device = w.device();
    auto h = Hs::begin(device.transport);
    REQUIRE(h);
    w.dev.torn_reads = 20;
    const auto status = h->config().read(NetSpec::kStatus);
    REQUIRE(status);
    CHECK(*status == std::optional<u16>(1));
    CHECK(h->config().read(NetSpec::kMac).value() == std::array<u8, 6>{0x52, 0x54, 0, 1, 2, 3});
    w.dev.torn_reads = 1 << 30;
    CHECK(h->config().read(NetSpec::kMac).error() == Error::device_broken);
}

TEST_CASE("A legacy device recovers into the ring it had") {
    World w(GENERATE(from_range(std::begin(device::kLegacyWays), std::end(device::kLegacyWays))));
    Driver d(w.device());
    REQUIRE(d.start());
    for (int round = 0; round < 5; ++round) {
        REQUIRE(d.add(0));
        REQUIRE(d.session.halt());
        for (auto& q : d.queues) q->drain([](int) {});
        REQUIRE(d.start());
        REQUIRE(d.add(0, 7));
        w.dev.complete(0, w.dev.queues[0].ring.take()->id, 0);
        CHECK(d.queues[0]->pop()->token == 7);
    }
    CHECK(w.dev.all_violations() == std::vector<std::string>{});
}

TEST_CASE("One queue is reset while the other goes on") {
    World w(GENERATE(Way::pci_vectors, Way::pci_one_vector, Way::pci_line, Way::mmio));
    w.dev.offered = w.dev.offered | mask(Common::ring_reset);
    w.dev.queue_reset_takes = GENERATE(0, 5);
    Driver d(w.device());
    REQUIRE(d.start());
    REQUIRE(d.add(0, 3));
    REQUIRE(d.add(1, 4));
    w.dev.queues[0].ring.put(60000, 0), w.dev.queues[0].ring.publish_used(0);
    CHECK_FALSE(d.queues[0]->pop());
    const auto resets = w.dev.resets;
    std::vector<int> back;
    REQUIRE(d.session.restart_queue(0, *d.queues[0], [&](int t) { back.push_back(t); }));
    CHECK(back == std::vector<int>{3});
    CHECK(w.dev.resets == resets);
    REQUIRE(d.add(0, 5));
    CHECK_FALSE(d.queues[0]->rearm());
    d.heard = 0;
    w.dev.complete(0, w.dev.queues[0].ring.take()->id, 0);
    CHECK(d.heard == 1);  // its vector is its own again
    CHECK(d.queues[0]->pop()->token == 5);
    w.dev.complete(1, w.dev.queues[1].ring.take()->id, 0);
    CHECK(d.queues[1]->pop()->token == 4);
    CHECK(w.dev.all_violations() == std::vector<std::string>{});
}

TEST_CASE("A queue that cannot be reset is an error, soon") {
    World w(GENERATE(Way::pci_line, Way::mmio));
    SECTION("not offered") {}
    SECTION("never done") {
        w.dev.offered = w.dev.offered | mask(Common::ring_reset);
        w.dev.queue_reset_takes = -1;
    }
    SECTION("offered, but there is no such register: QEMU's virtio-mmio") {
        if (!w.mmio) return;
        w.dev.offered = w.dev.offered | mask(Common::ring_reset);
        w.mmio->has_queue_reset = false;
    }
    SECTION("gone") {
        w.dev.offered = w.dev.offered | mask(Common::ring_reset);
    }
    Driver d(w.device());
    REQUIRE(d.start());
    w.dev.absent =
        !w.dev.offered.test(40) ? false : w.dev.queue_reset_takes == 0 && (!w.mmio || w.mmio->has_queue_reset);
    CHECK_FALSE(d.session.restart_queue(0, *d.queues[0], [](int) {}));
    w.dev.absent = false;
}

TEST_CASE("Doorbells tell what was agreed: the queue or its number of choice, and the position") {
    World w(GENERATE(Way::pci_line, Way::mmio));
    const bool position = GENERATE(false, true), number = GENERATE(false, true), ports = GENERATE(false, true);
    if (w.pci && ports) w.pci->ports_for_doorbells();
    CAPTURE(position, number, ports);
    if (position) w.dev.offered = w.dev.offered | mask(Common::notification_data);
    if (number) w.dev.offered = w.dev.offered | mask(Common::notif_config_data);
    Driver d(w.device());
    REQUIRE(d.start());
    CHECK(w.dev.accepted.test(39) == (number && w.pci));
    for (u32 i = 1; i <= 10; ++i) {
        REQUIRE(d.add(1));
        w.dev.complete(1, w.dev.queues[1].ring.take()->id, 0);
        w.dev.queues[1].ring.sleep();
        (void)d.queues[1]->pop();
        CHECK(w.dev.queues[1].notified == i);
        CHECK(w.dev.queues[1].last_position == (position ? i : 0));
    }
    CHECK(w.dev.all_violations() == std::vector<std::string>{});
}

TEST_CASE("A doorbell that its accesses would straddle is refused") {
    World w(Way::pci_line);
    const bool position = GENERATE(false, true), wide = GENERATE(false, true);
    if (position) w.dev.offered = w.dev.offered | mask(Common::notification_data);
    w.pci->notify_at = wide ? 4 : 2;
    Driver d(w.device());
    CHECK(d.start().has_value() == (wide || !position));
}

TEST_CASE("A device that offers more after its reset is given what it had") {
    World w(GENERATE(Way::pci_line, Way::mmio));
    Driver d(w.device());
    w.dev.offered = w.dev.offered.without(mask(Common::event_idx));
    REQUIRE(d.start());
    const FeatureBits before = w.dev.accepted;
    w.dev.offered = w.dev.offered | mask(Common::event_idx, Common::notification_data);
    REQUIRE(d.session.halt());
    for (auto& q : d.queues) q->drain([](int) {});
    REQUIRE(d.start());
    CHECK(w.dev.accepted == before);
}

TEST_CASE("Registers beyond the common window are not touched, and their features not taken") {
    World w(Way::pci_line);
    w.pci->common_bytes = GENERATE(56, 58, 60);
    w.dev.offered = w.dev.offered | mask(Common::ring_reset, Common::notif_config_data);
    Driver d(w.device());
    REQUIRE(d.start());
    CHECK(w.dev.accepted.test(39) == (w.pci->common_bytes >= 58));
    CHECK(w.dev.accepted.test(40) == (w.pci->common_bytes >= 60));
}

TEST_CASE("What a device that never confirms its reset holds is never used again") {
    World w(GENERATE(Way::pci_line, Way::legacy_line, Way::mmio, Way::mmio_v1));
    const auto live = arch::host::live_dma_regions();
    const bool stubborn = GENERATE(false, true);
    {
        Driver d(w.device());
        REQUIRE(d.start());
        REQUIRE(d.add(0));
        w.dev.never_resets = stubborn;
        CHECK(d.session.halt() == !stubborn);
        CHECK(d.session.quiet() == !stubborn);
    }
    CHECK(arch::host::live_dma_regions() == live + (stubborn ? 2 : 0));  // both rings
}
