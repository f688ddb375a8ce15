// Finding the register windows of virtio devices, and turning a PCI function's MSI-X into a VectorTable.
#include "drivers/virtio/discover.hpp"

#include <algorithm>
#include <new>

#include "arch/paging.hpp"
#include "drivers/pci/msix.hpp"
#include "drivers/virtio/mmio.hpp"
#include "drivers/virtio/pci_legacy.hpp"
#include "drivers/virtio/pci_modern.hpp"

namespace ringlet::virtio {

namespace {

constexpr u16 kVendor = 0x1af4, kFirstTransitional = 0x1000, kFirstModern = 0x1040, kLastModern = 0x107f;
constexpr u8 kVendorCapability = 0x09;
constexpr u8 kCommonCfg = 1, kNotifyCfg = 2, kIsrCfg = 3, kDeviceCfg = 4;  // VIRTIO_PCI_CAP_*
constexpr u32 kMostNotifyBytes = 1u << 20;  // 256 queues at a page each; nobody needs more mapped
constexpr u32 kMostDeviceBytes = 4096;
constexpr u32 kMostCommonBytes = 64;

/// One structure of §4.1.4, as the capability tells it.
struct Window {
    u8 bar = 0;
    u32 offset = 0, length = 0;
    u16 capability = 0;  ///< 0: not found
};

/// The messages of a PCI function. PCI Local Bus 3.0 §6.8.2.
class PciVectors final : public VectorTable {
public:
    PciVectors(pci::Function& f, pci::Msix msix) : function_(f), msix_(msix) {}

    u16 size() const override { return std::min(msix_.vectors(), kMost); }
    Result<arch::IrqId> open(u16 i) override {
        if (i >= size()) return fail(Error::no_space);
        arch::MsiMessage message;
        const arch::IrqId id = TRY(arch::allocate_msi(function_.requester_id(), message));
        if (const auto done = msix_.program(i, message); !done) {
            arch::free_msi(id);
            return fail(done.error());
        }
        ids_[i] = id;
        return id;
    }
    void close(u16 i) override {
        msix_.mask(i);
        arch::free_msi(ids_[i]);
    }
    void mask(u16 i) override { msix_.mask(i); }
    void unmask(u16 i) override { msix_.unmask(i); }
    bool enable() override { return msix_.enable().has_value(); }
    void disable() override { msix_.disable(); }

private:
    static constexpr u16 kMost = 32;
    pci::Function& function_;
    pci::Msix msix_;
    std::array<arch::IrqId, kMost> ids_{};
};

enum class Where : u8 { memory, memory_or_ports };

/// The first usable capability of a kind (§4.1.4.1: a driver uses the first it can).
Window find(const pci::Function& f, u8 wanted, u8 least_capability, u32 least_length, Where where = Where::memory) {
    Window found;
    f.for_each_capability([&](u8 id, u16 at) {
        if (id != kVendorCapability || f.read8(u16(at + 3)) != wanted || f.read8(u16(at + 2)) < least_capability)
            return true;
        const Window w{.bar = f.read8(u16(at + 4)),
                       .offset = f.read32(u16(at + 8)),
                       .length = f.read32(u16(at + 12)),
                       .capability = at};
        const auto kind = w.bar < pci::Function::kBars ? f.bar(w.bar).kind : pci::Bar::Kind::none;
        const bool ports = kind == pci::Bar::Kind::io && where == Where::memory_or_ports && f.bar(w.bar).assigned;
        if ((kind != pci::Bar::Kind::memory && !ports) || w.length < least_length) return true;
        found = w;
        return false;
    });
    return found;
}

Result<std::uintptr_t> map(pci::Function& f, const Window& w, u32 bytes) {
    if (w.capability == 0) return fail(Error::unsupported);
    return f.map_bar(w.bar, w.offset, bytes);
}
/// The notification area may lie in ports.
Result<pci::IoWindow> map_notify(pci::Function& f, const Window& w, u32 bytes) {
    if (w.capability != 0 && f.bar(w.bar).kind == pci::Bar::Kind::io) return f.open_io_bar(w.bar, w.offset, bytes);
    return pci::IoWindow(pci::IoWindow::Kind::memory, TRY(map(f, w, bytes)));
}

/// What the function can be heard by. Errors: no_memory.
Result<Wiring> wire(pci::Function& f, const pci::Bus& bus) {
    Wiring wiring;
    if (auto msix = pci::Msix::open(f)) {
        msix->disable();  // as it is after a reset, whatever the firmware left
        wiring.vectors.reset(new (std::nothrow) PciVectors(f, *msix));
        if (!wiring.vectors) return fail(Error::no_memory);
    }
    if (const auto line = bus.intx_line(f)) wiring.line = *line;
    return wiring;
}

bool is_transitional(const pci::Function& f) {
    return f.device() < kFirstModern;
}

}  // namespace

u16 pci_device_type(const pci::Function& f) {
    if (f.vendor() != kVendor || f.device() < kFirstTransitional || f.device() > kLastModern) return 0;
    return f.device() >= kFirstModern ? u16(f.device() - kFirstModern) : f.subsystem_device();
}

Result<Device> open_pci(pci::Function& f, const pci::Bus& bus) {
    PciRegions r;
    r.device_type = pci_device_type(f);
    if (r.device_type == 0) return fail(Error::not_found);
    f.enable_memory();

    const Window common = find(f, kCommonCfg, 16, PciModern::kCommonBytes);
    r.common_bytes = std::min(common.length, kMostCommonBytes);
    r.common = TRY(map(f, common, r.common_bytes));
    r.isr = TRY(map(f, find(f, kIsrCfg, 16, 1), 1));
    const Window notify = find(f, kNotifyCfg, 20, 2, Where::memory_or_ports);
    r.notify_bytes = std::min(notify.length, kMostNotifyBytes);
    r.notify = TRY(map_notify(f, notify, r.notify_bytes));
    r.notify_multiplier = f.read32(u16(notify.capability + 16));
    if ((r.notify_multiplier & (r.notify_multiplier - 1)) != 0 || r.notify_multiplier == 1)
        return fail(Error::corrupt);  // §4.1.4.4.1: 0, or an even power of two
    const Window device = find(f, kDeviceCfg, 16, 1);
    if (device.capability != 0) {
        r.device_bytes = std::min(device.length, kMostDeviceBytes);
        r.device = TRY(map(f, device, r.device_bytes));
    }
    // Fields are accessed at their natural width, addresses as two halves (§4.1.3.1, §4.1.4.3.1).
    if (r.common % 4 != 0 || r.notify.at(0) % 2 != 0 || r.device % 4 != 0) return fail(Error::corrupt);
    r.function = &f;

    Wiring wiring = TRY(wire(f, bus));
    f.enable_bus_master();  // last: a function that is refused can touch no memory
    return Device{PciModern(r), std::move(wiring)};
}

Result<Device> open_pci_legacy(pci::Function& f, const pci::Bus& bus) {
    const u16 type = pci_device_type(f);
    if (type == 0) return fail(Error::not_found);
    if (!is_transitional(f) || f.revision() != 0) return fail(Error::unsupported);  // §4.1.2.3
    f.enable_memory();
    const u64 bytes = std::min<u64>(f.bar(0).bytes, kMostDeviceBytes);
    if (bytes < PciLegacy::kLeastBytes) return fail(Error::unsupported);
    const auto bar = f.open_io_bar(0, 0, bytes);
    if (!bar) return fail(bar.error() == Error::not_found ? Error::unsupported : bar.error());
    Wiring wiring = TRY(wire(f, bus));
    f.enable_bus_master();
    return Device{PciLegacy(type, *bar, u32(bytes), &f), std::move(wiring)};
}

namespace {
template <class T> Result<Device> open_slot(const arch::VirtioMmio& slot) {
    const std::uintptr_t at = TRY(arch::map_device(slot.registers.base, slot.registers.bytes));
    const T mmio = TRY(T::open(at, slot.registers.bytes));
    Wiring wiring;
    wiring.line = slot.line;
    return Device{mmio, std::move(wiring)};
}
}  // namespace

Result<Device> open_mmio(const arch::VirtioMmio& slot) {
    return open_slot<Mmio>(slot);
}
Result<Device> open_mmio_legacy(const arch::VirtioMmio& slot) {
    return open_slot<MmioLegacy>(slot);
}

}  // namespace ringlet::virtio
