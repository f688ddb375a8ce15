// Discovery of buses and functions, and wired interrupts. Addresses are assign.cpp's. See bus.hpp.
#include "drivers/pci/bus.hpp"

#include <new>

#include "drivers/pci/assign.hpp"
#include "drivers/pci/spec.hpp"
#include "kernel/log.hpp"

namespace ringlet::pci {

using namespace spec;
using kernel::LogLevel;

namespace {

/// A bridge that is one end of a link: it has exactly one slot behind it. PCIe §7.5.3.2, device/port type.
bool has_one_slot(const Function& bridge) {
    const auto cap = bridge.find_capability(kCapPciExpress);
    if (!cap) return false;
    const unsigned type = bridge.read16(static_cast<u16>(*cap + 2)) >> 4 & 0xf;
    return type == 4 || type == 6;  // root port, downstream port of a switch
}

}  // namespace

Result<std::unique_ptr<Bus>> Bus::enumerate(const arch::PciHost& host) {
    const ConfigSpace space = TRY(ConfigSpace::open(host));
    std::unique_ptr<Bus> bus(new (std::nothrow) Bus(host, space));
    if (!bus) return fail(Error::no_memory);
    bus->scan_bus(space.first_bus(), space.last_bus(), nullptr, 0);
    for (Function& f : bus->functions_) f.size_bars();
    Assigner(*bus).run();
    return bus;
}

Bus::~Bus() {
    while (Function* f = functions_.pop_front()) delete f;
}

void Bus::for_each(FunctionRef<void(Function&)> visit) {
    for (Function& f : functions_) visit(f);
}

Function* Bus::add(Address at, Function* parent) {
    if (count_ == kMaxFunctions) {
        kernel::log(LogLevel::warning, "pci: more than {} functions, the rest is ignored", kMaxFunctions);
        return nullptr;
    }
    auto* f = new (std::nothrow) Function;
    if (f == nullptr) {
        kernel::log(LogLevel::error, "pci: out of memory");
        return nullptr;
    }
    f->space_ = &space_;
    f->parent_ = parent;
    f->address_ = at;
    f->identify();
    functions_.push_back(*f);
    ++count_;
    return f;
}

void Bus::scan_slots(u8 bus, Function* parent) {
    const unsigned slots = parent != nullptr && has_one_slot(*parent) ? 1 : 32;
    for (unsigned slot = 0; slot < slots; ++slot) {
        unsigned functions = 1;
        for (unsigned n = 0; n < functions; ++n) {
            const Address at{bus, static_cast<u8>(slot), static_cast<u8>(n)};
            const u16 vendor = space_.read16(at, kVendorId);
            if (vendor == 0xffff || vendor == 0) {
                if (n == 0) break;  // function 0 is mandatory
                continue;
            }
            if (n == 0 && (space_.read8(at, kHeaderType) & kHeaderMultiFunction) != 0) functions = 8;
            if (add(at, parent) == nullptr) return;
        }
    }
}

/// Are the bridge's bus numbers usable as they are: above everything seen, inside what the bus above
/// forwards?
bool Bus::numbered_by_firmware(const Function& bridge, u8 bus, u8 highest, u8 limit) const {
    const u8 secondary = bridge.read8(kSecondaryBus), subordinate = bridge.read8(kSubordinateBus);
    return bridge.read8(kPrimaryBus) == bus && secondary > highest && subordinate >= secondary && subordinate <= limit;
}

/// Scans `bus` and everything behind it; no number above `limit` may be used. Returns the highest number
/// used. Recursion is bounded by kMaxDepth, and every level has a higher bus number than the one above.
u8 Bus::scan_bus(u8 bus, u8 limit, Function* parent, usize depth) {
    if (!space_.map_bus(bus)) {
        kernel::log(LogLevel::warning, "pci: bus {} cannot be reached", bus);
        return bus;
    }
    Function* last_before = functions_.empty() ? nullptr : &functions_.back();
    scan_slots(bus, parent);
    u8 highest = bus;
    // First the bridges that the firmware numbered, so that the others get numbers above those.
    for (const bool numbered : {true, false}) {
        auto at = last_before == nullptr ? functions_.begin() : List<Function>::Iterator{last_before->next};
        for (; at != functions_.end(); ++at) {
            Function& f = *at;
            if (f.address_.bus != bus || !f.is_bridge_ || f.secondary_bus_ != 0) continue;
            if (numbered != numbered_by_firmware(f, bus, highest, limit)) continue;
            if (depth + 1 >= kMaxDepth || highest == limit) {
                kernel::log(LogLevel::warning, "pci: no bus number left behind {:02x}:{:02x}.{}", bus, f.address_.slot,
                            f.address_.function);
                continue;
            }
            if (numbered) {
                f.secondary_bus_ = f.read8(kSecondaryBus);
                const u8 subordinate = f.read8(kSubordinateBus);
                scan_bus(f.secondary_bus_, subordinate, &f, depth + 1);
                highest = subordinate;
                continue;
            }
            f.secondary_bus_ = static_cast<u8>(highest + 1);
            f.write8(kPrimaryBus, bus);
            f.write8(kSecondaryBus, f.secondary_bus_);
            f.write8(kSubordinateBus, limit);  // everything, while we look what is there
            highest = scan_bus(f.secondary_bus_, limit, &f, depth + 1);
            f.write8(kSubordinateBus, highest);
        }
    }
    return highest;
}

// PCI-to-PCI Bridge §9.1: behind a bridge, slot and pin turn into a pin of the bridge.
Result<arch::IrqLine> Bus::intx_line(const Function& f) const {
    u8 pin = f.interrupt_pin();
    if (pin == 0) return fail(Error::not_found);
    const Function* at = &f;
    for (; at->parent() != nullptr; at = at->parent()) pin = static_cast<u8>((pin - 1 + at->address().slot) % 4 + 1);
    const u8 slot = at->address().slot;
    if (host_.intx.empty()) return pc_interrupt_line(f, slot, pin);
    for (const arch::PciIntx& row : host_.intx)
        if (row.slot == (slot & host_.intx_slot_mask) && row.pin == pin) return row.line;
    return fail(Error::not_found);
}

// PCs: the firmware wrote the ISA interrupt it routed to, which the IOAPIC shows at the same number,
// level-triggered and active high (QEMU's MADT says so for 5, 9, 10 and 11). Without it, q35's fixed routing
// to GSI 16 and up: slots 0..24 use PIRQ E..H rotated by the slot, 25..31 A..D (ICH9 §10.1.38, reset values
// of D25IR..D31IR).
Result<arch::IrqLine> Bus::pc_interrupt_line(const Function& f, u8 root_slot, u8 pin) const {
    constexpr u32 kQ35HostBridge = 0x29c0'8086;
    const u8 line = f.read8(kInterruptLine);
    if (line != 0 && line < 16) return arch::IrqLine{line, arch::Trigger::level, arch::Polarity::high};
    if (space_.read32({space_.first_bus(), 0, 0}, kVendorId) != kQ35HostBridge) return fail(Error::not_found);
    const u32 pirq = root_slot < 25 ? 4u + (root_slot + pin - 1u) % 4u : pin - 1u;
    return arch::IrqLine{16 + pirq, arch::Trigger::level, arch::Polarity::high};
}

}  // namespace ringlet::pci
