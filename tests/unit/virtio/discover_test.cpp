// What a device says about where its registers are (virtio 1.2 §4.1.4, §4.2.2), true and false, on a modelled PCI bus
// and on platform slots.
#include <catch2/catch.hpp>

#include "drivers/virtio/discover.hpp"
#include "drivers/virtio/net.hpp"
#include "tests/device/mmio_front.hpp"
#include "tests/device/net_device.hpp"
#include "tests/device/pci_front.hpp"
#include "tests/device/pci_legacy_front.hpp"
#include "tests/unit/pci/fake_pci.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

namespace {

constexpr u8 kCommon = 1, kNotify = 2, kIsr = 3, kDevice = 4;
constexpr u32 kMemory64 = 0xc, kIo = 1;

struct Capability {
    u8 type, bar;
    u32 offset, length;
    u8 bytes = 16;
    u32 multiplier = 4;  ///< kNotify alone has room for it
};

/// A network device whose four windows lie in BAR 4, as QEMU makes it.
struct World {
    using Front = device::PciFront;
    device::NetDevice dev;
    Front front{dev};
    fake::FakeHost host;
    fake::FunctionPtr function = host.put(nullptr, 3, fake::make_device());
    std::vector<Capability> list = {{kCommon, 4, 0, 0x1000},
                                    {kIsr, 4, Front::kIsr, 0x1000},
                                    {kDevice, 4, Front::kDevice, 0x1000},
                                    {kNotify, 4, Front::kNotify, 0x1000, 20}};
    std::unique_ptr<pci::Bus> bus;

    World() {
        arch::host::reset_irqs();
        function->bar(0, 0x20, kIo, 0xc000).bar(1, 0x1000, 0, 0xfd00'0000).bar(4, 0x4000, kMemory64, Front::kBase);
    }
    Capability& of(u8 type) {
        return *std::find_if(list.begin(), list.end(), [&](const Capability& c) { return c.type == type; });
    }
    void drop(u8 type) {
        std::erase_if(list, [&](const Capability& c) { return c.type == type; });
    }
    void write_list() {
        u8 at = 0x40;
        function->set<u16>(6, 0x10).set<u8>(0x34, at);
        for (usize i = 0; i < list.size(); ++i) {
            const Capability& c = list[i];
            const u8 next = i + 1 == list.size() ? u8{0} : u8(at + 20);
            function->set<u8>(at, 9).set<u8>(at + 1, next).set<u8>(at + 2, c.bytes).set<u8>(at + 3, c.type);
            function->set<u8>(at + 4, c.bar).set<u32>(at + 8, c.offset).set<u32>(at + 12, c.length);
            if (c.bytes >= 20) function->set<u32>(at + 16, c.multiplier);
            at = u8(at + 20);
        }
    }
    Result<Device> open() {
        arch::PciHost bridge;
        bridge.ecam = arch::MmioRange{PhysAddr(fake::FakeHost::kBase), u64{16} << 20};
        bridge.last_bus = 15;
        bus = pci::Bus::enumerate(bridge).value();
        pci::Function* f = nullptr;
        bus->for_each([&](pci::Function& each) { f = &each; });
        return open_pci(*f, *bus);
    }
    Result<Device> open_list() {
        write_list();
        return open();
    }
    bool masters_the_bus() const { return (function->get<u16>(4) & 4) != 0; }
    /// Whether queue `index` gets a doorbell.
    bool has_queue(Device& d, u16 index) {
        auto h = Handshake<NetSpec, NetConfig{}.features, AnyTransport>::begin(d.transport);
        REQUIRE(h);
        return h->queue<SplitRing>(index, {.size = 16}).has_value();
    }
};

}  // namespace

TEST_CASE("A function's windows are found, and a driver runs on them") {
    World w;
    SECTION("a modern id") {}
    SECTION("a transitional id: the type is in the subsystem") {
        w.function->set<u16>(2, 0x1000).set<u16>(0x2e, 1);
    }
    SECTION("capabilities in any order, with strangers between them") {
        std::swap(w.list[0], w.list[3]);
        w.list.insert(w.list.begin() + 1, {.type = 77, .bar = 255, .offset = ~0u, .length = ~0u});
    }
    auto d = w.open_list();
    REQUIRE(d);
    CHECK(d->transport.device_type() == 1);
    CHECK(w.masters_the_bus());
    kernel::DmaRegion memory = kernel::DmaRegion::allocate(200 * net::PacketBuffer::kSize).value();
    net::PacketPool pool{memory.bytes(), memory.addr()};
    const auto nic = Net<>::probe(
                         std::move(*d), pool, "net0", [](void*) {}, nullptr)
                         .value();
    CHECK(nic->mac() == net::MacAddr{{0x52, 0x54, 0, 0x12, 0x34, 0x56}});
    CHECK(w.dev.receive(std::vector<u8>(100)));
    CHECK(nic->receive()->size() == 100);
    CHECK(w.dev.all_violations() == std::vector<std::string>{});
    CHECK(w.host.violations == std::vector<std::string>{});
}

TEST_CASE("Identities tell what is virtio") {
    World w;
    const auto type = [&](u16 vendor, u16 device, u16 subsystem) {
        w.function->set<u16>(0, vendor).set<u16>(2, device).set<u16>(0x2e, subsystem);
        const auto opened = w.open();  // no list yet
        CHECK_FALSE(opened);
        u16 t = 0;
        w.bus->for_each([&](pci::Function& f) { t = pci_device_type(f); });
        CHECK((opened.error() == Error::not_found) == (t == 0));
        return t;
    };
    CHECK(type(0x1af4, 0x1041, 9) == 1);
    CHECK(type(0x1af4, 0x107f, 9) == 0x3f);
    CHECK(type(0x1af4, 0x1040, 9) == 0);
    CHECK(type(0x1af4, 0x1080, 9) == 0);
    CHECK(type(0x1af4, 0x1001, 2) == 2);
    CHECK(type(0x1af4, 0x1001, 0) == 0);
    CHECK(type(0x1af4, 0x0fff, 2) == 0);
    CHECK(type(0x8086, 0x1041, 1) == 0);
}

TEST_CASE("A missing, mangled or lying capability is an error, and the function gets no hold of the bus") {
    World w;
    Error expected = Error::unsupported;
    SECTION("no capabilities: legacy only") {
        w.list.clear(), w.list.push_back({77, 4, 0, 0x1000});
    }
    SECTION("no common configuration") {
        w.drop(kCommon);
    }
    SECTION("no notifications") {
        w.drop(kNotify);
    }
    SECTION("no interrupt status") {
        w.drop(kIsr);
    }
    SECTION("BAR 6") {
        w.of(kCommon).bar = 6;
    }
    SECTION("BAR 255") {
        w.of(kNotify).bar = 255;
    }
    SECTION("a BAR that is not there") {
        w.of(kCommon).bar = 2;
    }
    SECTION("the upper half of a BAR") {
        w.of(kCommon).bar = 5;
    }
    SECTION("a BAR of ports") {
        w.of(kIsr).bar = 0;
    }
    SECTION("common configuration too short") {
        w.of(kCommon).length = 55;
    }
    SECTION("no bytes of interrupt status") {
        w.of(kIsr).length = 0;
    }
    SECTION("one byte of doorbell") {
        w.of(kNotify).length = 1;
    }
    SECTION("a capability shorter than its fields") {
        w.of(kCommon).bytes = 15;
    }
    SECTION("a notification capability without a multiplier") {
        w.of(kNotify).bytes = 16;
    }
    SECTION("outside the BAR") {
        w.of(kCommon).offset = 0x4000, expected = Error::corrupt;
    }
    SECTION("over the end of the BAR") {
        w.of(kCommon).offset = 0x4000 - 48, expected = Error::corrupt;
    }
    SECTION("an offset that wraps") {
        w.of(kCommon).offset = 0xffff'fff0, expected = Error::corrupt;
    }
    SECTION("a length that wraps with its offset") {
        w.of(kNotify).offset = 0xffff'f000, w.of(kNotify).length = 0x1000, expected = Error::corrupt;
    }
    SECTION("a notification window larger than its BAR") {
        w.of(kNotify).length = ~0u, expected = Error::corrupt;
    }
    SECTION("a device window outside its BAR") {
        w.of(kDevice).offset = 0x3f00, expected = Error::corrupt;
    }
    SECTION("common configuration misaligned") {
        w.of(kCommon).offset = 2, expected = Error::corrupt;
    }
    SECTION("doorbells misaligned") {
        w.of(kNotify).offset += 1, w.of(kNotify).length = 0x100, expected = Error::corrupt;
    }
    SECTION("device configuration misaligned") {
        w.of(kDevice).offset += 2, w.of(kDevice).length = 0x100, expected = Error::corrupt;
    }
    SECTION("multiplier 1") {
        w.of(kNotify).multiplier = 1, expected = Error::corrupt;
    }
    SECTION("multiplier 3") {
        w.of(kNotify).multiplier = 3, expected = Error::corrupt;
    }
    SECTION("multiplier of all ones") {
        w.of(kNotify).multiplier = ~0u, expected = Error::corrupt;
    }
    const auto d = w.open_list();
    REQUIRE_FALSE(d);
    CHECK(d.error() == expected);
    CHECK_FALSE(w.masters_the_bus());
    CHECK(w.dev.status_history.empty());
}

TEST_CASE("Of two structures of a kind the first usable one counts") {
    World w;
    SECTION("the first lies in ports") {
        w.list.insert(w.list.begin(), {kCommon, 0, 0, 0x20});
    }
    SECTION("the first is too short") {
        w.list.insert(w.list.begin(), {kCommon, 4, 0, 8});
    }
    SECTION("the second is nonsense") {
        w.list.push_back({kCommon, 4, 0xffff'0000, 0x1000});
    }
    SECTION("the second has another multiplier") {
        w.list.push_back({kNotify, 4, 0, 0x1000, 20, 3});
    }
    auto d = w.open_list();
    REQUIRE(d);
    CHECK(w.has_queue(*d, 1));
}

TEST_CASE("Capability lists that loop or leave configuration space end") {
    World w;
    w.write_list();
    SECTION("a loop of one") {
        w.function->set<u8>(0x41, 0x40);
    }
    SECTION("a loop of two") {
        w.function->set<u8>(0x55, 0x40);
    }
    SECTION("into the header") {
        w.function->set<u8>(0x41, 0x10);
    }
    SECTION("to the very end") {
        w.function->set<u8>(0x41, 0xfc).set<u8>(0xfc, 9).set<u8>(0xfd, 0xfc);
    }
    SECTION("nowhere") {
        w.function->set<u8>(0x34, 0xff);
    }
    CHECK(w.open().error() == Error::unsupported);
    CHECK(w.host.reads < 20000);  // most of them are the scan of the bus
}

TEST_CASE("The multiplier places each queue's doorbell, inside the window or nowhere") {
    World w;
    const auto queues = [&](u32 multiplier, u32 length) {
        w.of(kNotify).multiplier = w.front.notify_multiplier = multiplier;
        w.of(kNotify).length = length;
        auto d = w.open_list();
        REQUIRE(d);
        return int{w.has_queue(*d, 0)} + 2 * int{w.has_queue(*d, 1)};
    };
    CHECK(queues(0, 2) == 3);  // one doorbell for all
    CHECK(queues(2, 4) == 3);
    CHECK(queues(4, 5) == 1);
    CHECK(queues(4, 6) == 3);
    CHECK(queues(0x1000, 0x1000) == 1);
    CHECK(queues(0x8000'0000, 0x1000) == 1);
}

TEST_CASE("Common configuration may lie at any multiple of four") {
    World w;
    w.of(kCommon).offset = 4;
    CHECK(w.open_list());
}

TEST_CASE("A device without configuration bytes opens; reading them is an error") {
    World w;
    w.drop(kDevice);
    auto d = w.open_list();
    REQUIRE(d);
    CHECK(d->transport.config_bytes() == 0);
    auto h = Handshake<NetSpec, NetConfig{}.features, AnyTransport>::begin(d->transport);
    REQUIRE(h);
    CHECK(h->config().read(NetSpec::kMac).error() == Error::device_broken);
}

TEST_CASE("MSI-X whose table cannot be is done without") {
    World w;
    w.write_list();
    // In front of the list: 16 vectors, the table in BAR 1.
    w.function->set<u8>(0x34, 0xb0).set<u8>(0xb0, 0x11).set<u8>(0xb1, 0x40).set<u16>(0xb2, 15).set<u32>(0xb4, 1);
    SECTION("a good one") {
        const auto d = w.open();
        REQUIRE((d && d->wiring.vectors));
        CHECK(d->wiring.vectors->size() == 16);
        return;
    }
    SECTION("more than is ever used") {
        w.function->set<u16>(0xb2, 255);
        const auto d = w.open();
        REQUIRE((d && d->wiring.vectors));
        CHECK(d->wiring.vectors->size() == 32);
        CHECK(d->wiring.vectors->open(32).error() == Error::no_space);
        return;
    }
    SECTION("over the end of its BAR") {
        w.function->set<u32>(0xb4, 0xf80 | 1);
    }
    SECTION("2048 vectors in a page") {
        w.function->set<u16>(0xb2, 0x7ff);
    }
    SECTION("in BAR 7") {
        w.function->set<u32>(0xb4, 7);
    }
    SECTION("in ports") {
        w.function->set<u32>(0xb4, 0);
    }
    const auto d = w.open();
    REQUIRE(d);
    CHECK(d->wiring.vectors == nullptr);
}

TEST_CASE("Platform slots: devices, placeholders, strangers and windows too small") {
    device::NetDevice dev;
    device::MmioFront front(dev);
    arch::VirtioMmio slot{.registers = {PhysAddr(front.kBase), front.kBytes}, .line = {.number = 40}};
    SECTION("a device") {
        auto d = open_mmio(slot);
        REQUIRE(d);
        CHECK(d->transport.device_type() == 1);
        CHECK(d->transport.config_bytes() == 0x100);
        REQUIRE(d->wiring.line);
        CHECK(d->wiring.line->number == 40);
        CHECK(d->wiring.vectors == nullptr);
    }
    SECTION("a window without configuration") {
        slot.registers.bytes = 0x100;
        CHECK(open_mmio(slot)->transport.config_bytes() == 0);
    }
    SECTION("a window that ends before it") {
        slot.registers.bytes = 0xff;
        CHECK(open_mmio(slot).error() == Error::invalid);
    }
    SECTION("no window") {
        slot.registers.bytes = 0;
        CHECK(open_mmio(slot).error() == Error::invalid);
    }
    SECTION("misaligned") {
        slot.registers.base = slot.registers.base + 2;
        CHECK(open_mmio(slot).error() == Error::invalid);
    }
    SECTION("wrong magic") {
        front.magic = 0x74726977;
        CHECK(open_mmio(slot).error() == Error::invalid);
    }
    SECTION("nothing behind it") {
        dev.type = 0, front.version = GENERATE(1u, 2u, 7u);
        CHECK(open_mmio(slot).error() == Error::not_found);
    }
    SECTION("version 1, 0 and 3") {
        front.version = GENERATE(0u, 1u, 3u);
        CHECK(open_mmio(slot).error() == Error::unsupported);
    }
    SECTION("all ones") {
        dev.absent = true;
        CHECK(open_mmio(slot).error() == Error::invalid);
    }
    CHECK(dev.status_history.empty());
}
