// drivers/pci against a modelled configuration space (fake_pci.hpp): discovery, addresses, interrupts, MSI-X.
#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <vector>

#include "arch/irq.hpp"
#include "drivers/pci/bus.hpp"
#include "drivers/pci/msix.hpp"
#include "fake_pci.hpp"

using namespace ringlet;
using namespace ringlet::pci;
using fake::FakeHost;
using fake::make_bridge;
using fake::make_device;
using Kind = arch::PciWindow::Kind;

namespace {

constexpr u32 kMem32 = 0, kMem64 = 4, kMem64Pref = 0xc, kIo = 1;

arch::PciHost with_windows(u8 buses = 16) {
    arch::PciHost host;
    host.ecam = arch::MmioRange{PhysAddr(FakeHost::kBase), u64{buses} << 20};
    host.last_bus = static_cast<u8>(buses - 1);
    host.windows.try_push_back({Kind::io, PhysAddr(0x3eff'0000), 0, 0x10000});
    host.windows.try_push_back({Kind::memory32, PhysAddr(0x1000'0000), 0x1000'0000, 0x2eff'0000});
    host.windows.try_push_back({Kind::memory64, PhysAddr(0x90'0000'0000), 0x80'0000'0000, 0x80'0000'0000});
    return host;
}

arch::PciHost firmware() {
    arch::PciHost host = with_windows();
    host.windows.clear();
    return host;
}

std::vector<Function*> all(Bus& bus) {
    std::vector<Function*> v;
    bus.for_each([&](Function& f) { v.push_back(&f); });
    return v;
}

/// Every BAR that says it is assigned: aligned, inside its parent's window, overlapping no sibling.
void check_addresses(Bus& bus, FakeHost& host) {
    CHECK(host.violations.empty());
    std::map<u64, u64> memory;
    bus.for_each([&](Function& f) {
        for (unsigned n = 0; n < 6; ++n) {
            const Bar b = f.bar(n);
            if (b.kind != Bar::Kind::memory || !b.assigned) continue;
            CHECK(b.address.raw % b.bytes == 0);
            const auto next = memory.lower_bound(b.address.raw);
            if (next != memory.end()) CHECK(b.address.raw + b.bytes <= next->first);
            if (next != memory.begin()) CHECK(std::prev(next)->second <= b.address.raw);
            memory[b.address.raw] = b.address.raw + b.bytes;
        }
    });
}

}  // namespace

TEST_CASE("functions of the root bus are found, multi-function ones too") {
    FakeHost host;
    host.put(nullptr, 0, make_device(0x1b36, 0x0008, 0x060000));
    auto multi = host.put(nullptr, 3, make_device());
    multi->set<u8>(0x0e, 0x80);
    host.put(nullptr, 3, make_device(0x1af4, 0x1042, 0x010000), 5);
    host.put(nullptr, 4, make_device());
    host.put(nullptr, 4, make_device(), 1);  // function 0 does not say multi-function: not looked for
    host.put(nullptr, 31, make_device());
    const auto bus = Bus::enumerate(with_windows()).value();
    const auto f = all(*bus);
    REQUIRE(f.size() == 5);
    CHECK(f[1]->address() == Address{0, 3, 0});
    CHECK(f[2]->address() == Address{0, 3, 5});
    CHECK(f[2]->device() == 0x1042);
    CHECK(f[2]->class_code() == 0x010000);
    CHECK(f[2]->requester_id() == (3 << 3 | 5));
    CHECK(f[4]->address().slot == 31);
    CHECK(class_name(f[2]->class_code()) == "SCSI controller");
    CHECK(device_name(f[2]->vendor(), f[2]->device()) == "virtio-blk");
}

TEST_CASE("BARs are sized with decoding off and given addresses by kind") {
    FakeHost host;
    auto d = host.put(nullptr, 1, make_device());
    d->bar(0, 0x20, kIo).bar(1, 0x1000, kMem32).bar(2, 0x4000, kMem64Pref).bar(4, 256_MiB, kMem64Pref);
    d->set<u16>(4, 3);  // decoding when we find it
    const auto bus = Bus::enumerate(with_windows()).value();
    Function& f = *all(*bus)[0];
    check_addresses(*bus, host);
    CHECK(f.bar(0).kind == Bar::Kind::io);
    CHECK(f.bar(0).bytes == 0x20);
    CHECK(f.bar(0).address == PhysAddr(0x3eff'1000));
    CHECK(d->bar_address(0) == 0x1000);
    CHECK(f.bar(1).bytes == 0x1000);
    CHECK(f.bar(1).assigned);
    CHECK_FALSE(f.bar(1).is_64bit);
    CHECK(f.bar(2).bytes == 0x4000);
    CHECK(f.bar(2).prefetchable);
    CHECK(f.bar(2).address == PhysAddr(0x1000'0000));  // the larger first, no gap
    CHECK(f.bar(1).address == PhysAddr(0x1000'4000));
    CHECK(f.bar(3).kind == Bar::Kind::none);
    CHECK(f.bar(4).address == PhysAddr(0x90'0000'0000));  // large: above 4 GiB, CPU and bus addresses differ
    CHECK(d->bar_address(4) == 0x80'0000'0000);
    CHECK((d->get<u16>(4) & 3) == 3);
    f.enable_memory();
    f.enable_bus_master();
    CHECK((d->get<u16>(4) & 7) == 7);
    CHECK(f.map_bar(1, 0x800, 0x800));
    CHECK(f.map_bar(1, 0x801, 0x800).error() == Error::corrupt);
    CHECK(f.map_bar(1, ~u64{0}, 2).error() == Error::corrupt);
    CHECK(f.map_bar(3, 0, 1).error() == Error::not_found);
    CHECK(f.map_bar(77, 0, 1).error() == Error::not_found);
}

TEST_CASE("bridges three deep get numbers, windows and addresses") {
    FakeHost host;
    auto b1 = host.put(nullptr, 1, make_bridge());
    auto b2 = host.put(b1, 0, make_bridge(false));
    auto b3 = host.put(b2, 7, make_bridge());
    auto other = host.put(nullptr, 2, make_bridge());
    auto empty = host.put(nullptr, 3, make_bridge());
    auto deep = host.put(b3, 0, make_device());
    deep->bar(1, 0x1000, kMem32).bar(4, 0x4000, kMem64Pref);
    auto beside = host.put(b2, 3, make_device());
    beside->bar(0, 2_MiB, kMem32).bar(2, 128_MiB, kMem64Pref).bar(1, 0x100, kIo);
    auto second = host.put(other, 0, make_device());
    second->bar(0, 0x1000, kMem64);
    const auto bus = Bus::enumerate(with_windows()).value();
    REQUIRE(bus->size() == 8);
    check_addresses(*bus, host);
    CHECK(b1->regs[0x19] == 1);
    CHECK(b1->regs[0x1a] == 3);
    CHECK(b2->regs[0x18] == 1);
    CHECK(b2->regs[0x19] == 2);
    CHECK(b3->regs[0x19] == 3);
    CHECK(other->regs[0x19] == 4);
    CHECK(empty->regs[0x19] == 5);
    CHECK(empty->regs[0x1a] == 5);
    bus->for_each([&](Function& f) {
        for (unsigned n = 0; n < 6; ++n)
            if (f.bar(n).kind != Bar::Kind::none) CHECK(f.bar(n).assigned);
    });
    for (const auto& bridge : {b1, b2, b3}) {
        CHECK(deep->bar_address(1) >= bridge->window(0x20, false));
        CHECK(deep->bar_address(1) + 0xfff <= bridge->window(0x20, true));
        CHECK((bridge->get<u16>(4) & 7) == 7);
    }
    CHECK(b2->window(0x20, false) >= b1->window(0x20, false));
    CHECK(b2->window(0x20, true) <= b1->window(0x20, true));
    CHECK(beside->bar_address(2) >= 0x80'0000'0000);
    CHECK((u64{b1->get<u32>(0x28)} << 32 | b1->window(0x24, false)) <= beside->bar_address(2));
    CHECK(beside->bar_address(1) >= (b2->regs[0x1c] & 0xf0u) << 8);
    // Nothing behind it: closed, not "0 to 1 MiB".
    CHECK(empty->window(0x20, false) > empty->window(0x20, true));
    CHECK(empty->window(0x24, false) > empty->window(0x24, true));
    CHECK((empty->regs[0x1c] & 0xf0) > (empty->regs[0x1d] & 0xf0));
}

TEST_CASE("what the firmware assigned is kept") {
    FakeHost host;
    auto bridge = host.put(nullptr, 2, make_bridge());
    bridge->set<u8>(0x18, 0).set<u8>(0x19, 4).set<u8>(0x1a, 6);
    bridge->set<u16>(0x20, 0xfe80).set<u16>(0x22, 0xfe90);
    auto behind = host.put(bridge, 0, make_device());
    behind->bar(1, 0x1000, kMem32, 0xfe80'0000);
    auto d = host.put(nullptr, 1, make_device());
    d->bar(1, 0x1000, kMem32, 0xfead'6000).bar(4, 0x4000, kMem64Pref, 0x8'0000'0000).bar(0, 0x20, kIo, 0xc0e0);
    auto fresh = host.put(nullptr, 5, make_bridge());
    host.put(fresh, 0, make_device());
    auto lost = host.put(nullptr, 6, make_device());
    lost->bar(0, 0x1000, kMem32);
    auto clash = host.put(nullptr, 7, make_device());
    clash->bar(0, 0x1000, kMem32, 0xfead'6000);
    const auto bus = Bus::enumerate(firmware()).value();
    check_addresses(*bus, host);
    std::map<u16, Function*> by_id;
    bus->for_each([&](Function& f) { by_id[f.requester_id()] = &f; });
    REQUIRE(by_id.count(4 << 8) == 1);
    CHECK(by_id[4 << 8]->bar(1).address == PhysAddr(0xfe80'0000));
    CHECK(by_id[4 << 8]->bar(1).assigned);
    CHECK(bridge->regs[0x1a] == 6);
    CHECK(fresh->regs[0x19] == 7);  // above what the firmware gave out
    CHECK(by_id[1 << 3]->bar(1).address == PhysAddr(0xfead'6000));
    CHECK(by_id[1 << 3]->bar(4).address == PhysAddr(0x8'0000'0000));
    CHECK(by_id[1 << 3]->bar(0).address == PhysAddr(0xc0e0));
    CHECK_FALSE(by_id[6 << 3]->bar(0).assigned);
    CHECK(by_id[6 << 3]->map_bar(0, 0, 1).error() == Error::not_found);
    CHECK_FALSE(by_id[7 << 3]->bar(0).assigned);
}

TEST_CASE("assigned and unassigned BARs share a window without overlap") {
    FakeHost host;
    host.put(nullptr, 1, make_device())->bar(0, 0x1000, kMem32, 0x1000'0000).bar(1, 0x1000, kMem32, 0x1000'2000);
    host.put(nullptr, 2, make_device())->bar(0, 0x1000, kMem32).bar(1, 0x2000, kMem32).bar(2, 0x1000, kMem32, 0x900);
    const auto bus = Bus::enumerate(with_windows()).value();
    check_addresses(*bus, host);
    const auto f = all(*bus);
    CHECK(f[0]->bar(0).address == PhysAddr(0x1000'0000));
    CHECK(f[0]->bar(1).address == PhysAddr(0x1000'2000));
    CHECK(f[1]->bar(1).address == PhysAddr(0x1000'4000));
    CHECK(f[1]->bar(0).assigned);
    CHECK(f[1]->bar(2).assigned);
}

TEST_CASE("BARs that are too large, wrong or stuck are left without an address") {
    FakeHost host;
    host.put(nullptr, 1, make_device())->bar(0, 2_GiB, kMem32).bar(2, u64{1} << 62, kMem64Pref).bar(5, 0x1000, kMem64);
    auto stuck = host.put(nullptr, 2, make_device());
    stuck->bar(0, 0x1000, kMem32);
    stuck->stuck = true;
    host.put(nullptr, 3, make_device())->bar(0, 0x1000, kMem32);
    const auto bus = Bus::enumerate(with_windows()).value();
    const auto f = all(*bus);
    CHECK(f[0]->bar(0).bytes == 2_GiB);
    CHECK_FALSE(f[0]->bar(0).assigned);
    CHECK_FALSE(f[0]->bar(2).assigned);
    CHECK(f[0]->bar(5).kind == Bar::Kind::none);
    CHECK(f[1]->map_bar(0, 0, 16).error() == Error::not_found);
    CHECK(f[2]->bar(0).assigned);
}

TEST_CASE("a capability list that loops or leaves ends") {
    FakeHost host;
    auto d = host.put(nullptr, 1, make_device());
    d->set<u16>(6, 0x10).set<u8>(0x34, 0x40).set<u16>(0x40, 0x5009).set<u16>(0x50, 0x4011);
    auto self = host.put(nullptr, 2, make_device());
    self->set<u16>(6, 0x10).set<u8>(0x34, 0x44).set<u16>(0x44, 0x4409);
    auto low = host.put(nullptr, 3, make_device());
    low->set<u16>(6, 0x10).set<u8>(0x34, 0x40).set<u16>(0x40, 0x0409);
    auto none = host.put(nullptr, 4, make_device());
    none->set<u8>(0x34, 0x40).set<u16>(0x40, 0x0009);
    const auto bus = Bus::enumerate(with_windows()).value();
    std::vector<int> visits;
    bus->for_each([&](Function& f) {
        int n = 0;
        f.for_each_capability([&](u8, u16) { return ++n, true; });
        visits.push_back(n);
    });
    CHECK(visits == std::vector<int>{48, 48, 1, 0});
    CHECK(all(*bus)[0]->find_capability(0x11) == u16{0x50});
    CHECK_FALSE(all(*bus)[0]->find_capability(0x05));
}

TEST_CASE("bridges that point at themselves or go on for ever end") {
    FakeHost host(255);
    auto at = host.put(nullptr, 1, make_bridge());
    for (int i = 0; i < 20; ++i) at = host.put(at, 0, make_bridge());
    auto liar = host.put(nullptr, 2, make_bridge());
    liar->set<u8>(0x18, 0).set<u8>(0x19, 0).set<u8>(0x1a, 255);
    const auto bus = Bus::enumerate(with_windows(255)).value();
    CHECK(bus->size() == 8 + 1);
    CHECK(liar->regs[0x19] == 8);
}

TEST_CASE("more functions than the bound are ignored, not overrun") {
    FakeHost host;
    for (int slot = 0; slot < 32; ++slot)
        for (int fn = 0; fn < 8; ++fn) host.put(nullptr, slot, make_device(), fn)->set<u8>(0x0e, 0x80);
    const auto bus = Bus::enumerate(with_windows()).value();
    CHECK(bus->size() == Bus::kMaxFunctions);
}

TEST_CASE("wired interrupts go through the devicetree map, swizzled by bridges") {
    FakeHost host;
    auto d = host.put(nullptr, 5, make_device());
    d->set<u8>(0x3d, 2);
    auto bridge = host.put(nullptr, 2, make_bridge(false));
    auto behind = host.put(bridge, 3, make_device());
    behind->set<u8>(0x3d, 1);
    host.put(nullptr, 6, make_device())->set<u8>(0x3d, 0);
    host.put(nullptr, 7, make_device())->set<u8>(0x3d, 9);
    arch::PciHost ph = with_windows();
    ph.intx_slot_mask = 3;
    for (u8 slot = 0; slot < 4; ++slot)
        for (u8 pin = 1; pin <= 4; ++pin)
            if (slot != 3)
                ph.intx.try_push_back(
                    {slot, pin, {35u + (slot + pin - 1u) % 4, arch::Trigger::level, arch::Polarity::high}});
    const auto bus = Bus::enumerate(ph).value();
    std::map<u16, Function*> by_id;
    bus->for_each([&](Function& f) { by_id[f.requester_id()] = &f; });
    CHECK(bus->intx_line(*by_id[5 << 3]).value().number == 35 + (1 + 1) % 4);
    // Slot 3, INTA behind the bridge is the bridge's INTD; slot 2, INTD: 35 + (2 + 3) % 4.
    CHECK(bus->intx_line(*by_id[1 << 8 | 3 << 3]).value().number == 36);
    CHECK(bus->intx_line(*by_id[6 << 3]).error() == Error::not_found);
    CHECK(bus->intx_line(*by_id[7 << 3]).error() == Error::not_found);  // pin 9 is no pin
}

TEST_CASE("on a PC the Interrupt Line register counts, then q35's fixed routing") {
    FakeHost host;
    auto root = host.put(nullptr, 0, make_device(0x8086, 0x29c0, 0x060000));
    auto d = host.put(nullptr, 2, make_device());
    d->set<u8>(0x3c, 11);
    auto unrouted = host.put(nullptr, 3, make_device());
    unrouted->set<u8>(0x3c, 0xff).set<u8>(0x3d, 2);
    auto high = host.put(nullptr, 31, make_device());
    high->set<u8>(0x3d, 3);
    const auto bus = Bus::enumerate(firmware()).value();
    const auto f = all(*bus);
    const arch::IrqLine line = bus->intx_line(*f[1]).value();
    CHECK(line.number == 11);
    CHECK(line.trigger == arch::Trigger::level);
    CHECK(line.polarity == arch::Polarity::high);
    CHECK(bus->intx_line(*f[2]).value().number == 16 + 4 + (3 + 1) % 4);
    CHECK(bus->intx_line(*f[3]).value().number == 16 + 2);
    root->set<u16>(2, 0x1237);
    CHECK(bus->intx_line(*f[2]).error() == Error::not_found);
}

namespace {

struct TableMemory : arch::host::MmioHandler {
    std::vector<u32> words = std::vector<u32>(0x1000 / 4, 0);
    bool broken = false;
    u64 read(u64 offset, unsigned) override { return words[offset / 4]; }
    void write(u64 offset, unsigned, u64 value) override {
        words[offset / 4] = static_cast<u32>(value) ^ (broken ? 1 : 0);
    }
};

fake::FunctionPtr with_msix(u16 vectors, u32 table, u64 bar_bytes = 0x1000) {
    auto d = make_device();
    d->bar(1, bar_bytes, kMem32);
    d->set<u16>(6, 0x10).set<u8>(0x34, 0x98).set<u16>(0x98, 0x0011).set<u16>(0x9a, static_cast<u16>(vectors - 1));
    d->set<u32>(0x9c, table).set<u32>(0xa0, 0x801);
    d->writable[0x9b] = 1;
    return d;
}

}  // namespace

TEST_CASE("MSI-X vectors are programmed masked, read back, and replace INTx") {
    FakeHost host;
    auto d = host.put(nullptr, 1, with_msix(3, 0x001));
    const auto bus = Bus::enumerate(with_windows()).value();
    Function& f = *all(*bus)[0];
    TableMemory table;
    arch::host::register_mmio(f.bar(1).address.raw, 0x1000, table);
    Msix msix = Msix::open(f).value();
    CHECK(msix.vectors() == 3);
    CHECK(msix.program(1, {0x1'fee0'1000, 0x41}));
    CHECK(table.words[4] == 0xfee0'1000);
    CHECK(table.words[5] == 1);
    CHECK(table.words[6] == 0x41);
    CHECK(table.words[7] == 1);
    CHECK(msix.program(3, {}).error() == Error::invalid);
    CHECK(msix.enable());
    CHECK((d->get<u16>(0x9a) & 0xc000) == 0x8000);
    CHECK((d->get<u16>(4) & 0x400) != 0);
    CHECK(table.words[3] == 1);
    CHECK(table.words[11] == 1);
    msix.unmask(1);
    CHECK(table.words[7] == 0);
    msix.mask(1);
    CHECK(table.words[7] == 1);
    msix.unmask(3);  // not there: nothing happens
    CHECK(table.words[15] == 0);
    msix.mask_function();
    CHECK((d->get<u16>(0x9a) & 0xc000) == 0xc000);
    msix.unmask_function();
    CHECK((d->get<u16>(0x9a) & 0xc000) == 0x8000);
    table.broken = true;
    CHECK(msix.program(0, {0xfee0'0000, 0x42}).error() == Error::device_broken);
    msix.disable();
    CHECK((d->get<u16>(0x9a) & 0x8000) == 0);
    CHECK((d->get<u16>(4) & 0x400) == 0);
    d->writable.clear();
    CHECK(msix.enable().error() == Error::device_broken);
    arch::host::unregister_mmio(f.bar(1).address.raw);
}

TEST_CASE("MSI-X tables outside their BAR are refused") {
    FakeHost host;
    host.put(nullptr, 1, with_msix(2048, 0x001));    // 32 KiB in 4 KiB
    host.put(nullptr, 2, with_msix(1, 0xff9));       // ends past the BAR
    host.put(nullptr, 3, with_msix(1, 0xfffffff9));  // far outside
    host.put(nullptr, 4, with_msix(1, 0x002));       // BAR 2 does not exist
    host.put(nullptr, 5, with_msix(1, 0x007));       // neither does 7
    host.put(nullptr, 6, make_device());
    auto late = host.put(nullptr, 7, make_device());
    late->set<u16>(6, 0x10).set<u8>(0x34, 0xfc).set<u16>(0xfc, 0x0011);
    const auto bus = Bus::enumerate(with_windows()).value();
    std::vector<Error> errors;
    bus->for_each([&](Function& f) { errors.push_back(Msix::open(f).error()); });
    CHECK(errors == std::vector<Error>{Error::corrupt, Error::corrupt, Error::corrupt, Error::not_found,
                                       Error::not_found, Error::not_found, Error::corrupt});
}

TEST_CASE("a host bridge whose window makes no sense is an error") {
    arch::PciHost host = with_windows();
    host.ecam->bytes = 0x1000;
    CHECK(Bus::enumerate(host).error() == Error::invalid);
    host.ecam = arch::MmioRange{PhysAddr(~u64{0} << 20), 16_MiB};
    CHECK(Bus::enumerate(host).error() == Error::invalid);
    host = with_windows();
    host.first_bus = 5, host.last_bus = 4;
    CHECK(Bus::enumerate(host).error() == Error::invalid);
}

TEST_CASE("without a window configuration goes through the ports") {
    struct Ports : arch::host::MmioHandler {
        u32 address = 0;
        std::array<u8, 256> regs{};
        u64 read(u64 offset, unsigned width) override {
            if (offset < 4) return address;
            u64 v = ~u64{0};
            if (address >> 8 == 0x800008) v = 0, std::memcpy(&v, &regs[(address & 0xfc) + (offset - 4)], width);
            return v;
        }
        void write(u64 offset, unsigned width, u64 value) override {
            if (offset < 4)
                address = static_cast<u32>(value);
            else if (address >> 8 == 0x800008)
                std::memcpy(&regs[(address & 0xfc) + (offset - 4)], &value, width);
        }
    } ports;
    ports.regs[0] = 0xf4, ports.regs[1] = 0x1a, ports.regs[2] = 0x41, ports.regs[3] = 0x10, ports.regs[0x3d] = 1;
    arch::host::register_ports(0xcf8, 8, ports);
    const auto bus = Bus::enumerate(arch::PciHost{}).value();
    REQUIRE(bus->size() == 1);
    Function& f = *all(*bus)[0];
    CHECK(f.address() == Address{0, 1, 0});
    CHECK(f.device() == 0x1041);
    CHECK(f.interrupt_pin() == 1);
    f.write8(0x3d, 2);
    CHECK(ports.regs[0x3d] == 2);
    CHECK(f.read32(0x100) == ~0u);
    arch::host::unregister_ports(0xcf8);
}

TEST_CASE("random topologies with random registers neither hang nor overlap") {
    std::mt19937 rng(20260101);
    for (int round = 0; round < 150; ++round) {
        INFO("seed 20260101, round " << round);
        FakeHost host;
        std::vector<fake::FunctionPtr> bridges{nullptr};
        for (int i = 0; i < 24; ++i) {
            auto parent = bridges[rng() % bridges.size()];
            auto f = rng() % 4 == 0 ? make_bridge(rng() % 2 == 0) : make_device();
            if (f->bridge && rng() % 3 == 0)
                for (u16 at = 0x18; at < 0x34; ++at)
                    if (at != 0x1b) f->regs[at] = static_cast<u8>(rng());
            for (unsigned n = 0; n < (f->bridge ? 2u : 6u); ++n) {
                if (rng() % 2 == 0) continue;
                const u32 flags = std::array{kMem32, kMem64, kMem64Pref, kIo}[rng() % 4];
                if (flags == kIo)
                    f->bar(n, u64{4} << rng() % 8, kIo, rng() % 5 == 0 ? (rng() & 0xff00) : 0);
                else
                    f->bar(n, u64{16} << rng() % 30, flags,
                           rng() % 5 == 0 ? 0x1000'0000 + (u64{rng()} & 0xff'0000) : 0);
                if ((flags & 7) == 4) ++n;
            }
            host.put(parent, static_cast<int>(rng() % 32), f);
            if (f->bridge) bridges.push_back(f);
        }
        const auto bus = Bus::enumerate(with_windows());
        REQUIRE(bus);
        check_addresses(**bus, host);
        CHECK(host.reads < 20000);
    }
}
