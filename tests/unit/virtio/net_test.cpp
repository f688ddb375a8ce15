// The network driver against a model of the device, over every transport and interrupt mode.
#include <catch2/catch.hpp>

#include "drivers/virtio/net.hpp"
#include "tests/device/net_device.hpp"
#include "tests/unit/virtio/bench.hpp"

using namespace ringlet;
using device::NetDevice, device::Way;
using net::Arm, net::PacketBuffer, net::PacketMeta;
using virtio::Net;

namespace {

using Nic = Net<device::every_ring<virtio::NetConfig>()>;

struct World : device::Bench<NetDevice> {
    kernel::DmaRegion memory = kernel::DmaRegion::allocate(200 * PacketBuffer::kSize).value();
    net::PacketPool pool{memory.bytes(), memory.addr()};
    int wakes = 0;
    std::unique_ptr<Nic> nic;
    using Bench::Bench;
    Result<> start() {
        auto r = Nic::probe(
            device(), pool, "net0", [](void* p) { ++static_cast<World*>(p)->wakes; }, this);
        if (!r) return fail(r.error());
        nic = std::move(*r);
        return {};
    }
    ~World() {
        nic.reset();
        CHECK(pool.free() == pool.total());
        CHECK(dev.all_violations() == std::vector<std::string>{});
    }
    PacketBuffer frame(usize bytes, u8 fill = 7) {
        PacketBuffer p = pool.allocate().value();
        for (auto& b : p.append(bytes)) b = std::byte(fill);
        return p;
    }
};

std::vector<u8> bytes_of(const PacketBuffer& p) {
    const auto d = p.data();
    return {reinterpret_cast<const u8*>(d.data()), reinterpret_cast<const u8*>(d.data()) + d.size()};
}

}  // namespace

TEST_CASE("Frames go both ways over every transport and interrupt mode") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    REQUIRE(w.start());
    CHECK(w.nic->mac() == net::MacAddr{{0x52, 0x54, 0, 0x12, 0x34, 0x56}});
    CHECK(w.nic->mtu() == 1500);
    CHECK(w.nic->carrier());
    CHECK(w.nic->offloads().tx_checksum);
    CHECK_FALSE(w.nic->rearm(Arm::rx));
    for (u32 i = 0; i < 500; ++i) {
        const std::vector<u8> in(60 + i % 1455, u8(i));
        REQUIRE(w.dev.receive(in));
        if (w.nic->polled()) w.nic->poll();
        CHECK(w.wakes == int(i) + 1);
        auto p = w.nic->receive();
        REQUIRE(p);
        CHECK(bytes_of(*p) == in);
        CHECK_FALSE(w.nic->receive());
        REQUIRE(w.nic->room() != 0);
        w.nic->transmit(std::move(*p));  // echo, in place
        w.nic->flush();
        REQUIRE(w.dev.sent.size() == i + 1);
        CHECK(w.dev.sent.back().frame == in);
        while (w.nic->rearm(Arm::rx)) (void)w.nic->receive();
    }
    CHECK(w.nic->info().queues[0].counters.bad_used == 0);
    CHECK(w.nic->info().negotiated.test(29) == w.dev.offered.test(29));
}

TEST_CASE("Transmissions complete without interrupts until the stack waits for room") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    REQUIRE(w.start());
    w.dev.hold_tx = true;
    u16 n = 0;
    while (w.nic->room() != 0) w.nic->transmit(w.frame(100)), ++n;
    CHECK(n == 64);
    w.nic->flush();
    CHECK(w.dev.queues[1].notified == 1);
    w.dev.release_tx();
    CHECK(w.wakes == 0);
    CHECK(w.nic->room() == 64);
    while (w.nic->room() != 0) w.nic->transmit(w.frame(100));
    w.nic->flush();
    CHECK_FALSE(w.nic->rearm(Arm::rx_and_tx));
    w.dev.release_tx();
    CHECK(w.wakes == 1);
    CHECK(w.nic->room() == 64);
    CHECK(w.nic->info().queues[1].counters.kicks == 2);
}

TEST_CASE("A NIC is silent from the rearm() that finds nothing to the next interrupt") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    REQUIRE(w.start());
    CHECK_FALSE(w.nic->silent());  // it was never asked
    const auto arm = [&] {
        while (w.nic->rearm(Arm::rx)) (void)w.nic->receive();
    };
    arm();
    CHECK(w.nic->silent() == !w.nic->polled());  // nobody tells when there are no interrupts
    REQUIRE(w.dev.receive(std::vector<u8>(60)));
    CHECK_FALSE(w.nic->silent());
    CHECK(w.nic->receive());
    CHECK_FALSE(w.nic->silent());  // there may be more, and interrupts are off
    SECTION("a frame comes before the interrupts are on again") {
        REQUIRE(w.dev.receive(std::vector<u8>(60)));
        CHECK(w.nic->rearm(Arm::rx));
        CHECK_FALSE(w.nic->silent());
    }
    arm();
    CHECK(w.nic->silent() == !w.nic->polled());
    SECTION("the configuration changes") {
        w.dev.change_config([&] { w.dev.config[6] = 0; });
        CHECK_FALSE(w.nic->silent());
    }
    SECTION("the device is reset") {
        w.dev.queues[0].ring.put(60000, 1), w.dev.queues[0].ring.publish_used(0);
        CHECK_FALSE(w.nic->receive());
        CHECK(w.nic->rearm(Arm::rx));
        CHECK_FALSE(w.nic->silent());
    }
    SECTION("the transmit ring breaks") {
        w.dev.queues[1].ring.put(60, 0), w.dev.queues[1].ring.publish_used(0);
        (void)w.nic->watch(Instant{1});
        CHECK(w.nic->room() == 0);
        CHECK_FALSE(w.nic->silent());
    }
}

TEST_CASE("A device that fell asleep over a frame is told with the next flush, over buffers with the next look") {
    World w(GENERATE(Way::pci_vectors, Way::mmio, Way::legacy_vectors));
    REQUIRE(w.start());
    const u16 queue = GENERATE(u16{0}, u16{1});
    auto& ring = w.dev.queues[queue].ring;
    const usize sent = w.dev.sent.size();
    if (queue == 1) w.nic->transmit(w.frame(60));
    const u16 buffers = w.nic->info().queues[0].in_flight;
    for (u16 i = 0; queue == 0 && i < buffers; ++i) {
        REQUIRE(w.dev.receive(std::vector<u8>(60)));
        while (w.nic->receive()) {
        }
    }
    ring.busy();
    w.nic->flush();
    (void)ring.sleep();  // and does not look again
    const auto late = [&] { return w.nic->info().queues[queue].counters.kicks_late; };
    const auto tell = [&] { queue == 1 ? w.nic->flush() : void(w.nic->watch(Instant{1})); };
    CHECK(late() == 0);
    tell();
    CHECK(late() == 1);
    if (queue == 1) CHECK(w.dev.sent.size() == sent + 1);
    tell();
    CHECK(late() == 1);
}

TEST_CASE("A starved pool leaves the ring short and flush() fills it again") {
    World w(Way::mmio);
    REQUIRE(w.start());
    std::vector<PacketBuffer> hoard;
    while (auto p = w.pool.allocate()) hoard.push_back(std::move(*p));
    while (w.dev.receive(std::vector<u8>(60))) {
    }
    while (auto p = w.nic->receive()) hoard.push_back(std::move(*p));
    w.nic->flush();
    const auto posted = [&] { return w.nic->info().queues[0].in_flight; };
    CHECK(posted() == 0);
    CHECK_FALSE(w.dev.receive(std::vector<u8>(60)));
    hoard.clear();
    w.nic->flush();
    CHECK(posted() > 32);
    CHECK(w.dev.receive(std::vector<u8>(60)));
}

TEST_CASE("Checksum metadata is passed on when it makes sense and dropped when not") {
    World w(Way::pci_vectors);
    REQUIRE(w.start());
    using C = PacketMeta::Checksum;
    const auto got = [&](NetDevice::Header h) {
        REQUIRE(w.dev.receive(std::vector<u8>(100), h));
        return w.nic->receive()->meta();
    };
    CHECK(got({}).checksum == C::none);
    CHECK(got({.flags = 2}).checksum == C::verified);
    const auto partial = got({.flags = 1, .csum_start = 34, .csum_offset = 16});
    CHECK((partial.checksum == C::partial && partial.csum_start == 34 && partial.csum_offset == 16));
    CHECK(got({.flags = 1, .csum_start = 98, .csum_offset = 0}).checksum == C::partial);
    CHECK(got({.flags = 1, .csum_start = 98, .csum_offset = 1}).checksum == C::none);
    CHECK(got({.flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff}).checksum == C::none);

    auto p = w.frame(100);
    p.meta() = {.checksum = C::partial, .csum_offset = 16, .csum_start = 34};
    w.nic->transmit(std::move(p));
    w.nic->flush();
    CHECK(w.dev.sent.back().header.flags == 1);
    CHECK(w.dev.sent.back().header.csum_start == 34);
    CHECK(w.dev.sent.back().header.csum_offset == 16);
}

TEST_CASE("Without CSUM the driver finishes a partial checksum itself") {
    World w(Way::mmio);
    w.dev.offered = w.dev.offered.without(virtio::mask(virtio::NetSpec::Feature::csum));
    REQUIRE(w.start());
    CHECK_FALSE(w.nic->offloads().tx_checksum);
    auto p = w.frame(54, 0);
    p.data()[34] = std::byte(0x12);
    p.data()[53] = std::byte(0x34);
    p.meta() = {.checksum = PacketMeta::Checksum::partial, .csum_offset = 16, .csum_start = 34};
    w.nic->transmit(std::move(p));
    w.nic->flush();
    const auto& f = w.dev.sent.back();
    CHECK(f.header.flags == 0);
    CHECK((f.frame[50] << 8 | f.frame[51]) == 0xffff - 0x1234);
}

TEST_CASE("An MTU that we cannot keep is not accepted") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    SECTION("9000") {
        w.dev.set_mtu(9000);
    }
    SECTION("575") {
        w.dev.set_mtu(575);
    }
    SECTION("0") {
        w.dev.set_mtu(0);
    }
    REQUIRE(w.start());
    CHECK(w.nic->mtu() == 1500);
    CHECK_FALSE(w.dev.accepted.test(3));
    CHECK(w.dev.accepted.test(5));
}

TEST_CASE("An MTU that we can keep is the link's") {
    World w(Way::mmio);
    const u16 mtu = GENERATE(u16{576}, u16{1280}, u16{PacketBuffer::kSize - PacketBuffer::kHeadroom - 14});
    w.dev.set_mtu(mtu);
    REQUIRE(w.start());
    CHECK(w.nic->mtu() == mtu);
    CHECK(w.dev.accepted.test(3));
}

TEST_CASE("The link goes down and up again with the status field") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    REQUIRE(w.start());
    CHECK(w.nic->carrier());
    w.dev.change_config([&] { w.dev.config[6] = 0; });
    if (w.nic->polled()) w.nic->poll();
    CHECK(w.wakes == 1);
    CHECK_FALSE(w.nic->carrier());
    w.dev.change_config([&] { w.dev.config[6] = 1; });
    if (w.nic->polled()) w.nic->poll();
    CHECK(w.nic->carrier());
}

TEST_CASE("A device that lies is reset, renegotiated and used again") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    REQUIRE(w.start());
    const auto before = w.dev.accepted;
    for (int i = 0; i < 10; ++i) w.nic->transmit(w.frame(100));
    SECTION("bad receive id") {
        w.dev.queues[0].ring.put(60000, 1), w.dev.queues[0].ring.publish_used(0);
        CHECK_FALSE(w.nic->receive());
    }
    SECTION("bad transmit id") {
        w.dev.queues[1].ring.put(60, 0), w.dev.queues[1].ring.publish_used(0);
        (void)w.nic->watch(Instant{1});
        CHECK(w.nic->room() == 0);
    }
    SECTION("used.idx jumps") {
        w.dev.queues[0].ring.set_used_idx(1000);
        CHECK_FALSE(w.nic->receive());
    }
    SECTION("DEVICE_NEEDS_RESET") {
        w.dev.needs_reset();
        if (w.nic->polled()) w.nic->poll();
        CHECK(w.wakes == 1);
    }
    CHECK(w.nic->rearm(Arm::rx));  // run again
    CHECK(w.nic->info().recoveries == 1);
    CHECK(w.dev.accepted == before);
    w.wakes = 0;
    REQUIRE(w.dev.receive(std::vector<u8>(77, 1)));
    if (!w.nic->polled()) CHECK(w.wakes == 1);
    CHECK(w.nic->receive()->size() == 77);
    w.nic->transmit(w.frame(100));
    w.nic->flush();
    CHECK(w.dev.sent.size() == 1);
}

TEST_CASE("A device that never stops lying is given up, without a hang") {
    World w(Way::mmio);
    REQUIRE(w.start());
    int rounds = 0;
    do {
        w.dev.queues[0].ring.set_used_idx(u16(w.dev.queues[0].ring.used_idx + 20000));
        (void)w.nic->receive();
    } while (w.nic->rearm(Arm::rx) && ++rounds < 1000);
    CHECK(rounds == 16);
    CHECK_FALSE(w.nic->carrier());
    CHECK(w.nic->info().broken);
    CHECK(w.nic->room() == 0);
    w.nic->transmit(w.frame(100));
    w.nic->flush();
    CHECK_FALSE(w.nic->rearm(Arm::rx_and_tx));
}

TEST_CASE("A minute of peace forgives resets") {
    World w(Way::mmio);
    arch::host::use_virtual_clock(Instant{1'000'000'000});
    REQUIRE(w.start());
    const auto lie = [&] {
        w.dev.queues[0].ring.set_used_idx(u16(w.dev.queues[0].ring.used_idx + 20000));
        (void)w.nic->receive();
        return w.nic->rearm(Arm::rx);
    };
    for (int i = 0; i < 16; ++i) REQUIRE(lie());
    arch::host::advance_to(Instant{60'999'999'999});
    SECTION("too early") {
        CHECK_FALSE(lie());
    }
    SECTION("in time") {
        arch::host::advance_to(Instant{61'000'000'000});
        for (int i = 0; i < 16; ++i) REQUIRE(lie());
        CHECK(w.nic->info().recoveries == 32);
        CHECK_FALSE(lie());
    }
    arch::host::use_real_clock();
}

TEST_CASE("A device that gives no transmission back is reset after five seconds, once") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    arch::host::use_virtual_clock(Instant{1'000'000'000});
    REQUIRE(w.start());
    CHECK(w.nic->carrier());
    w.dev.hold_tx = true;
    const auto fill = [&] {
        while (w.nic->room() != 0) w.nic->transmit(w.frame(100));
        w.nic->flush();
        (void)w.nic->room();
        (void)w.nic->watch(kernel::now());
    };
    const auto recoveries_at = [&](u64 ms) {
        arch::host::advance_to(Instant{ms * 1'000'000});
        (void)w.nic->carrier();
        (void)w.nic->room();
        (void)w.nic->watch(kernel::now());
        (void)w.nic->rearm(Arm::rx_and_tx);
        return w.nic->info().recoveries;
    };
    fill();
    SECTION("and again only when it has worked meanwhile") {
        CHECK(recoveries_at(5999) == 0);
        CHECK(recoveries_at(6000) == 1);
        CHECK(w.nic->value(virtio::NetCount::tx_timeouts) == 1);
        fill();
        CHECK(recoveries_at(30000) == 1);
        w.dev.release_tx();
        fill();
        CHECK(recoveries_at(34999) == 1);
        CHECK(recoveries_at(35000) == 2);
    }
    SECTION("not one that is merely slow") {
        arch::host::advance_to(Instant{5'900'000'000});
        w.dev.release_tx();
        fill();
        CHECK(recoveries_at(10'899) == 0);
        w.dev.release_tx();
        CHECK(w.nic->room() == 64);
        CHECK(recoveries_at(60'000) == 0);
        fill();
        CHECK(recoveries_at(64'999) == 0);
    }
    SECTION("not without a link") {
        w.dev.change_config([&] { w.dev.config[6] = 0; });
        CHECK(recoveries_at(1100) == 0);
        CHECK_FALSE(w.nic->watch(kernel::now()));
        CHECK(recoveries_at(60'000) == 0);
        w.dev.change_config([&] { w.dev.config[6] = 1; });
        CHECK(recoveries_at(60'001) == 0);
        CHECK(recoveries_at(65'000) == 0);
        CHECK(recoveries_at(65'001) == 1);
    }
    arch::host::use_real_clock();
}

TEST_CASE("Of frames in flight one look more is wanted, until the last came back or the device was reset") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    arch::host::use_virtual_clock(Instant{1'000'000'000});
    REQUIRE(w.start());
    CHECK(w.nic->carrier());
    CHECK_FALSE(w.nic->watch(kernel::now()));
    w.dev.hold_tx = true;
    const auto send = [&] {
        REQUIRE(w.nic->room() > 1);
        w.nic->transmit(w.frame(100));
        w.nic->flush();
    };
    send();
    CHECK(w.nic->watch(kernel::now()));
    SECTION("all came back") {
        arch::host::advance_to(Instant{5'900'000'000});
        w.dev.release_tx();
        CHECK(w.nic->room() == 63);  // so few are not worth fetching
        CHECK_FALSE(w.nic->watch(kernel::now()));
        CHECK(w.nic->room() == 64);
    }
    SECTION("the one that comes back is a sign of life") {
        arch::host::advance_to(Instant{5'900'000'000});
        w.dev.release_tx();
        send();
        CHECK(w.nic->watch(kernel::now()));
        arch::host::advance_to(Instant{10'899'000'000});
        CHECK(w.nic->watch(kernel::now()));
        CHECK(w.nic->value(virtio::NetCount::tx_timeouts) == 0);
    }
    SECTION("reset, with much room left") {
        arch::host::advance_to(Instant{6'000'000'000});
        CHECK(w.nic->watch(kernel::now()));
        w.nic->flush();
        CHECK(w.nic->info().recoveries == 1);
        CHECK(w.nic->value(virtio::NetCount::tx_timeouts) == 1);
        send();
        CHECK_FALSE(w.nic->watch(kernel::now()));  // once was enough
    }
    arch::host::use_real_clock();
}

TEST_CASE("Without a usable address of the device's there is a random one, for good") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    SECTION("none") {
        w.dev.withdraw(virtio::NetSpec::Feature::mac);
    }
    SECTION("zeros") {
        std::fill_n(w.dev.config.begin(), 6, u8{0});
    }
    SECTION("a group") {
        w.dev.config[0] = 1;
    }
    REQUIRE(w.start());
    const net::MacAddr mac = w.nic->mac();
    CHECK((mac.octets[0] & 3) == 2);
    CHECK(mac != net::MacAddr{{mac.octets[0]}});
    w.dev.needs_reset();
    if (w.nic->polled()) w.nic->poll();
    REQUIRE(w.nic->rearm(Arm::rx));
    CHECK(w.nic->mac() == mac);
}

TEST_CASE("A network device that is gone from the bus takes nothing more, and its packets come back") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio));
    REQUIRE(w.start());
    for (int i = 0; i < 10; ++i) w.nic->transmit(w.frame(100));
    w.dev.absent = true;
    w.dev.interrupt_config();
    if (w.nic->polled()) w.nic->poll();
    w.nic->flush();
    CHECK_FALSE(w.nic->rearm(Arm::rx_and_tx));
    CHECK(w.nic->info().broken);
    CHECK_FALSE(w.nic->carrier());
    CHECK(w.nic->room() == 0);
    CHECK_FALSE(w.nic->receive());
    w.dev.absent = false;
}

TEST_CASE("Short and absurd lengths are dropped, not read") {
    World w(Way::pci_vectors);
    REQUIRE(w.start());
    for (const u32 written : {0u, 11u, 12u, 25u}) {
        const auto chain = w.dev.queues[0].ring.take();
        w.dev.complete(0, chain->id, written);
        CHECK_FALSE(w.nic->receive());
    }
    u64 drops = 0;
    w.nic->for_each_value([&](std::string_view name, u64 value) { drops += name == "rxq0.iqdrops" ? value : 0; });
    CHECK(drops == 4);
    const auto chain = w.dev.queues[0].ring.take();
    w.dev.complete(0, chain->id, 0xffff'ffff);
    const auto p = w.nic->receive();
    REQUIRE(p);
    CHECK(p->size() == PacketBuffer::kSize - PacketBuffer::kHeadroom);
    CHECK(w.nic->info().queues[0].counters.bad_used == 1);
}

TEST_CASE("Devices that cannot work are refused with FAILED or silence, and leak nothing") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    SECTION("no VERSION_1") {
        w.dev.offered = w.dev.offered.without(virtio::mask(virtio::Common::version_1));
    }
    SECTION("features refused") {
        w.dev.refuses_features = true;
    }
    SECTION("one queue only") {
        w.dev.queues.resize(1);
    }
    SECTION("a queue of size 0") {
        w.dev.queues[1].max_size = w.dev.queues[1].size = 0;
    }
    SECTION("never resets") {
        w.dev.never_resets = true, w.dev.status = 1;
    }
    CHECK_FALSE(w.start());
}
