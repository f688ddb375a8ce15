// Finds every PCI function behind one host bridge. Numbers buses and assigns addresses where the firmware did
// not (aarch64 without firmware), and respects what it did. PCI-to-PCI Bridge 1.2 §3.2.5. Context: thread,
// once at boot.
#pragma once

#include <memory>

#include "arch/irq_types.hpp"
#include "drivers/pci/function.hpp"
#include "lib/format.hpp"

namespace ringlet::pci {

class Bus {
public:
    /// Bounds on what is looked at; what lies beyond is reported in the log and left alone.
    static constexpr usize kMaxFunctions = 128, kMaxDepth = 8;

    /// Storage comes from the heap (Error::no_memory). The Bus must outlive whoever holds a Function.
    /// `host` is copied. Device oddities are logged, not errors.
    static Result<std::unique_ptr<Bus>> enumerate(const arch::PciHost& host);
    ~Bus();

    /// In order of discovery: parents first.
    void for_each(FunctionRef<void(Function&)> visit);
    usize size() const { return count_; }

    /// Where the function's wired interrupt arrives: through the devicetree's map, swizzled by every bridge
    /// on the way; on PCs the Interrupt Line register. Error::not_found: it has none, or nobody knows.
    Result<arch::IrqLine> intx_line(const Function& f) const;

private:
    friend class Assigner;
    Bus(const arch::PciHost& host, const ConfigSpace& space) : host_(host), space_(space) {}
    Bus(const Bus&) = delete;

    u8 scan_bus(u8 bus, u8 limit, Function* parent, usize depth);
    void scan_slots(u8 bus, Function* parent);
    Function* add(Address at, Function* parent);
    bool numbered_by_firmware(const Function& bridge, u8 bus, u8 highest, u8 limit) const;
    Result<arch::IrqLine> pc_interrupt_line(const Function& f, u8 root_slot, u8 pin) const;

    arch::PciHost host_;
    ConfigSpace space_;
    List<Function> functions_;
    usize count_ = 0;
};

/// "Ethernet controller", "SCSI controller", …; "device" when unknown.
std::string_view class_name(u32 class_code);
/// "virtio-net", "Intel", …: a short name of device or vendor; empty when unknown.
std::string_view device_name(u16 vendor, u16 device);

}  // namespace ringlet::pci
