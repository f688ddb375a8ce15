// Devices out of the DSDT: of QEMU 7.2's microvm, of tables made by hand, and of damaged copies. Under ASan
// every table is an allocation of its own size, so that one byte read too far is found.
#include <catch2/catch.hpp>

#include "acpi_tables.hpp"
#include "boot/cmdline.hpp"
#include "boot/dsdt.hpp"
#include "boot/virtio_mmio.hpp"

using namespace ringlet;
using namespace ringlet::boot;

namespace {

using Table = std::vector<std::byte>;

arch::Platform read(const Table& dsdt, std::string* complaints = nullptr) {
    arch::Platform out;
    platform_from_dsdt(dsdt, out, [&](std::string_view s) {
        if (complaints != nullptr) *complaints += std::string(s) + "\n";
    });
    return out;
}

std::string bytes(std::initializer_list<int> values) {
    std::string s;
    for (const int v : values) s += static_cast<char>(v);
    return s;
}

template <class T> std::string number(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

/// PkgLength in as few bytes as possible, then the contents.
std::string package(const std::string& contents) {
    const usize n = contents.size();
    if (n + 1 < 0x40) return bytes({int(n + 1)}) + contents;
    if (n + 2 < 0x1000) return bytes({int(0x40 | ((n + 2) & 0xf)), int((n + 2) >> 4)}) + contents;
    const usize m = n + 3;
    return bytes({int(0x80 | (m & 0xf)), int(m >> 4 & 0xff), int(m >> 12)}) + contents;
}

std::string device(const std::string& name, const std::string& contents) {
    return "\x5b\x82" + package(name + contents);
}
const std::string kHid = std::string("\x08_HID\x0dLNRO0005", 14) + '\0';

std::string crs(const std::string& resources) {
    const std::string all = resources + bytes({0x79, 0});
    return "\x08_CRS\x11" + package(bytes({0x0a, int(all.size())}) + all);
}
std::string registers(u32 base, u32 size = 0x200) {
    return bytes({0x86, 9, 0, 1}) + number(base) + number(size);
}
std::string interrupt(u32 line, int flags = 1) {
    return bytes({0x89, 6, 0, flags, 1}) + number(line);
}

Table table(const std::string& aml) {
    const std::string all = std::string(36, '\0') + aml;
    const auto* p = reinterpret_cast<const std::byte*>(all.data());
    return {p, p + all.size()};
}

}  // namespace

TEST_CASE("DSDT: microvm's virtio-mmio slots, in QEMU's order") {
    std::string complaints;
    const auto p = read(load("microvm-virtio").named("DSDT"), &complaints);
    CHECK(complaints == "");
    REQUIRE(p.virtio_mmio.size() == 2);
    CHECK(p.virtio_mmio[0].registers.base == PhysAddr(0xfeb0'2e00));
    CHECK(p.virtio_mmio[0].registers.bytes == 0x200);
    CHECK(p.virtio_mmio[0].line.number == 47);
    CHECK(p.virtio_mmio[0].line.trigger == arch::Trigger::level);
    CHECK(p.virtio_mmio[0].line.polarity == arch::Polarity::high);
    CHECK(p.virtio_mmio[1].registers.base == PhysAddr(0xfeb0'2c00));
    CHECK(p.virtio_mmio[1].line.number == 46);
    CHECK_FALSE(p.pci);
}

TEST_CASE("DSDT: microvm's PCI Express bridge") {
    std::string complaints;
    const auto p = read(load("microvm-pcie").named("DSDT"), &complaints);
    CHECK(complaints == "");
    CHECK(p.virtio_mmio.size() == 2);
    REQUIRE(p.pci);
    REQUIRE(p.pci->ecam);
    CHECK(p.pci->ecam->base == PhysAddr(0xe000'0000));
    CHECK(p.pci->ecam->bytes == 256_MiB);
    CHECK(p.pci->first_bus == 0);
    CHECK(p.pci->last_bus == 255);
    using Kind = arch::PciWindow::Kind;
    REQUIRE(p.pci->windows.size() == 2);
    CHECK(p.pci->windows[0].kind == Kind::memory32);
    CHECK(p.pci->windows[0].cpu == PhysAddr(0xc000'0000));
    CHECK(p.pci->windows[0].pci == 0xc000'0000);
    CHECK(p.pci->windows[0].bytes == 512_MiB);
    CHECK(p.pci->windows[1].kind == Kind::memory64);
    CHECK(p.pci->windows[1].pci == 0xc0'0000'0000);
    CHECK(p.pci->windows[1].bytes == 256_GiB);
    CHECK(p.pci->intx_slot_mask == 3);
    REQUIRE(p.pci->intx.size() == 16);
    for (const arch::PciIntx& row : p.pci->intx) {
        CHECK(row.line.number == 16u + (row.slot + row.pin - 1) % 4);
        CHECK(row.line.trigger == arch::Trigger::level);
    }
}

TEST_CASE("DSDT: other machines have nothing for us") {
    for (const char* machine : {"q35", "pc", "microvm"}) {
        std::string complaints;
        const auto p = read(load(machine).named("DSDT"), &complaints);
        CHECK(complaints == "");
        CHECK(p.virtio_mmio.empty());
        CHECK_FALSE(p.pci);
    }
}

TEST_CASE("DSDT: interrupts say how they are triggered") {
    const auto p = read(table(device("VR00", kHid + crs(registers(0x1000) + interrupt(5, 3))) +
                              device("VR01", kHid + crs(interrupt(6, 5) + registers(0x2000)))));
    REQUIRE(p.virtio_mmio.size() == 2);
    CHECK(p.virtio_mmio[0].line.trigger == arch::Trigger::edge);
    CHECK(p.virtio_mmio[0].line.polarity == arch::Polarity::high);
    CHECK(p.virtio_mmio[1].line.trigger == arch::Trigger::level);
    CHECK(p.virtio_mmio[1].line.polarity == arch::Polarity::low);
}

TEST_CASE("DSDT: a device inside of another is found, and is not the other") {
    const std::string inner = device("VR00", kHid + crs(registers(0x1000) + interrupt(5)));
    const std::string other = crs(registers(0x9000) + interrupt(9));
    const std::string filler(5000, 'x');  // PkgLengths of three bytes
    for (const std::string& aml : {device("BUS_", inner + other), device("BUS_", other + filler + inner)}) {
        std::string complaints;
        const auto p = read(table(aml), &complaints);
        CHECK(complaints == "");
        REQUIRE(p.virtio_mmio.size() == 1);
        CHECK(p.virtio_mmio[0].registers.base == PhysAddr(0x1000));
    }
}

TEST_CASE("DSDT: resources that make no sense are refused by name") {
    const std::string good = device("VR77", kHid + crs(registers(0x7000) + interrupt(7)));
    for (const std::string& resources :
         {crs(registers(0) + interrupt(5)), crs(registers(0x1002) + interrupt(5)),
          crs(registers(0x1000, 0xff) + interrupt(5)), crs(registers(0x1000) + interrupt(5000)), crs(registers(0x1000)),
          crs(interrupt(5)), crs(bytes({0x89, 2, 0, 1, 0}) + registers(0x1000)),  // no line in it
          crs(bytes({0x86, 0xff, 0xff, 1}) + interrupt(5)),                       // longer than the buffer
          crs(bytes({0x79, 0}) + registers(0x1000) + interrupt(5)),               // behind the end
          std::string("\x08_CRS\x11\x3f"), std::string()}) {
        std::string complaints;
        const auto p = read(table(device("VR42", kHid + resources) + good), &complaints);
        CHECK(complaints.starts_with("acpi: device VR42: "));
        REQUIRE(p.virtio_mmio.size() == 1);
        CHECK(p.virtio_mmio[0].line.number == 7);
    }
}

TEST_CASE("DSDT: more slots than there is room for") {
    std::string aml;
    for (u32 i = 0; i < 40; ++i) aml += device("VRxx", kHid + crs(registers(0x1000 * (i + 1)) + interrupt(i)));
    std::string complaints;
    const auto p = read(table(aml), &complaints);
    CHECK(p.virtio_mmio.full());
    CHECK(complaints.find("one too many") != std::string::npos);
    // A table made of nothing but beginnings of devices is left soon.
    aml = kHid + "_CBA";
    for (int i = 0; i < 200'000; ++i)
        aml += "\x5b\x82\x05"
               "ABCD";
    complaints.clear();
    (void)read(table(aml), &complaints);
    CHECK(complaints == "acpi: device ABCD: one more than are looked at\n");
}

TEST_CASE("A slot that ACPI and the command line name is used once") {
    arch::Platform p = read(load("microvm-virtio").named("DSDT"));
    std::string complaints;
    virtio_mmio_from_command_line(
        CommandLine("virtio_mmio.device=512@0xfeb02e00:47 virtio_mmio.device=512@0xfeb02a00:45"), p,
        [&](std::string_view s) { complaints += s; });
    CHECK(complaints == "");
    REQUIRE(p.virtio_mmio.size() == 3);
    CHECK(p.virtio_mmio[2].registers.base == PhysAddr(0xfeb0'2a00));
    CHECK(add_virtio_mmio(p, p.virtio_mmio[0]));
    CHECK(p.virtio_mmio.size() == 3);
}

TEST_CASE("DSDT: cut at any length, or with any byte changed, nothing faults and nothing absurd comes out") {
    const auto check = [](const Table& t) {
        for (const arch::VirtioMmio& m : read(t).virtio_mmio) {
            CHECK(m.registers.base.raw != 0);
            CHECK(m.registers.bytes >= 0x100);
            CHECK(m.line.number <= 1023);
        }
    };
    for (const char* machine : {"microvm-virtio", "microvm-pcie"}) {
        const Table whole = load(machine).named("DSDT");
        const usize step = whole.size() > 1000 ? 13 : 1;
        for (usize n = 0; n < whole.size(); n += step)
            check(Table(whole.begin(), whole.begin() + static_cast<long>(n)));
        for (usize at = 0; at < whole.size(); at += step)
            for (const int value :
                 {0, 0x5b, 0x7f, 0xff, static_cast<int>(whole[at]) ^ 1, static_cast<int>(whole[at]) ^ 0x40}) {
                Table t = whole;
                t[at] = static_cast<std::byte>(value);
                check(t);
            }
    }
}
