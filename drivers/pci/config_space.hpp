// Configuration space of one host bridge, through the memory window (ECAM, PCI Express Base §7.2.2) or, on
// x86_64 without one, through ports CF8/CFC. What cannot be addressed reads as all ones, and writes there
// vanish: the behaviour of an absent function. Context: any.
#pragma once

#include <array>
#include <optional>

#include "arch/platform.hpp"
#include "lib/result.hpp"

namespace ringlet::pci {

/// Where a function sits.
struct Address {
    u8 bus = 0, slot = 0, function = 0;
    constexpr u16 requester_id() const { return static_cast<u16>(bus << 8 | slot << 3 | function); }
    friend constexpr bool operator==(Address, Address) = default;
};

class ConfigSpace {
public:
    /// Error::unsupported when the machine has neither a window nor ports.
    static Result<ConfigSpace> open(const arch::PciHost& host);

    /// `offset` is a multiple of the width and below bytes(); otherwise all ones.
    u8 read8(Address at, u16 offset) const { return static_cast<u8>(read(at, offset, 1)); }
    u16 read16(Address at, u16 offset) const { return static_cast<u16>(read(at, offset, 2)); }
    u32 read32(Address at, u16 offset) const { return read(at, offset, 4); }
    void write8(Address at, u16 offset, u8 value) const { write(at, offset, 1, value); }
    void write16(Address at, u16 offset, u16 value) const { write(at, offset, 2, value); }
    void write32(Address at, u16 offset, u32 value) const { write(at, offset, 4, value); }

    /// Makes a bus addressable (maps its 1 MiB of the window). Other buses read as all ones until then.
    Result<> map_bus(u8 bus);
    /// Per function: 4096 through the window, 256 through ports.
    u16 bytes() const { return window_ ? 4096 : 256; }
    u8 first_bus() const { return first_bus_; }
    u8 last_bus() const { return last_bus_; }

private:
    u32 read(Address at, u16 offset, unsigned width) const;
    void write(Address at, u16 offset, unsigned width, u32 value) const;
    bool reachable(Address at, u16 offset, unsigned width) const;
    std::uintptr_t in_window(Address at, u16 offset) const;

    std::optional<PhysAddr> window_;
    u8 first_bus_ = 0, last_bus_ = 255;
    std::array<u32, 8> mapped_{};  ///< one bit per bus
};

}  // namespace ringlet::pci
