// One PCI function: identity, BARs, capabilities. Made by Bus::enumerate, lives as long as the Bus.
// PCI Local Bus 3.0 §6. Everything read from the device is checked here, once. Context: thread.
#pragma once

#include <array>
#include <optional>

#include "drivers/pci/config_space.hpp"
#include "drivers/pci/io_window.hpp"
#include "lib/function_ref.hpp"
#include "lib/list.hpp"

namespace ringlet::pci {

/// One base address register as the CPU sees it.
struct Bar {
    enum class Kind : u8 { none, io, memory } kind = Kind::none;
    bool is_64bit = false, prefetchable = false;
    bool assigned = false;  ///< false: it has a size but no address (none was free)
    PhysAddr address;       ///< memory, or an I/O window mapped into memory: physical address; x86 I/O: the port
    u64 bytes = 0;          ///< a power of two
};

class Function : public ListNode<> {
public:
    static constexpr unsigned kBars = 6;

    Address address() const { return address_; }
    u16 requester_id() const { return address_.requester_id(); }
    u16 vendor() const { return vendor_; }
    u16 device() const { return device_; }
    u16 subsystem_vendor() const { return subsystem_vendor_; }
    u16 subsystem_device() const { return subsystem_device_; }
    u8 revision() const { return revision_; }
    /// Base class, subclass, programming interface: 24 bits.
    u32 class_code() const { return class_code_; }
    bool is_bridge() const { return is_bridge_; }
    /// The bridge this function sits behind; nullptr on the root bus.
    const Function* parent() const { return parent_; }
    /// INTA..INTD as 1..4; 0: no wired interrupt.
    u8 interrupt_pin() const { return interrupt_pin_; }

    /// Kind::none for a number above 5, an absent BAR, and the upper half of a 64-bit one.
    Bar bar(unsigned n) const { return n < kBars ? bars_[n] : Bar{}; }
    /// Maps [offset, offset + bytes) of a memory BAR as device memory and returns its address.
    /// Error::not_found: no such BAR or it has no address. Error::corrupt: the range is not inside it.
    Result<std::uintptr_t> map_bar(unsigned n, u64 offset, u64 bytes);
    /// The same of an I/O BAR. Errors: as map_bar.
    Result<IoWindow> open_io_bar(unsigned n, u64 offset, u64 bytes);

    u8 read8(u16 offset) const { return space_->read8(address_, offset); }
    u16 read16(u16 offset) const { return space_->read16(address_, offset); }
    u32 read32(u16 offset) const { return space_->read32(address_, offset); }
    void write8(u16 offset, u8 value) { space_->write8(address_, offset, value); }
    void write16(u16 offset, u16 value) { space_->write16(address_, offset, value); }
    void write32(u16 offset, u32 value) { space_->write32(address_, offset, value); }

    /// Lets the function answer in its BARs (those kinds that have an address) and, for DMA and MSI, master
    /// the bus.
    void enable_memory();
    void enable_bus_master();
    void disable_bus_master();
    /// Takes the bus away from a function that does not stop by itself. True: it masters the bus no more, or it is not
    /// there any more; it can touch no memory then. Context: any.
    bool cut_off();
    /// Keeps the wired interrupt silent: needed with MSI-X, §6.8.2.
    void disable_intx();
    void enable_intx();

    /// Visits the capability list until `visit` returns false. Bounded: a list that loops or leaves
    /// configuration space ends at that point.
    void for_each_capability(FunctionRef<bool(u8 id, u16 offset)> visit) const;
    /// The offset of the first capability with this id; virtio's are vendor capabilities (0x09): use the
    /// iteration.
    std::optional<u16> find_capability(u8 id) const;

private:
    friend class Bus;
    friend class Assigner;
    /// A bridge's window towards its secondary bus, in bus addresses.
    struct Window {
        u64 base = 0, bytes = 0;        ///< bytes == 0: closed
        u64 needed = 0, alignment = 0;  ///< to be opened with this much
    };

    void identify();
    void size_bars();
    void change_command(u16 set, u16 clear);

    const ConfigSpace* space_ = nullptr;
    Function* parent_ = nullptr;
    Address address_;
    u16 vendor_ = 0, device_ = 0, subsystem_vendor_ = 0, subsystem_device_ = 0;
    u8 revision_ = 0, interrupt_pin_ = 0;
    bool is_bridge_ = false;
    u32 class_code_ = 0;
    u8 secondary_bus_ = 0;
    std::array<Bar, kBars> bars_{};
    std::array<u64, kBars> bus_addresses_{};  ///< what is in the registers: may differ from the CPU's address
    std::array<Window, 3> windows_{};         ///< bridge: by arch::PciWindow::Kind
};

}  // namespace ringlet::pci
