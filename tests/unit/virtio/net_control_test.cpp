// The control queue: every command, refusals, silence, and that a reset restores all of it.
#include <thread>

#include "tests/unit/virtio/net_world.hpp"

using namespace ringlet;
using device::NetDevice, device::NetWorld, device::Way, device::kFull, device::kWays;
using net::Arm, net::MacAddr;
using virtio::Coalescing, virtio::NetControl, virtio::NetSpec, virtio::RxMode;
using F = NetSpec::Feature;
using C = virtio::NetControlSpec;

namespace {
using World = NetWorld<kFull>;
constexpr MacAddr kUni{{0x52, 1, 2, 3, 4, 5}}, kUni2{{0x52, 1, 2, 3, 4, 6}}, kMulti{{1, 0, 0x5e, 0, 0, 1}};
}  // namespace

TEST_CASE("The control queue sets modes, filters, VLANs and the address") {
    World w(GENERATE(from_range(std::begin(kWays), std::end(kWays))), 4, 1000);
    REQUIRE(w.start());
    NetControl& c = w.control();
    CHECK(NetControl::find("net0") == &c);
    CHECK(NetControl::find("net1") == nullptr);
    CHECK(w.dev.control.rx.at(C::kRxPromisc) == 0);  // devices start promiscuous

    REQUIRE(c.set_rx_mode({.promiscuous = true, .no_broadcast = true}));
    CHECK(w.dev.control.rx.at(C::kRxPromisc) == 1);
    CHECK(w.dev.control.rx.at(C::kRxNoBcast) == 1);
    REQUIRE(c.set_rx_mode({.all_multicast = true, .all_unicast = true, .no_multicast = true, .no_unicast = true}));
    CHECK((w.dev.control.rx == std::map<u8, u8>{{0, 0}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 0}}));

    const MacAddr list[] = {kMulti, kUni, kUni2};
    REQUIRE(c.set_mac_filter(list));
    CHECK((w.dev.control.unicast == std::vector<NetDevice::Mac>{kUni.octets, kUni2.octets}));
    CHECK((w.dev.control.multicast == std::vector<NetDevice::Mac>{kMulti.octets}));
    REQUIRE(c.set_mac_filter({}));
    CHECK(w.dev.control.unicast.empty());

    REQUIRE(c.add_vlan(0));
    REQUIRE(c.add_vlan(7));
    REQUIRE(c.add_vlan(4094));
    REQUIRE(c.add_vlan(7));  // known: no command
    REQUIRE(c.remove_vlan(7));
    CHECK((w.dev.control.vlans == std::set<u16>{0, 4094}));
    CHECK(c.add_vlan(4095).error() == Error::invalid);

    const int wakes = w.wakes;
    REQUIRE(c.set_mac(kUni));
    CHECK(w.dev.control.mac == kUni.octets);
    CHECK(w.nic->mac() == kUni);
    CHECK(w.wakes > wakes);  // for the stack, which asks
    CHECK(c.set_mac(kMulti).error() == Error::invalid);
    CHECK(c.set_mac({}).error() == Error::invalid);
}

TEST_CASE("Too many addresses open the filter, and fewer close it again") {
    World w(Way::mmio, 4, 1000);
    REQUIRE(w.start());
    std::vector<MacAddr> many(NetControl::kMaxMacs, kUni);
    REQUIRE(w.control().set_mac_filter(many));
    CHECK(w.dev.control.unicast.size() == NetControl::kMaxMacs);
    CHECK(w.dev.control.rx.at(C::kRxPromisc) == 0);
    many.push_back(kMulti);
    REQUIRE(w.control().set_mac_filter(many));
    CHECK(w.dev.control.unicast.empty());
    CHECK(w.dev.control.rx.at(C::kRxPromisc) == 1);
    many.resize(1);
    REQUIRE(w.control().set_mac_filter(many));
    CHECK(w.dev.control.rx.at(C::kRxPromisc) == 0);
}

TEST_CASE("Pairs, steering and coalescing") {
    World w(Way::mmio, 4, 1000);
    const bool rss = GENERATE(true, false), hash = GENERATE(true, false);
    if (!rss) w.dev.withdraw(F::rss);
    if (!hash) w.dev.withdraw(F::hash_report);
    REQUIRE(w.start());
    NetControl& c = w.control();
    CHECK(w.dev.control.pairs == 4);
    CHECK(w.nic->info().queues.size() == 9);
    CHECK(w.dev.control.key.size() == (rss || hash ? 40u : 0u));
    CHECK(w.dev.control.hash_types == (rss || hash ? 0x3fu : 0u));
    if (rss) {
        REQUIRE(w.dev.control.rss_table.size() == 128);
        for (u16 i = 0; i < 128; ++i) CHECK(w.dev.control.rss_table[i] == i % 4);
        REQUIRE(c.set_rss_table(std::array<u8, 2>{3, 1}));
        CHECK((w.dev.control.rss_table == std::vector<u16>{3, 1}));
        CHECK(c.set_rss_table(std::array<u8, 3>{}).error() == Error::invalid);
        CHECK(c.set_rss_table(std::array<u8, 1>{4}).error() == Error::invalid);
        CHECK(c.set_rss_table(std::vector<u8>(256)).error() == Error::invalid);
    } else {
        CHECK(c.set_rss_table(std::array<u8, 2>{3, 1}).error() == Error::unsupported);
    }
    REQUIRE(c.set_pairs(2));
    CHECK(w.dev.control.pairs == 2);
    if (rss) CHECK(w.dev.control.rss_table.size() == 128);
    CHECK(c.set_pairs(0).error() == Error::invalid);
    CHECK(c.set_pairs(5).error() == Error::invalid);

    REQUIRE(c.set_queue_coalescing(1, {7, 8}));
    CHECK(*c.queue_coalescing(1) == Coalescing{7, 8});
    REQUIRE(c.set_coalescing({1, 2}, {3, 4}));
    CHECK(*c.queue_coalescing(0) == Coalescing{1, 2});
    CHECK(*c.queue_coalescing(1) == Coalescing{3, 4});
    CHECK(c.set_queue_coalescing(8, {}).error() == Error::invalid);  // the control queue
    CHECK(c.queue_coalescing(9).error() == Error::invalid);

    REQUIRE(c.set_guest_offloads(1u << 1 | 1u << 7));
    CHECK(w.dev.control.offloads == 0x82);
    CHECK(c.set_guest_offloads(1u << 0).error() == Error::invalid);
    CHECK(c.set_guest_offloads(1u << 10).error() == Error::invalid);  // UFO is not negotiated
}

TEST_CASE("After a reset the device is told everything again") {
    World w(GENERATE(from_range(std::begin(device::kModernWays), std::end(device::kModernWays))), 4, 1000);
    if (GENERATE(true, false)) w.dev.withdraw(F::rss);
    REQUIRE(w.start());
    NetControl& c = w.control();
    REQUIRE(c.set_rx_mode({.promiscuous = true, .all_multicast = true, .no_broadcast = true}));
    REQUIRE(c.set_mac_filter(std::array{kMulti, kUni}));
    for (const u16 id : std::initializer_list<u16>{0, 1, 63, 64, 2000, 4094}) REQUIRE(c.add_vlan(id));
    REQUIRE(c.set_mac(kUni2));
    REQUIRE(c.set_pairs(3));
    REQUIRE(c.set_coalescing({1, 2}, {3, 4}));
    REQUIRE(c.set_queue_coalescing(2, {5, 6}));
    REQUIRE(c.set_guest_offloads(1u << 1));
    auto before = w.dev.control;
    w.break_and_recover();
    w.dev.control.history = before.history = {};
    CHECK(w.dev.control.rx.at(0) == 1);
    CHECK(w.dev.control.rx.at(5) == 1);
    before.rx = w.dev.control.rx;
    CHECK((w.dev.control == before));
    CHECK(w.nic->mac() == kUni2);
    CHECK(w.value("act_vq_pairs") == 3);
}

TEST_CASE("A refusal is an error, a counter, and leaves the old state") {
    World w(Way::mmio, 4, 1000);
    REQUIRE(w.start());
    NetControl& c = w.control();
    const u8 answer = GENERATE(u8{1}, u8{2}, u8{0xff});
    w.dev.answer = answer;
    CHECK(c.set_rx_mode({.promiscuous = true}).error() == Error::io);
    CHECK(c.add_vlan(5).error() == Error::io);
    CHECK(c.set_mac(kUni).error() == Error::io);
    CHECK(c.set_mac_filter(std::array{kUni}).error() == Error::io);
    CHECK(c.set_pairs(1).error() == Error::io);
    CHECK(c.set_rss_table(std::array<u8, 1>{1}).error() == Error::io);
    CHECK(c.set_coalescing({1, 1}, {1, 1}).error() == Error::io);
    CHECK(c.queue_coalescing(0).error() == Error::io);
    CHECK_FALSE(c.rx_mode().promiscuous);
    CHECK_FALSE(c.has_vlan(5));
    CHECK(w.nic->mac() != kUni);
    CHECK(c.pairs() == 4);
    CHECK(w.value(answer == 1 ? "ctrl_refused" : "ctrl_bad_answers") == 8);
    w.dev.answer.reset();
    w.break_and_recover();
    CHECK(w.dev.control.vlans.empty());
    CHECK(w.dev.control.unicast.empty());
    CHECK(w.dev.control.rx.at(0) == 0);
}

TEST_CASE("A device that refuses its pairs is used with one") {
    World w(Way::mmio, 4, 1000);
    w.dev.refuse = C::kMq;
    REQUIRE(w.start());
    CHECK(w.value("act_vq_pairs") == 1);
    for (int i = 0; i < 40; ++i) w.nic->transmit(w.packet(60, 1800, u8(i)));
    w.nic->flush();
    for (const auto& s : w.dev.sent) CHECK(s.queue == 1);
}

TEST_CASE("A pair that is switched off holds nothing up and is sent nothing") {
    World w(GENERATE(Way::pci_vectors, Way::mmio), 2, 1000);
    w.dev.withdraw(virtio::Common::indirect_desc);
    if (GENERATE(true, false)) w.dev.withdraw(F::rss);
    REQUIRE(w.start());
    w.dev.hold_tx = true;
    const auto send = [&](u8 port, usize bytes) {
        auto frame = World::tcp(100);
        frame[14] = 0x45, frame[20] = frame[21] = 0, frame[23] = 6, frame[34] = 0, frame[35] = port;
        auto p = w.packet(bytes, 100);
        std::memcpy(p.data().data(), frame.data(), frame.size());
        w.nic->transmit(std::move(p));
        w.nic->flush();
    };
    u8 port = 0;
    do send(++port, 100);
    while (w.dev.sent.back().queue != 3);
    while (w.nic->room() > 1) send(port, 100);
    send(port, 300);  // does not fit, and waits inside the driver
    REQUIRE(w.value("tx_held") == 1);
    CHECK(w.nic->room() == 0);
    const usize before = w.dev.sent.size();
    REQUIRE(w.control().set_pairs(1));
    CHECK(w.nic->room() > 32);
    w.nic->flush();
    REQUIRE(w.dev.sent.size() == before + 1);
    CHECK(w.dev.sent.back().queue == 1);
    CHECK(w.dev.sent.back().frame.size() == 300);
}

TEST_CASE("The device hears of an address that the driver made up, and of no other") {
    World w(Way::mmio, 1, 1000);
    if (GENERATE(true, false)) {
        w.dev.config[0] |= 1;
        REQUIRE(w.start());
        CHECK(w.dev.control.mac == w.nic->mac().octets);
        w.break_and_recover();
        CHECK(w.dev.control.mac == w.nic->mac().octets);
    } else {
        REQUIRE(w.start());
        CHECK(w.dev.control.mac == NetDevice::Mac{});
    }
}

TEST_CASE("Without the features there are no commands") {
    World w(Way::mmio, 1, 1000);
    w.dev.withdraw(F::ctrl_rx, F::ctrl_vlan, F::ctrl_mac_addr, F::mq, F::rss, F::notf_coal, F::vq_notf_coal,
                   F::ctrl_guest_offloads, F::hash_report, F::guest_announce, F::ctrl_rx_extra);
    SECTION("a control queue that can do nothing") {
        REQUIRE(w.start());
        NetControl& c = w.control();
        CHECK(c.set_rx_mode({}).error() == Error::unsupported);
        CHECK(c.set_mac_filter({}).error() == Error::unsupported);
        CHECK(c.add_vlan(1).error() == Error::unsupported);
        CHECK(c.set_mac(kUni).error() == Error::unsupported);
        CHECK(c.set_pairs(1).error() == Error::unsupported);
        CHECK(c.set_coalescing({}, {}).error() == Error::unsupported);
        CHECK(c.set_queue_coalescing(0, {}).error() == Error::unsupported);
        CHECK(c.set_guest_offloads(0).error() == Error::unsupported);
        CHECK(c.acknowledge_announcement().error() == Error::unsupported);
        CHECK(w.value("ctrl_commands") == 0);
    }
    SECTION("no control queue at all") {
        w.dev.withdraw(F::ctrl_vq);
        w.dev.queues.resize(2);
        REQUIRE(w.start());
        CHECK(w.nic->control() == nullptr);
    }
    REQUIRE(w.dev.receive(World::counting(60)));
    CHECK(w.nic->receive()->size() == 60);
}

TEST_CASE("Silence of the control queue ends after a second, with a reset") {
    World w(Way::mmio, 4, 1000);
    REQUIRE(w.start());
    arch::host::use_virtual_clock(Instant{1'000'000'000});
    std::atomic<bool> done{false};
    std::thread clock([&] {
        for (u64 t = 1'000'000'000; !done; t += 50'000'000) {
            arch::host::advance_to(Instant{t});
            std::this_thread::yield();
        }
    });
    w.dev.control_silent = true;
    CHECK(w.control().set_rx_mode({.promiscuous = true}).error() == Error::timed_out);
    CHECK(w.value("ctrl_timeouts") == 1);
    CHECK(w.control().add_vlan(3).error() == Error::device_broken);  // no second wait before the reset
    w.dev.control_silent = false;
    CHECK(w.nic->rearm(Arm::rx));
    CHECK(w.nic->info().recoveries == 1);
    REQUIRE(w.control().add_vlan(3));
    SECTION("silent for ever: given up, without a hang") {
        w.dev.control_silent = true;
        CHECK(w.control().add_vlan(4).error() == Error::timed_out);
        CHECK_FALSE(w.nic->rearm(Arm::rx));
        CHECK(w.nic->info().broken);
        CHECK(w.control().add_vlan(5).error() == Error::device_broken);
    }
    done = true;
    clock.join();
    arch::host::use_real_clock();
}

TEST_CASE("The host asks for an announcement once, and is answered once") {
    World w(GENERATE(from_range(std::begin(kWays), std::end(kWays))), 1, 1000);
    REQUIRE(w.start());
    CHECK(w.nic->carrier());
    CHECK_FALSE(w.nic->take_announce());
    w.dev.announce();
    if (w.nic->polled()) w.nic->poll();
    CHECK(w.nic->carrier());
    CHECK(w.nic->take_announce());
    CHECK_FALSE(w.nic->take_announce());
    CHECK(w.dev.announcements_acknowledged == 1);
    CHECK(w.nic->carrier());
    CHECK_FALSE(w.nic->take_announce());
    CHECK(w.value("announcements") == 1);
}

TEST_CASE("Speed and duplex are read, and read again") {
    World w(Way::pci_vectors, 1, 1000);
    REQUIRE(w.start());
    CHECK(w.nic->carrier());
    CHECK(w.value("speed_mbps") == 10000);
    CHECK(w.value("full_duplex") == 1);
    w.dev.change_config([&] { w.dev.config[15] = 0x80, w.dev.config[16] = 7, w.dev.config[6] = 0; });
    CHECK_FALSE(w.nic->carrier());
    CHECK(w.value("link_changes") == 1);
    w.nic->for_each_value([](std::string_view name, u64) {
        CHECK(name != "speed_mbps");
        CHECK(name != "full_duplex");
    });
}

TEST_CASE("Impossible numbers of pairs are not believed") {
    World w(Way::mmio, 4, 1000);
    SECTION("0") {
        w.dev.set_max_pairs(0);
    }
    SECTION("0x8001") {
        w.dev.set_max_pairs(0x8001);
    }
    REQUIRE(w.start());
    CHECK_FALSE(w.dev.has(F::mq));
    CHECK_FALSE(w.dev.has(F::rss));
    CHECK(w.value("req_vq_pairs") == 1);
    REQUIRE(w.control().add_vlan(1));  // its queue is number 2 then
}

TEST_CASE("The tunables bound the pairs") {
    World w(Way::mmio, 4, 1000);
    SECTION("mq_max_pairs") {
        REQUIRE(w.start({.mq_max_pairs = 2}));
        CHECK(w.dev.control.pairs == 2);
        CHECK_FALSE(w.dev.queues[4].enabled);
    }
    SECTION("mq_disable") {
        REQUIRE(w.start({.mq_disable = true}));
        CHECK_FALSE(w.dev.has(F::mq));
        CHECK(w.value("act_vq_pairs") == 1);
    }
    REQUIRE(w.control().add_vlan(1));
}
