// Initialisation (virtio 1.2 §3.1.1), features, configuration space and interrupt policy, over both transports.
#include <catch2/catch.hpp>

#include "drivers/virtio/any_transport.hpp"
#include "drivers/virtio/handshake.hpp"
#include "drivers/virtio/spec/blk.hpp"
#include "drivers/virtio/spec/net.hpp"
#include "drivers/virtio/split_ring.hpp"
#include "tests/device/fake_vectors.hpp"
#include "tests/device/mmio_front.hpp"
#include "tests/device/pci_front.hpp"
#include "tests/device/pci_legacy_front.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using F = NetSpec::Feature;

namespace {

constexpr Features<NetSpec> kF{.required = {Common::version_1, F::mac},
                               .optional = {Common::event_idx, F::mtu, F::csum, F::host_tso4}};
using Hs = Handshake<NetSpec, kF, AnyTransport>;

struct Quiet final : device::VirtioDevice {
    Quiet() {
        type = 1;
        offered = mask(Common::version_1, F::mac, F::mtu, F::csum, F::ctrl_vq) | FeatureBits::of(65);
        config = {0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0xdc, 0x05};
        queues.resize(2);
    }
    void on_notify(u16) override {}
};

struct Bench {
    Quiet dev;
    std::unique_ptr<device::MmioFront> mmio;
    std::unique_ptr<device::PciFront> pci;
    AnyTransport transport;
    explicit Bench(bool use_pci)
        : mmio(use_pci ? nullptr : new device::MmioFront(dev)), pci(use_pci ? new device::PciFront(dev) : nullptr),
          transport(use_pci ? AnyTransport(PciModern(pci->regions()))
                            : AnyTransport(Mmio::open(device::MmioFront::kBase, 0x200).value())) {}
};

}  // namespace

TEST_CASE("A handshake follows the specification's order and takes only what was listed") {
    Bench b(GENERATE(false, true));
    {
        auto h = Hs::begin(b.transport);
        REQUIRE(h);
        CHECK(h->features().bits() == mask(Common::version_1, F::mac, F::mtu, F::csum));
        CHECK(b.dev.accepted == h->features().bits());
        CHECK(h->features().has<F::mac>());
        CHECK_FALSE(h->features().has<F::host_tso4>());
        static_assert(!Negotiated<NetSpec, kF>{}.has<F::ctrl_vq>());
        CHECK(h->config().read(NetSpec::kMac).value() == std::array<u8, 6>{0x52, 0x54, 0, 1, 2, 3});
        CHECK(h->config().read(NetSpec::kMtu).value() == std::optional<u16>(1500));
        auto q = h->queue<SplitRing>(1, {.size = 1024});
        REQUIRE(q);
        CHECK(q->first.size() == 256);
        CHECK_FALSE(h->queue<SplitRing>(2, {.size = 16}));
        std::move(*h).go_live();
    }
    CHECK(b.dev.status_history == std::vector<u8>{0, 1, 3, 11, 15});
    CHECK(b.dev.violations.empty());
}

TEST_CASE("A handshake dropped half-way leaves FAILED behind") {
    Bench b(GENERATE(false, true));
    SECTION("dropped") {
        REQUIRE(Hs::begin(b.transport));
    }
    SECTION("a required feature is missing") {
        b.dev.offered = mask(Common::version_1);
        CHECK(Hs::begin(b.transport).error() == Error::unsupported);
        CHECK(b.dev.status_history == std::vector<u8>{0, 1, 3, 128});
    }
    SECTION("the device demands what the driver does not know") {
        b.dev.demanded = mask(F::ctrl_vq);
        CHECK(Hs::begin(b.transport).error() == Error::unsupported);
    }
    SECTION("FEATURES_OK is cleared") {
        b.dev.refuses_features = true;
        CHECK(Hs::begin(b.transport).error() == Error::unsupported);
    }
    CHECK(b.dev.status_history.back() == 128);
}

TEST_CASE("A device that does not answer is given up on") {
    Bench b(GENERATE(false, true));
    SECTION("never resets") {
        b.dev.never_resets = true, b.dev.status = 4;
    }
    SECTION("not there any more") {
        b.dev.absent = true;
    }
    CHECK(Hs::begin(b.transport).error() == Error::device_broken);
}

namespace {
/// A device that is pulled out while features are agreed upon: all ones, FEATURES_OK among them.
struct Vanishing : AnyTransport {
    using AnyTransport::AnyTransport;
    bool gone = false;
    void set_driver_features(FeatureBits f) { AnyTransport::set_driver_features(f), gone = true; }
    Status status() { return gone ? Status::gone : AnyTransport::status(); }
};
}  // namespace

TEST_CASE("A device that vanishes during the handshake is not taken for one that agrees") {
    Bench b(true);
    Vanishing t(PciModern(b.pci->regions()));
    CHECK(Handshake<NetSpec, kF, Vanishing>::begin(t).error() == Error::device_broken);
}

TEST_CASE("A queue that shrank over a reset does not get the old, larger ring") {
    Bench b(GENERATE(false, true));
    auto ring = SplitRing::create({.size = 64}).value();
    auto h = Hs::begin(b.transport);
    REQUIRE(h);
    CHECK(h->queue_again(0, ring));
    b.dev.queues[1].max_size = b.dev.queues[1].size = 32;
    CHECK(h->queue_again(1, ring).error() == Error::device_broken);
    CHECK(b.dev.violations.empty());
}

TEST_CASE("Torn configuration reads are repeated, and not for ever") {
    Bench b(GENERATE(false, true));
    auto h = Hs::begin(b.transport);
    REQUIRE(h);
    b.dev.torn_reads = 20;
    CHECK(h->config().read(NetSpec::kMac));
    b.dev.torn_reads = 1 << 30;
    CHECK(h->config().read(NetSpec::kMac).error() == Error::device_broken);
}

TEST_CASE("A configuration space shorter than the structure is not read beyond its end") {
    Bench full(true);
    full.dev.config.resize(6);
    AnyTransport t(PciModern(full.pci->regions()));
    auto h = Hs::begin(t);
    REQUIRE(h);
    CHECK(h->config().read(NetSpec::kMac));
    CHECK(h->config().read(NetSpec::kMtu).error() == Error::device_broken);
}

TEST_CASE("An optional feature without its prerequisite in the offer is not taken") {
    Bench b(true);
    b.dev.offered = mask(Common::version_1, F::mac, F::host_tso4);
    CHECK(Hs::begin(b.transport)->features().bits() == mask(Common::version_1, F::mac));
    b.dev.offered = mask(Common::version_1, F::mac, F::host_tso4, F::csum);
    CHECK(Hs::begin(b.transport)->features().has<F::host_tso4>());
    CHECK_FALSE(Hs::begin(b.transport, mask(F::csum))->features().has<F::host_tso4>());
    CHECK(Hs::begin(b.transport, mask(F::mac)).has_value());  // a required one cannot be declined
}

TEST_CASE("A doorbell outside the notification window is refused") {
    Bench b(true);
    b.pci->notify_bytes = 4;
    AnyTransport t(PciModern(b.pci->regions()));
    auto h = Hs::begin(t);
    CHECK(h->queue<SplitRing>(0, {.size = 16}));
    CHECK(h->queue<SplitRing>(1, {.size = 16}).error() == Error::device_broken);
}

TEST_CASE("MMIO: version 1, strangers and empty slots are told apart") {
    Quiet dev;
    device::MmioFront front(dev);
    CHECK(Mmio::open(front.kBase, 0x200));
    front.version = 1;
    CHECK(Mmio::open(front.kBase, 0x200).error() == Error::unsupported);
    dev.type = 0;
    CHECK(Mmio::open(front.kBase, 0x200).error() == Error::not_found);
    front.magic = 0;
    CHECK(Mmio::open(front.kBase, 0x200).error() == Error::invalid);
    CHECK(Mmio::open(front.kBase, 0x80).error() == Error::invalid);
}

namespace {
struct Heard {
    std::vector<std::pair<u32, bool>> calls;
    static void handler(void* p, u32 queues, bool config) { static_cast<Heard*>(p)->calls.push_back({queues, config}); }
};
}  // namespace

TEST_CASE("The interrupt policy takes the best that works, down to polling") {
    arch::host::reset_irqs();
    Bench b(true);
    b.dev.queues.resize(3);
    Heard heard;
    const u16 table = GENERATE(u16{0}, u16{1}, u16{2}, u16{4}, u16{8});
    const u16 taken = GENERATE(u16{0}, u16{1}, u16{2}, u16{64});
    const bool wired = GENERATE(false, true);
    const bool stuck = GENERATE(false, true);
    CAPTURE(table, taken, wired, stuck);
    b.dev.vectors_taken = taken;
    device::FakeVectors vectors(table);
    vectors.stuck = stuck;
    Interrupts<AnyTransport> irq;
    auto h = Hs::begin(b.transport);
    REQUIRE(h);
    Wiring wiring{.vectors = std::make_unique<device::FakeVectorsHandle>(vectors), .line = {}};
    if (wired) wiring.line = arch::IrqLine{.number = 11};
    irq.bind(b.transport, std::move(wiring), {.queues = 3, .slow = 4}, Heard::handler, &heard, "test");
    const u16 usable = stuck ? u16{0} : std::min(table, taken);
    const auto expected = usable >= 4   ? InterruptMode::per_queue
                          : usable >= 2 ? InterruptMode::split
                          : usable >= 1 ? InterruptMode::shared
                          : wired       ? InterruptMode::line
                                        : InterruptMode::polling;
    REQUIRE(irq.mode() == expected);
    CHECK(vectors.enabled == (expected < InterruptMode::line));
    if (vectors.enabled) b.dev.send_message = [&](u16 v) { vectors.send(v); };
    b.dev.raise_line = [&] { arch::host::raise(arch::IrqId{11}); };
    for (u16 i = 0; i < 3; ++i) REQUIRE(h->queue<SplitRing>(i, {.size = 16}));
    std::move(*h).go_live();

    b.dev.interrupt_queue(1);  // after DRIVER_OK, before we are ready: held back, not lost
    CHECK(heard.calls.empty());
    REQUIRE(irq.unmask());
    if (expected == InterruptMode::polling) {
        irq.poll();
        CHECK(heard.calls == std::vector<std::pair<u32, bool>>{{7, true}});
        return;
    }
    REQUIRE(heard.calls.size() == 1);
    CHECK((heard.calls[0].first & 2) == 2);
    heard.calls.clear();
    b.dev.interrupt_queue(0);
    b.dev.interrupt_queue(2);
    b.dev.interrupt_config();
    REQUIRE(heard.calls.size() == 3);
    CHECK((heard.calls[0].first & 1) == 1);
    CHECK((heard.calls[1].first & 4) == 4);
    CHECK(heard.calls[2].second);
    if (expected == InterruptMode::per_queue)
        CHECK(heard.calls == std::vector<std::pair<u32, bool>>{{1, false}, {4, false}, {0, true}});
    if (expected == InterruptMode::line) CHECK(b.dev.isr == 0);
    irq.mask();
    b.dev.interrupt_queue(0);
    CHECK(heard.calls.size() == 3);
    irq.release();
    CHECK_FALSE(vectors.enabled);
    CHECK(b.dev.violations.empty());
}
