// From a devicetree to arch::Platform and BootInfo. Bindings: arm,gic-v3.yaml, arm,gic.yaml,
// arm,arch_timer.yaml, arm,psci.yaml, host-generic-pci.yaml, virtio-mmio; PCI Bus Binding to IEEE 1275
// §2.2.1.1 and §2.5 (addresses). Context: boot.
#include <algorithm>

#include "boot/fdt.hpp"
#include "boot/ranges.hpp"
#include "lib/endian.hpp"
#include "lib/parse.hpp"

namespace ringlet::boot {

namespace {

/// How many redistributor regions, RAM ranges of one node and so on are looked at.
constexpr usize kMaxEntries = 64;

std::optional<u64> number_at(Bytes from, usize offset, u32 cells) {
    if (cells == 0) return 0;
    const auto first = read_at<be32>(from, offset);
    if (!first || cells > 2) return std::nullopt;
    if (cells == 1) return u64{*first};
    const auto second = read_at<be32>(from, offset + 4);
    if (!second) return std::nullopt;
    return u64{*first} << 32 | *second;
}

class PlatformReader {
public:
    PlatformReader(const Fdt& fdt, arch::Platform& out, Complain complain)
        : fdt_(fdt), out_(out), complain_(complain) {}

    Result<> run();

private:
    void visit(const FdtNode& node);
    void gic(const FdtNode& node, arch::GicVersion version);
    void its(const FdtNode& node);
    void timer(const FdtNode& node);
    void psci(const FdtNode& node);
    void serial(const FdtNode& node, arch::SerialKind kind);
    void rtc(const FdtNode& node);
    void power_button(const FdtNode& key);
    void virtio_mmio(const FdtNode& node);
    void pci(const FdtNode& node);
    void pci_windows(const FdtNode& node, arch::PciHost& host);
    void pci_interrupts(const FdtNode& node, arch::PciHost& host);

    void skipped(const FdtNode& node, std::string_view why) {
        char line[160];
        complain_(format_to(line, "devicetree: {} skipped: {}", node.name(), why));
    }

    const Fdt& fdt_;
    arch::Platform& out_;
    Complain complain_;
    std::string_view console_path_;
    bool console_found_ = false;
    u32 cpus_ = 0;
};

Result<> PlatformReader::run() {
    if (const auto chosen = fdt_.find("/chosen")) {
        const std::string_view out = chosen->text("stdout-path");
        console_path_ = substring(out, 0, out.find(':'));
        if (!console_path_.empty() && !console_path_.starts_with('/'))
            if (const auto aliases = fdt_.find("/aliases")) console_path_ = aliases->text(console_path_);
    }
    TRY(fdt_.walk([&](const FdtNode& node) {
        visit(node);
        return true;
    }));
    out_.cpus = std::max(cpus_, 1u);
    return {};
}

void PlatformReader::visit(const FdtNode& node) {
    const auto compatible = node.property("compatible");
    constexpr u32 kPowerKey = 116;  // Linux' KEY_POWER
    if (!compatible && node.depth() == 3 && node.cell("linux,code") == kPowerKey) return power_button(node);
    if (!compatible) return;
    if (node.depth() == 3 && node.text("device_type") == "cpu") ++cpus_;  // §3.8: children of /cpus
    const auto is = [&](auto... names) { return (FdtNode::lists(*compatible, names) || ...); };
    if (is("virtio,mmio")) return virtio_mmio(node);
    if (is("arm,gic-v3")) return gic(node, arch::GicVersion::v3);
    if (is("arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a9-gic")) return gic(node, arch::GicVersion::v2);
    if (is("arm,gic-v3-its")) return its(node);
    if (is("arm,gic-v2m-frame")) {
        if (const auto range = node.reg())
            out_.gic.v2m = *range;
        else
            skipped(node, to_string(range.error()));
        return;
    }
    if (is("arm,armv8-timer")) return timer(node);
    if (is("arm,psci-1.0", "arm,psci-0.2", "arm,psci")) return psci(node);
    if (is("arm,pl011")) return serial(node, arch::SerialKind::pl011);
    if (is("ns16550a", "ns16550")) return serial(node, arch::SerialKind::ns16550_mmio);
    if (is("arm,pl031")) return rtc(node);
    if (is("pci-host-ecam-generic")) return pci(node);
}

void PlatformReader::gic(const FdtNode& node, arch::GicVersion version) {
    const auto distributor = node.reg(0), second = node.reg(1);
    if (!distributor || !second) return skipped(node, "no usable register ranges");
    if (out_.gic.version != arch::GicVersion::none) return skipped(node, "a second interrupt controller");
    out_.gic.version = version;
    out_.gic.distributor = *distributor;
    if (version == arch::GicVersion::v2) {
        out_.gic.cpu_interface = *second;
        return;
    }
    const u32 regions = node.cell("#redistributor-regions").value_or(1);
    for (usize i = 0; i < regions && i < kMaxEntries; ++i) {
        const auto region = node.reg(1 + i);
        if (!region || !out_.gic.redistributors.try_push_back(*region)) break;
    }
}

void PlatformReader::its(const FdtNode& node) {
    if (const auto range = node.reg())
        out_.gic.its = *range;
    else
        skipped(node, to_string(range.error()));
}

// interrupts: secure physical, non-secure physical, virtual, hypervisor.
void PlatformReader::timer(const FdtNode& node) {
    const auto line = node.interrupt(2);
    if (!line) return skipped(node, "no virtual timer interrupt");
    if (line->number < 16 || line->number >= 32) return skipped(node, "its interrupt is not private to a CPU");
    out_.timer_intid = line->number;
    out_.timer_trigger = line->trigger;
}

void PlatformReader::psci(const FdtNode& node) {
    const std::string_view method = node.text("method");
    if (method == "hvc")
        out_.psci = arch::PsciConduit::hvc;
    else if (method == "smc")
        out_.psci = arch::PsciConduit::smc;
    else
        skipped(node, "the method is neither hvc nor smc");
}

// The one that /chosen/stdout-path names; without that, the first.
void PlatformReader::serial(const FdtNode& node, arch::SerialKind kind) {
    const bool named = !console_path_.empty() && node.path_is(console_path_);
    if (console_found_ || (!named && out_.serial.kind != arch::SerialKind::none)) return;
    const auto range = node.reg();
    if (!range) return skipped(node, to_string(range.error()));
    arch::Serial serial;
    serial.kind = kind;
    serial.address =
        range->base.raw + (kind == arch::SerialKind::ns16550_mmio ? node.cell("reg-offset").value_or(0) : 0);
    serial.register_shift = static_cast<u8>(std::min(node.cell("reg-shift").value_or(0), 4u));
    if (const auto line = node.interrupt()) serial.line = *line;
    out_.serial = serial;
    console_found_ = named;
}

void PlatformReader::rtc(const FdtNode& node) {
    if (const auto range = node.reg())
        out_.pl031 = range->base;
    else
        skipped(node, to_string(range.error()));
}

// A child of a "gpio-keys" node; gpios: controller, pin, flags.
void PlatformReader::power_button(const FdtNode& key) {
    const auto gpios = key.property("gpios");
    const auto phandle = gpios ? number_at(*gpios, 0, 1) : std::nullopt,
               pin = gpios ? number_at(*gpios, 4, 1) : std::nullopt;
    if (!phandle || !pin || *pin > 7 || !key.parent().compatible("gpio-keys")) return skipped(key, "no usable pin");
    const auto controller = fdt_.find_phandle(static_cast<u32>(*phandle));
    if (!controller || !controller->compatible("arm,pl061")) return skipped(key, "its controller is not known");
    const auto registers = controller->reg();
    const auto line = controller->interrupt();
    if (!registers || registers->bytes < 0x1000 || !line) return skipped(key, "its controller has no usable registers");
    out_.power_button = {.kind = arch::PowerButton::Kind::pl061,
                         .address = registers->base.raw,
                         .line = *line,
                         .pin = static_cast<u8>(*pin)};
}

void PlatformReader::virtio_mmio(const FdtNode& node) {
    const auto registers = node.reg();
    const auto line = node.interrupt();
    // §4.2.2 of virtio: the registers end at 0x100, followed by the device's configuration.
    if (!registers || registers->bytes < 0x100) return skipped(node, "no usable register range");
    if (!line) return skipped(node, "no usable interrupt");
    if (!out_.virtio_mmio.try_push_back({*registers, *line})) skipped(node, "too many devices");
}

void PlatformReader::pci(const FdtNode& node) {
    if (out_.pci) return skipped(node, "a second PCI host bridge");
    const auto ecam = node.reg();
    if (!ecam || ecam->bytes < 1_MiB) return skipped(node, "no usable configuration space");
    arch::PciHost host;
    if (const auto range = node.property("bus-range")) {
        const auto first = number_at(*range, 0, 1), last = number_at(*range, 4, 1);
        if (!first || !last || *first > *last || *last > 255) return skipped(node, "its bus-range makes no sense");
        host.first_bus = static_cast<u8>(*first);
        host.last_bus = static_cast<u8>(*last);
    }
    // The window begins with first_bus; a shorter window than the bus range wins.
    const u64 buses = std::min<u64>(ecam->bytes >> 20, host.last_bus - host.first_bus + 1u);
    host.last_bus = static_cast<u8>(host.first_bus + buses - 1);
    host.ecam = arch::MmioRange{ecam->base, buses << 20};
    pci_windows(node, host);
    pci_interrupts(node, host);
    out_.pci = host;
}

void PlatformReader::pci_windows(const FdtNode& node, arch::PciHost& host) {
    const auto ranges = node.property("ranges");
    const u32 parent = node.parent().address_cells(), size = node.size_cells();
    if (!ranges || node.address_cells() != 3 || parent > 2 || size > 2) return skipped(node, "no usable windows");
    const usize row = usize{3 + parent + size} * 4;
    for (usize i = 0; i < ranges->size() / row; ++i) {
        const usize at = i * row;
        const u64 space = *number_at(*ranges, at, 1) >> 24 & 3;
        const u64 bus_address = *number_at(*ranges, at + 4, 2);
        const u64 above = *number_at(*ranges, at + 12, parent);
        const u64 bytes = *number_at(*ranges, at + 12 + usize{parent} * 4, size);
        const auto cpu = node.translate_from_parent_bus(above, bytes);
        u64 end;
        if (space == 0 || bytes == 0 || !cpu || __builtin_add_overflow(bus_address, bytes, &end)) {
            skipped(node, "one window makes no sense");
            continue;
        }
        using Kind = arch::PciWindow::Kind;
        const Kind kind = space == 1 ? Kind::io : space == 2 ? Kind::memory32 : Kind::memory64;
        if (!host.windows.try_push_back({kind, PhysAddr(*cpu), bus_address, bytes}))
            return skipped(node, "more windows than can be used");
    }
}

// Rows: child unit address (3 cells), pin (1), controller phandle, its unit address, its interrupt specifier.
void PlatformReader::pci_interrupts(const FdtNode& node, arch::PciHost& host) {
    const auto mask = node.property("interrupt-map-mask");
    if (mask && mask->size() == 16) host.intx_slot_mask = static_cast<u8>(*number_at(*mask, 0, 1) >> 11 & 0x1f);
    const auto map = node.property("interrupt-map");
    if (!map) return;
    for (usize at = 0; at < map->size();) {
        const auto unit = number_at(*map, at, 1), pin = number_at(*map, at + 12, 1),
                   phandle = number_at(*map, at + 16, 1);
        if (!unit || !pin || !phandle) return skipped(node, "its interrupt-map is cut off");
        const auto parent = fdt_.interrupt_parent(static_cast<u32>(*phandle));
        if (!parent) return skipped(node, "its interrupt-map names an unknown controller");
        const usize specifier = at + 20 + usize{parent->address_cells} * 4;
        const auto cells = slice(*map, specifier, usize{parent->interrupt_cells} * 4);
        if (!cells) return skipped(node, "its interrupt-map is cut off");
        at = specifier + cells->size();
        const auto line = parent->is_gic ? gic_specifier(*cells) : fail(Error::unsupported);
        if (!line || *pin < 1 || *pin > 4) continue;
        const auto slot = static_cast<u8>(*unit >> 11 & host.intx_slot_mask);
        if (!host.intx.try_push_back({slot, static_cast<u8>(*pin), *line}))
            return skipped(node, "its interrupt-map is longer than can be used");
    }
}

void add_initrd(const FdtNode& chosen, BootInfo& out, Complain complain) {
    const auto start = chosen.number("linux,initrd-start"), end = chosen.number("linux,initrd-end");
    if (!start || !end || *start == *end) return;
    const arch::MmioRange range{PhysAddr(*start), *end - *start};
    if (*start > *end || !in_ram(out, range)) return complain("devicetree: the initrd lies outside RAM, ignored");
    out.initrd = {reinterpret_cast<const std::byte*>(*start), static_cast<usize>(*end - *start)};
    if (!reserve(out, range)) complain("devicetree: too many reserved ranges");
}

bool is_reserved_memory(const FdtNode& node) {
    return node.depth() == 3 && node.parent().path_is("/reserved-memory");
}

}  // namespace

Result<> platform_from_fdt(Bytes dtb, arch::Platform& out, Complain complain) {
    const Fdt fdt = TRY(Fdt::open(dtb));
    return PlatformReader(fdt, out, complain).run();
}

Result<> memory_from_fdt(Bytes dtb, BootInfo& out, Complain complain) {
    const Fdt fdt = TRY(Fdt::open(dtb));
    out.ram.clear();
    bool complete = true;
    TRY(fdt.walk([&](const FdtNode& node) {
        const bool ram = node.depth() == 2 && node.text("device_type") == "memory";
        if (!ram && !is_reserved_memory(node)) return true;
        for (usize i = 0; i < std::min(node.reg_count(), kMaxEntries); ++i) {
            const auto range = node.reg(i);
            if (!range)
                complain("devicetree: a memory range makes no sense, ignored");
            else
                complete &= ram ? add_ram(out, *range) : reserve(out, *range);
        }
        return true;
    }));
    TRY(fdt.for_each_reservation([&](arch::MmioRange range) { complete &= reserve(out, range); }));
    if (out.ram.empty()) return fail(Error::not_found);

    out.devicetree = dtb.first(fdt.used_bytes());
    // On the target pointers are physical addresses; in a host test the blob is not in the guest's RAM.
    const arch::MmioRange blob{PhysAddr(reinterpret_cast<std::uintptr_t>(dtb.data())), fdt.used_bytes()};
    if (in_ram(out, blob)) complete &= reserve(out, blob);

    out.command_line = {};
    out.initrd = {};
    if (const auto chosen = fdt.find("/chosen")) {
        out.command_line = chosen->text("bootargs");
        add_initrd(*chosen, out, complain);
    }
    if (!complete) {
        complain("devicetree: more memory ranges than can be kept");
        return fail(Error::no_space);
    }
    return {};
}

Bytes rng_seed_from_fdt(Bytes dtb) {
    const auto fdt = Fdt::open(dtb);
    if (!fdt) return {};
    const auto chosen = fdt->find("/chosen");
    if (!chosen) return {};
    return chosen->property("rng-seed").value_or(Bytes{});
}

}  // namespace ringlet::boot
