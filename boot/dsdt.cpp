// See dsdt.hpp.
#include "boot/dsdt.hpp"

#include <string_view>

#include "boot/virtio_mmio.hpp"
#include "lib/parse.hpp"

namespace ringlet::boot {

namespace {

constexpr std::string_view kDeviceOp{"\x5b\x82", 2};
constexpr usize kTableHeader = 36, kNone = std::string_view::npos;

std::string_view text_of(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What the PkgLength at `at` encloses (§20.2.4: the two top bits tell how many bytes follow the first).
std::optional<Bytes> package(Bytes in, usize at) {
    const auto lead = read_at<u8>(in, at);
    if (!lead) return std::nullopt;
    const usize more = *lead >> 6;
    usize length = more == 0 ? *lead & 0x3f : *lead & 0x0f;
    for (usize i = 1; i <= more; ++i) {
        const auto byte = read_at<u8>(in, at + i);
        if (!byte) return std::nullopt;
        length |= usize{*byte} << (8 * i - 4);
    }
    if (length < 1 + more) return std::nullopt;
    return slice(in, at + 1 + more, length - 1 - more);
}

/// Name and body of the Device that begins at `at`, if one does. The same bytes inside of other data are
/// taken for one only when a name follows.
std::optional<Bytes> device_at(Bytes in, usize at) {
    if (!substring(text_of(in), at).starts_with(kDeviceOp)) return std::nullopt;
    const auto body = package(in, at + kDeviceOp.size());
    if (!body || body->size() < 4) return std::nullopt;
    const char first = text_of(*body).front();
    if (first != '_' && (first < 'A' || first > 'Z')) return std::nullopt;
    return body;
}

/// Where `what` ends in `body`, which may not be within a device of its own; kNone when there is none.
usize find_own(Bytes body, std::string_view what) {
    const std::string_view text = text_of(body);
    for (usize at = 0; at < body.size(); ++at) {
        if (const auto inner = device_at(body, at))
            at = static_cast<usize>(inner->data() - body.data()) + inner->size() - 1;
        else if (substring(text, at).starts_with(what))
            return at + what.size();
    }
    return kNone;
}

/// One resource descriptor (§6.4): tag and what follows its length.
struct Descriptor {
    u8 tag;
    Bytes body;
};
constexpr u8 kMemory32Fixed = 0x86, kDword = 0x87, kWord = 0x88, kInterrupt = 0x89, kQword = 0x8a;

/// Visits the large descriptors of Name(_CRS, Buffer() {...}) until one is cut off. False: there is no _CRS.
bool for_each_resource(Bytes device, FunctionRef<void(const Descriptor&)> visit) {
    const usize crs = find_own(device, {"\x08_CRS\x11", 6});
    const auto buffer = crs == kNone ? std::nullopt : package(device, crs);
    if (!buffer) return false;
    // The size comes first, as a constant (ByteConst, WordConst or DWordConst, §20.2.3).
    const u8 kind = read_at<u8>(*buffer, 0).value_or(0);
    usize at = kind == 0x0a ? 2 : kind == 0x0b ? 3 : kind == 0x0c ? 5 : 1;
    while (const auto tag = read_at<u8>(*buffer, at)) {
        if ((*tag & 0x80) == 0) {
            constexpr u8 kEndTag = 0x0f;
            if (*tag >> 3 == kEndTag) break;
            at += 1u + (*tag & 7);
            continue;
        }
        const auto length = read_at<u16>(*buffer, at + 1);
        const auto body = length ? slice(*buffer, at + 3, *length) : std::nullopt;
        if (!body) break;
        visit({*tag, *body});
        at += 3u + *length;
    }
    return true;
}

/// The first line of an Extended Interrupt descriptor, §6.4.3.6.
std::optional<arch::IrqLine> line_of(const Descriptor& d) {
    const auto flags = read_at<u8>(d.body, 0), count = read_at<u8>(d.body, 1);
    const auto number = read_at<u32>(d.body, 2);
    if (d.tag != kInterrupt || !number || *count == 0) return std::nullopt;
    return arch::IrqLine{*number, (*flags & 2) != 0 ? arch::Trigger::edge : arch::Trigger::level,
                         (*flags & 4) != 0 ? arch::Polarity::low : arch::Polarity::high};
}

class DsdtReader {
public:
    DsdtReader(arch::Platform& out, TextSink complain) : out_(out), complain_(complain) {}

    void run(Bytes dsdt) {
        const std::string_view text = text_of(dsdt);
        // Most machines have neither: one look instead of many.
        if (text.find(kVirtioMmio) == kNone && text.find("_CBA") == kNone) return;
        usize devices = 0;
        for (usize at = text.find(kDeviceOp, kTableHeader); at != kNone; at = text.find(kDeviceOp, at + 1)) {
            const auto device = device_at(dsdt, at);
            if (!device || device->size() > kMaxDeviceBytes) continue;
            if (++devices > kMaxDevices) return say(*device, "one more than are looked at");
            if (find_own(*device, {"\x08_HID\x0dLNRO0005", 14}) != kNone) virtio_mmio(*device);
            link(*device);
            bridge(*device);
        }
        interrupts_of_bridge();
    }

private:
    static constexpr std::string_view kVirtioMmio{"LNRO0005"};
    /// A device is searched from end to end a few times: this bounds what a table can make us do.
    static constexpr usize kMaxDevices = 256, kMaxDeviceBytes = 64_KiB;

    void say(Bytes device, std::string_view what) {
        char line[80];
        complain_(format_to(line, "acpi: device {}: {}", substring(text_of(device), 0, 4), what));
    }

    void virtio_mmio(Bytes device) {
        arch::VirtioMmio slot;
        bool registers = false, line = false;
        for_each_resource(device, [&](const Descriptor& d) {
            const auto base = read_at<u32>(d.body, 1), bytes = read_at<u32>(d.body, 5);
            if (d.tag == kMemory32Fixed && base && bytes && !registers) {
                slot.registers = {PhysAddr(*base), *bytes};
                registers = true;
            } else if (const auto l = line_of(d); l && !line) {
                slot.line = *l;
                line = true;
            }
        });
        if (!registers || !line) return say(device, "has no registers or no interrupt");
        if (const auto done = add_virtio_mmio(out_, slot); !done)
            say(device, done.error() == Error::no_space ? "one too many" : "its resources make no sense");
    }

    /// GSI0 to GSI3: the interrupt link devices that _PRT refers to.
    void link(Bytes device) {
        const std::string_view name = substring(text_of(device), 0, 4);
        if (!name.starts_with("GSI") || name[3] < '0' || name[3] > '3') return;
        for_each_resource(device, [&](const Descriptor& d) {
            if (const auto line = line_of(d)) links_[name[3] - '0'] = line;
        });
    }

    /// Method(_CBA) { Return(constant) } is the address of the ECAM (PCI Firmware 3.2 §4.1.3).
    void bridge(Bytes device) {
        const usize cba = find_own(device, {"_CBA\0\xa4\x0c", 7});
        const auto base = cba == kNone ? std::nullopt : read_at<u32>(device, cba);
        if (!base) return;
        const bool ecam_is_known = out_.pci && out_.pci->ecam;
        arch::PciHost found;
        for_each_resource(device, [&](const Descriptor& d) {
            if (d.tag == kWord && !ecam_is_known)
                bus_numbers(d.body, found);
            else if (d.tag == kDword)
                window<u32>(d.body, found);
            else if (d.tag == kQword)
                window<u64>(d.body, found);
        });
        // Without windows the functions would be taken for set up by a firmware that did not.
        if (*base == 0 || *base % 1_MiB != 0 || found.first_bus > found.last_bus || found.windows.empty())
            return say(device, "its resources make no sense");
        if (!out_.pci) out_.pci.emplace();
        out_.pci->windows = found.windows;
        if (!ecam_is_known) {
            out_.pci->first_bus = found.first_bus;
            out_.pci->last_bus = found.last_bus;
            out_.pci->ecam = arch::MmioRange{PhysAddr(u64{*base} + (u64{found.first_bus} << 20)),
                                             u64(found.last_bus - found.first_bus + 1) << 20};
        }
        bridge_ = true;
    }

    // Address space descriptors, §6.4.3.5: kind, two bytes of flags, then granularity, first, last,
    // translation, length.

    static void bus_numbers(Bytes d, arch::PciHost& host) {
        constexpr u8 kBusNumbers = 2;
        const auto first = read_at<u16>(d, 5), last = read_at<u16>(d, 7);
        if (read_at<u8>(d, 0) != kBusNumbers || !first || !last || *last > 255) return;
        host.first_bus = static_cast<u8>(*first <= 255 ? *first : 255);
        host.last_bus = static_cast<u8>(*last);
    }

    template <class T> static void window(Bytes d, arch::PciHost& host) {
        using Kind = arch::PciWindow::Kind;
        constexpr u8 kMemory = 0;
        const auto first = read_at<T>(d, 3 + sizeof(T)), last = read_at<T>(d, 3 + 2 * sizeof(T)),
                   translation = read_at<T>(d, 3 + 3 * sizeof(T));
        if (read_at<u8>(d, 0) != kMemory || !first || !last || !translation) return;
        u64 cpu, end;
        if (*first == 0 || *last <= *first || __builtin_add_overflow(u64{*first}, u64{*translation}, &cpu) ||
            __builtin_add_overflow(cpu, u64{*last} - *first + 1, &end))
            return;
        const Kind kind = *last <= 0xffff'ffff ? Kind::memory32 : Kind::memory64;
        (void)host.windows.try_push_back({kind, PhysAddr(cpu), *first, u64{*last} - *first + 1});
    }

    /// QEMU's PCI Express bridge turns slot and pin (A: 0) into link (slot + pin) % 4, which is what its _PRT
    /// says in 128 rows.
    void interrupts_of_bridge() {
        if (!bridge_ || !out_.pci->intx.empty()) return;
        out_.pci->intx_slot_mask = 3;
        for (u8 slot = 0; slot < 4; ++slot)
            for (u8 pin = 1; pin <= 4; ++pin)
                if (const auto& line = links_[(slot + pin - 1) % 4])
                    (void)out_.pci->intx.try_push_back({slot, pin, *line});
    }

    arch::Platform& out_;
    TextSink complain_;
    std::optional<arch::IrqLine> links_[4];
    bool bridge_ = false;
};

}  // namespace

void platform_from_dsdt(Bytes dsdt, arch::Platform& out, TextSink complain) {
    DsdtReader(out, complain).run(dsdt);
}

}  // namespace ringlet::boot
