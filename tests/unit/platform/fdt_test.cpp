// The devicetree reader on blobs that QEMU 7.2 made (data/*.dtb, dumped with -machine virt,dumpdtb=), on
// hand-made ones, and on damaged copies of both: whatever the bytes are, the answer is a value or an Error.
#include <catch2/catch.hpp>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "boot/fdt.hpp"
#include "boot/ranges.hpp"
#include "lib/endian.hpp"

using namespace ringlet;
using namespace ringlet::boot;

namespace {

std::vector<std::byte> load(const char* name) {
    std::ifstream in(std::string(RINGLET_TEST_DATA) + "/" + name, std::ios::binary);
    REQUIRE(in);
    std::string s((std::istreambuf_iterator<char>(in)), {});
    const auto* p = reinterpret_cast<const std::byte*>(s.data());
    return {p, p + s.size()};
}

/// Writes a flattened tree: the other direction of what is tested.
class Builder {
public:
    Builder& begin(std::string_view name) {
        cell(1), text(name);
        return *this;
    }
    Builder& end() {
        cell(2);
        return *this;
    }
    Builder& prop(std::string_view name, std::vector<u32> cells) {
        cell(3), cell(static_cast<u32>(cells.size() * 4)), cell(string(name));
        for (u32 c : cells) cell(c);
        return *this;
    }
    Builder& prop_text(std::string_view name, std::string_view value) {
        cell(3), cell(static_cast<u32>(value.size() + 1)), cell(string(name)), text(value);
        return *this;
    }
    Builder& reserve(u64 base, u64 bytes) {
        reservations_.push_back({base, bytes});
        return *this;
    }
    std::vector<std::byte> finish() {
        cell(9);
        std::vector<std::byte> out;
        const auto put32 = [&](u32 v) {
            be32 b(v);
            append(out, &b, 4);
        };
        const auto put64 = [&](u64 v) {
            be64 b(v);
            append(out, &b, 8);
        };
        const u32 reserve_at = 40, struct_at = static_cast<u32>(reserve_at + 16 * (reservations_.size() + 1));
        const u32 strings_at = static_cast<u32>(struct_at + structure_.size());
        const u32 total = static_cast<u32>(strings_at + strings_.size());
        for (u32 v : {0xd00dfeedu, total, struct_at, strings_at, reserve_at, 17u, 16u, 0u,
                      static_cast<u32>(strings_.size()), static_cast<u32>(structure_.size())})
            put32(v);
        for (auto [base, bytes] : reservations_) put64(base), put64(bytes);
        put64(0), put64(0);
        append(out, structure_.data(), structure_.size());
        append(out, strings_.data(), strings_.size());
        return out;
    }

private:
    static void append(std::vector<std::byte>& to, const void* p, usize n) {
        to.insert(to.end(), static_cast<const std::byte*>(p), static_cast<const std::byte*>(p) + n);
    }
    void cell(u32 v) {
        be32 b(v);
        append(structure_, &b, 4);
    }
    void text(std::string_view s) {
        append(structure_, s.data(), s.size());
        structure_.resize(align_up(structure_.size() + 1, usize{4}));
    }
    u32 string(std::string_view name) {
        const std::string key = std::string(name) + '\0';
        auto at = strings_.find(key);
        if (at == std::string::npos) at = strings_.size(), strings_ += key;
        return static_cast<u32>(at);
    }
    std::vector<std::byte> structure_;
    std::string strings_;
    std::vector<std::pair<u64, u64>> reservations_;
};

/// Everything that reads a devicetree, for damaged ones. An exact copy lets ASan see one byte past the end.
void read_all(std::span<const std::byte> blob) {
    const std::unique_ptr<std::byte[]> exact(new std::byte[blob.size()]);
    std::memcpy(exact.get(), blob.data(), blob.size());
    const Bytes bytes{exact.get(), blob.size()};
    arch::Platform platform;
    (void)platform_from_fdt(bytes, platform);
    BootInfo info;
    (void)memory_from_fdt(bytes, info);
    for (const auto& r : info.ram) CHECK(r.bytes % kPageSize == 0);
    (void)rng_seed_from_fdt(bytes);
}

}  // namespace

TEST_CASE("QEMU virt with GICv3 and ITS") {
    const auto dtb = load("virt-gicv3-its.dtb");
    arch::Platform p;
    std::string complaints;
    const auto complain = [&](std::string_view s) { complaints += s; };
    REQUIRE(platform_from_fdt(dtb, p, complain));
    CHECK(complaints == "");
    CHECK(p.gic.version == arch::GicVersion::v3);
    CHECK(p.gic.distributor.base == PhysAddr(0x0800'0000));
    REQUIRE(p.gic.redistributors.size() == 1);
    CHECK(p.gic.redistributors[0].base == PhysAddr(0x080a'0000));
    CHECK(p.gic.redistributors[0].bytes == 0xf6'0000);
    REQUIRE(p.gic.its);
    CHECK(p.gic.its->base == PhysAddr(0x0808'0000));
    CHECK_FALSE(p.gic.v2m);
    CHECK(p.psci == arch::PsciConduit::hvc);
    CHECK(p.timer_intid == 27);
    CHECK(p.timer_trigger == arch::Trigger::level);
    CHECK(p.cpus == 2);
    CHECK(p.pl031 == PhysAddr(0x0901'0000));
    CHECK(p.power_button.kind == arch::PowerButton::Kind::pl061);
    CHECK(p.power_button.address == 0x0903'0000);
    CHECK(p.power_button.pin == 3);
    CHECK(p.power_button.line.number == 39);
    CHECK(p.serial.kind == arch::SerialKind::pl011);
    CHECK(p.serial.address == 0x0900'0000);
    REQUIRE(p.serial.line);
    CHECK(p.serial.line->number == 33);
    CHECK(p.serial.line->trigger == arch::Trigger::level);

    REQUIRE(p.virtio_mmio.size() == 32);
    CHECK(p.virtio_mmio[0].registers.base == PhysAddr(0x0a00'0000));
    CHECK(p.virtio_mmio[0].registers.bytes == 0x200);
    CHECK(p.virtio_mmio[0].line.number == 48);
    CHECK(p.virtio_mmio[0].line.trigger == arch::Trigger::edge);
    CHECK(p.virtio_mmio[31].registers.base == PhysAddr(0x0a00'3e00));
    CHECK(p.virtio_mmio[31].line.number == 79);

    REQUIRE(p.pci);
    REQUIRE(p.pci->ecam);
    CHECK(p.pci->ecam->base == PhysAddr(0x40'1000'0000));
    CHECK(p.pci->ecam->bytes == 256_MiB);
    CHECK(p.pci->first_bus == 0);
    CHECK(p.pci->last_bus == 255);
    REQUIRE(p.pci->windows.size() == 3);
    CHECK(p.pci->windows[0].kind == arch::PciWindow::Kind::io);
    CHECK(p.pci->windows[0].cpu == PhysAddr(0x3eff'0000));
    CHECK(p.pci->windows[0].pci == 0);
    CHECK(p.pci->windows[1].kind == arch::PciWindow::Kind::memory32);
    CHECK(p.pci->windows[1].cpu == PhysAddr(0x1000'0000));
    CHECK(p.pci->windows[1].bytes == 0x2eff'0000);
    CHECK(p.pci->windows[2].kind == arch::PciWindow::Kind::memory64);
    CHECK(p.pci->windows[2].pci == 0x80'0000'0000);
    REQUIRE(p.pci->intx.size() == 16);
    CHECK(p.pci->intx_slot_mask == 3);
    CHECK(p.pci->intx[0].line.number == 35);
    CHECK(p.pci->intx[7].slot == 1);
    CHECK(p.pci->intx[7].pin == 4);
    CHECK(p.pci->intx[7].line.number == 35);
    CHECK(p.pci->intx[7].line.trigger == arch::Trigger::level);
}

TEST_CASE("QEMU virt with GICv2 and v2m") {
    const auto dtb = load("virt-gicv2-v2m.dtb");
    arch::Platform p;
    REQUIRE(platform_from_fdt(dtb, p));
    CHECK(p.gic.version == arch::GicVersion::v2);
    CHECK(p.gic.cpu_interface.base == PhysAddr(0x0801'0000));
    REQUIRE(p.gic.v2m);
    CHECK(p.gic.v2m->base == PhysAddr(0x0802'0000));
    CHECK_FALSE(p.gic.its);
    CHECK(p.cpus == 1);
    REQUIRE(p.pci);
    CHECK(p.pci->ecam->base == PhysAddr(0x3f00'0000));
    CHECK(p.pci->last_bus == 15);
    CHECK(p.pci->windows.size() == 2);
}

TEST_CASE("memory, command line and initrd from QEMU's devicetree") {
    const auto dtb = load("virt-gicv3-its.dtb");
    BootInfo info;
    REQUIRE(memory_from_fdt(dtb, info));
    REQUIRE(info.ram.size() == 1);
    CHECK(info.ram[0].base == PhysAddr(0x4000'0000));
    CHECK(info.ram[0].bytes == 4_GiB);
    CHECK(info.command_line == "ip=10.0.2.15/24 -- one \"two three\"");
    CHECK(info.initrd.size() == 5000);
    REQUIRE(info.reserved.size() == 1);
    CHECK(info.reserved[0].base.raw == reinterpret_cast<std::uintptr_t>(info.initrd.data()));
    CHECK(info.reserved[0].bytes == 8192);
    CHECK(info.devicetree.size() <= dtb.size());
    CHECK(rng_seed_from_fdt(dtb).size() == 32);
}

TEST_CASE("addresses are translated through every bus") {
    Builder b;
    b.begin("").prop("#address-cells", {2}).prop("#size-cells", {1}).prop("interrupt-parent", {7});
    b.begin("gic").prop("phandle", {7}).prop("#interrupt-cells", {3}).prop_text("compatible", "arm,gic-400");
    b.prop("reg", {0, 0x1000, 0x1000, 0, 0x2000, 0x1000}).end();
    b.begin("soc").prop("#address-cells", {1}).prop("#size-cells", {1});
    b.prop("ranges", {0x0, 1, 0x0, 0x1000, 0x4000, 2, 0x8000, 0x1000});
    b.begin("bus@4000").prop("#address-cells", {1}).prop("#size-cells", {1}).prop("ranges", {0x100, 0x4400, 0x200});
    b.begin("virtio@180")
        .prop_text("compatible", "virtio,mmio")
        .prop("reg", {0x180, 0x100})
        .prop("interrupts", {0, 5, 1})
        .end();
    b.begin("virtio@281")
        .prop_text("compatible", "virtio,mmio")
        .prop("reg", {0x281, 0x100})
        .prop("interrupts", {0, 5, 1})
        .end();
    b.begin("virtio@200").prop_text("compatible", "virtio,mmio").prop("reg", {0x200, 0x100});
    b.prop("interrupts-extended", {7, 0, 6, 4}).end();
    b.begin("virtio@off")
        .prop_text("compatible", "virtio,mmio")
        .prop("reg", {0x180, 0x100})
        .prop_text("status", "disabled");
    b.begin("child").prop_text("device_type", "cpu").end().end();
    b.end().end();
    b.begin("cpus").begin("cpu@0").prop_text("device_type", "cpu").end().end();
    b.end();
    arch::Platform p;
    std::string complaints;
    const auto complain = [&](std::string_view s) { complaints += s; };
    REQUIRE(platform_from_fdt(b.finish(), p, complain));
    CHECK(complaints == "devicetree: virtio@281 skipped: no usable register range");
    REQUIRE(p.virtio_mmio.size() == 2);
    CHECK(p.virtio_mmio[0].registers.base == PhysAddr(0x2'0000'8480));
    CHECK(p.virtio_mmio[0].line.number == 37);
    CHECK(p.virtio_mmio[1].registers.base == PhysAddr(0x2'0000'8500));
    CHECK(p.virtio_mmio[1].line.number == 38);
    CHECK(p.virtio_mmio[1].line.trigger == arch::Trigger::level);
    CHECK(p.cpus == 1);
}

TEST_CASE("stdout-path chooses the serial port, by alias and with options") {
    for (const std::string_view path :
         {"/uart@2000", "/uart@2000:115200n8", "console", "console:9600", "/uart@2000:"}) {
        Builder b;
        b.begin("").prop("#address-cells", {1}).prop("#size-cells", {1});
        b.begin("aliases").prop_text("console", "/uart@2000").end();
        b.begin("uart@1000").prop_text("compatible", "arm,pl011").prop("reg", {0x1000, 0x1000}).end();
        b.begin("uart@2000")
            .prop_text("compatible", "ns16550a")
            .prop("reg", {0x2000, 0x1000})
            .prop("reg-shift", {2})
            .end();
        b.begin("uart@3000").prop_text("compatible", "arm,pl011").prop("reg", {0x3000, 0x1000}).end();
        b.begin("chosen").prop_text("stdout-path", path).end().end();
        arch::Platform p;
        REQUIRE(platform_from_fdt(b.finish(), p));
        CHECK(p.serial.address == 0x2000);
        CHECK(p.serial.kind == arch::SerialKind::ns16550_mmio);
        CHECK(p.serial.register_shift == 2);
        CHECK_FALSE(p.serial.line);
    }
}

TEST_CASE("RAM ranges are ordered, joined and rounded inwards; reservations outwards") {
    Builder b;
    b.begin("").prop("#address-cells", {2}).prop("#size-cells", {2}).reserve(0x9000'0010, 0x20);
    b.begin("memory@90000000").prop_text("device_type", "memory");
    b.prop("reg", {0, 0x9000'0000, 0, 0x10'0000, 0, 0x4000'0001, 0, 0x2fff}).end();
    b.begin("memory@50000000").prop_text("device_type", "memory").prop("reg", {0, 0x4000'3000, 0, 0x1000}).end();
    b.begin("memory@90080000").prop_text("device_type", "memory").prop("reg", {0, 0x9008'0000, 0, 0x10'0000}).end();
    b.begin("memory@wrap")
        .prop_text("device_type", "memory")
        .prop("reg", {0xffff'ffff, 0xffff'0000, 0, 0x10'0000})
        .end();
    b.begin("reserved-memory").prop("#address-cells", {2}).prop("#size-cells", {2}).prop("ranges", {});
    b.begin("a@90001000").prop("reg", {0, 0x9000'1000, 0, 0x800}).end();
    b.begin("dynamic").prop("size", {0, 0x800}).end().end();
    b.begin("chosen").prop_text("bootargs", "x").prop("linux,initrd-start", {0x9018'0000});
    b.prop("linux,initrd-end", {0x9018'0001}).end().end();
    BootInfo info;
    std::string complaints;
    const auto complain = [&](std::string_view s) { complaints += s; };
    REQUIRE(memory_from_fdt(b.finish(), info, complain));
    CHECK(complaints == "devicetree: a memory range makes no sense, ignored"
                        "devicetree: the initrd lies outside RAM, ignored");
    REQUIRE(info.ram.size() == 2);
    CHECK(info.ram[0].base == PhysAddr(0x4000'1000));
    CHECK(info.ram[0].bytes == 0x3000);
    CHECK(info.ram[1].base == PhysAddr(0x9000'0000));
    CHECK(info.ram[1].bytes == 0x18'0000);
    REQUIRE(info.reserved.size() == 2);
    CHECK(info.reserved[0].base == PhysAddr(0x9000'1000));
    CHECK(info.reserved[1].base == PhysAddr(0x9000'0000));
    CHECK(info.reserved[1].bytes == 0x1000);
    CHECK(info.initrd.empty());
}

TEST_CASE("a table of RAM ranges that is full says so and stays as it was") {
    BootInfo info;
    for (u64 i = 0; i < 64; ++i) CHECK(add_ram(info, {PhysAddr(i * 0x10000), 0x1000}));
    CHECK_FALSE(add_ram(info, {PhysAddr(0x8000), 0x1000}));
    CHECK(info.ram.size() == 64);
    CHECK(add_ram(info, {PhysAddr(0), 0x20'0000}));
    REQUIRE(info.ram.size() == 33 - 1);
    CHECK(info.ram[0].bytes == 0x20'1000);
}

TEST_CASE("nesting without end, a missing root and an empty blob are errors") {
    arch::Platform p;
    Builder deep;
    for (int i = 0; i < 40; ++i) deep.begin("n");
    CHECK(platform_from_fdt(deep.finish(), p).error() == Error::corrupt);
    Builder unbalanced;
    unbalanced.begin("").end().end();
    CHECK(platform_from_fdt(unbalanced.finish(), p).error() == Error::corrupt);
    CHECK(platform_from_fdt({}, p).error() == Error::not_found);
    BootInfo info;
    Builder no_memory;
    no_memory.begin("").end();
    CHECK(memory_from_fdt(no_memory.finish(), info).error() == Error::not_found);
}

// virt-small.dtb is virt-gicv3-its.dtb with one virtio-mmio node left and without flash, fw-cfg, pl061 and
// PMU.
TEST_CASE("a devicetree cut at any length is an error, never a fault") {
    const auto dtb = load("virt-small.dtb");
    for (usize n = 0; n < dtb.size(); ++n) {
        arch::Platform p;
        const Bytes cut = std::span(dtb).first(n);
        CHECK_FALSE(platform_from_fdt(cut, p));
        if (n < 8) continue;
        // The same with a header that agrees to the length.
        auto lying = std::vector(dtb.begin(), dtb.begin() + static_cast<long>(n));
        const be32 total(static_cast<u32>(n));
        std::memcpy(lying.data() + 4, &total, 4);
        read_all(lying);
    }
}

TEST_CASE("a devicetree with any one byte changed never faults") {
    const auto original = load("virt-small.dtb");
    for (usize i = 0; i < original.size(); ++i) {
        for (const u8 value : {u8(i % 2 == 0 ? 0xff : 0), u8(u8(original[i]) ^ 0x81)}) {
            auto dtb = original;
            dtb[i] = std::byte{value};
            read_all(dtb);
        }
    }
}
