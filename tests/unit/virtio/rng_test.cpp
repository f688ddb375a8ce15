// The entropy driver against a model of the device, over every transport and interrupt mode.
#include <catch2/catch.hpp>

#include "drivers/virtio/rng.hpp"
#include "tests/device/rng_device.hpp"
#include "tests/unit/virtio/bench.hpp"

using namespace ringlet;
using device::RngDevice, device::Way;
using Rng = virtio::Rng<device::every_ring<virtio::RngConfig>()>;

namespace {

struct World : device::Bench<RngDevice> {
    std::unique_ptr<Rng> rng;
    explicit World(Way way) : Bench(way) {
        arch::host::use_virtual_clock();
        arch::host::take_added_entropy();
    }
    Result<> start() {
        auto r = Rng::probe(device(), "rng0");
        if (!r) return fail(r.error());
        rng = std::move(*r);
        return {};
    }
    ~World() {
        rng.reset();
        arch::host::use_real_clock();
        arch::host::set_hardware_random(true);
        CHECK(dev.all_violations() == std::vector<std::string>{});
    }
    /// The thread's turn, `later` from now.
    Instant turn(Duration later = {}) {
        arch::host::advance_to(kernel::now() + later);
        return rng->service(kernel::now());
    }
    u64 value(std::string_view name) const {
        u64 found = ~u64{0};
        rng->for_each_value([&](std::string_view n, u64 v) {
            if (n == name) found = v;
        });
        return found;
    }
};

constexpr Duration kInterval = Duration::from_s(virtio::RngConfig{}.interval_s);

}  // namespace

TEST_CASE("Entropy reaches the generator at boot and after every interval") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    REQUIRE(w.start());
    for (u64 round = 1; round <= 10; ++round) {
        const Instant next = w.turn();
        CHECK(next == kernel::now() + kInterval);
        const auto bytes = arch::host::take_added_entropy();
        REQUIRE(bytes.size() == 64);
        CHECK(bytes[0] == std::byte((round - 1) * 64 + 1));
        CHECK(bytes[63] == std::byte(round * 64));
        CHECK(w.turn(kInterval - Duration::from_ms(1)) == next);  // not before
        CHECK(w.dev.asked == round);
        (void)w.turn(Duration::from_ms(1));
        CHECK(w.dev.asked == round + 1);
    }
    CHECK(w.value("bytes") == 640);
    CHECK(w.value("requests") == 11);
    CHECK(w.rng->info().queues[0].counters.bad_used == 0);
}

TEST_CASE("Short answers are taken, empty and overlong ones counted") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio));
    w.dev.most = GENERATE(0u, 1u, 63u);
    REQUIRE(w.start());
    (void)w.turn();
    CHECK(arch::host::take_added_entropy().size() == w.dev.most);
    CHECK(w.value("empty_answers") == (w.dev.most == 0));
    w.dev.most = 64, w.dev.lie = 1000;
    (void)w.turn(kInterval);
    (void)w.turn();
    CHECK(arch::host::take_added_entropy().size() == 64);
    CHECK(w.rng->info().queues[0].counters.bad_used == 1);
    CHECK_FALSE(w.rng->info().broken);
}

TEST_CASE("Booting waits for a silent device only where the CPU has no entropy, and never long") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio));
    arch::host::use_real_clock();
    w.dev.immediate = false;
    const bool cpu_has_some = GENERATE(true, false);
    arch::host::set_hardware_random(cpu_has_some);
    const Instant before = kernel::now();
    REQUIRE(w.start());
    if (!cpu_has_some) CHECK((kernel::now() - before).ms() >= virtio::RngConfig{}.boot_wait_ms);
    CHECK(w.dev.held);
    arch::host::use_virtual_clock(kernel::now());
    const Instant again = w.turn(Duration::from_s(5));
    CHECK(again == (w.rng->polled() ? kernel::now() + kInterval : Instant::never()));  // no busy waiting
    w.dev.answer();
    (void)w.turn();
    CHECK(arch::host::take_added_entropy().size() == 64);  // late is better than never
}

TEST_CASE("Without entropy in the CPU the first bytes are there when probe() returns") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    arch::host::use_real_clock();
    arch::host::set_hardware_random(false);
    REQUIRE(w.start());
    CHECK(arch::host::take_added_entropy().size() == 64);
}

TEST_CASE("An entropy device that lies is reset, and in the end left alone") {
    World w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    REQUIRE(w.start());
    (void)w.turn();
    w.dev.immediate = false;
    (void)w.turn(kInterval);
    REQUIRE(w.dev.held);
    SECTION("an id never given") {
        w.dev.complete(0, 3, 64);
    }
    SECTION("an id out of range") {
        w.dev.complete(0, 60000, 64);
    }
    SECTION("used.idx jumps") {
        w.dev.queues[0].ring.set_used_idx(500);
    }
    SECTION("DEVICE_NEEDS_RESET") {
        w.dev.needs_reset();
    }
    (void)w.turn();
    CHECK(w.rng->info().recoveries == 1);
    CHECK(w.dev.held);  // it asks again
    w.dev.answer();
    (void)w.turn();
    CHECK(w.value("bytes") == 128);

    for (int i = 0; i < 100; ++i) {  // with peace between them: as often as it likes
        w.dev.needs_reset();
        (void)w.turn(Duration::from_s(61));
    }
    CHECK(w.rng->info().recoveries == 101);
    CHECK_FALSE(w.rng->info().broken);
    for (int i = 0; i < 100; ++i) {
        w.dev.needs_reset();
        (void)w.turn();
        if (w.rng->info().broken) break;
    }
    CHECK(w.rng->info().broken);
    CHECK(w.turn(kInterval).is_never());
}

TEST_CASE("An entropy device that does not come back is left alone, and its buffer with it") {
    const usize before = arch::host::live_dma_regions();
    {
        World w(Way::mmio);
        REQUIRE(w.start());
        w.dev.never_resets = true;
        w.dev.needs_reset();
        CHECK(w.turn().is_never());
        CHECK(w.rng->info().broken);
    }
    CHECK(arch::host::live_dma_regions() > before);
}

TEST_CASE("An entropy device that is gone from the bus is left alone") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio));
    REQUIRE(w.start());
    (void)w.turn();
    w.dev.immediate = false;
    (void)w.turn(kInterval);
    w.dev.absent = true;
    CHECK(w.turn(Duration::from_s(1)).is_never());
    CHECK(w.rng->info().broken);
    CHECK(w.turn(kInterval).is_never());
    w.dev.absent = false;
}

TEST_CASE("Every unplugged or unwilling entropy device is an error at once") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    SECTION("refuses its features") {
        w.dev.refuses_features = true;
        CHECK(w.start().error() == Error::unsupported);
    }
    SECTION("speaks only legacy") {
        w.dev.offered = {};
        CHECK(w.start().error() == Error::unsupported);
    }
    SECTION("has no queue") {
        w.dev.queues.clear();
        CHECK(w.start().error() == Error::device_broken);
    }
}
