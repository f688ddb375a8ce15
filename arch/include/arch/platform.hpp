// What the firmware told about this machine: plain values, filled in once by boot/ (ACPI or FDT, or the command line),
// read by arch/ (interrupt controllers, clocks, power), drivers/pci and the composition root. All values come from
// outside: whoever uses one checks it. Context: boot only; constant afterwards.
#pragma once

#include <optional>

#include "arch/irq_types.hpp"
#include "lib/fixed_vector.hpp"
#include "lib/strong.hpp"

namespace ringlet::arch {

struct MmioRange {
    PhysAddr base;
    u64 bytes = 0;
};

/// A PCI host bridge window: CPU address `cpu` shows PCI address `pci`.
struct PciWindow {
    enum class Kind : u8 { io, memory32, memory64 } kind = Kind::memory32;
    PhysAddr cpu;
    u64 pci = 0;
    u64 bytes = 0;
};

/// One row of the devicetree interrupt-map: (slot, INTx pin 1..4) to a line.
struct PciIntx {
    u8 slot = 0;
    u8 pin = 0;
    IrqLine line;
};

struct PciHost {
    std::optional<MmioRange> ecam;  ///< none: configuration by ports CF8/CFC (x86_64)
    u8 first_bus = 0, last_bus = 255;
    FixedVector<PciWindow, 4> windows;  ///< empty: the firmware has assigned the BARs (x86_64 with BIOS)
    FixedVector<PciIntx, 128> intx;     ///< empty: use the Interrupt Line register (x86_64 with BIOS)
    u8 intx_slot_mask = 0x1f;           ///< from interrupt-map-mask: which slot bits select the row
};

struct VirtioMmio {
    MmioRange registers;
    IrqLine line;
};

enum class SerialKind : u8 { none, ns16550_port, ns16550_mmio, pl011 };
struct Serial {
    SerialKind kind = SerialKind::none;
    u64 address = 0;  ///< port number or physical address
    u8 register_shift = 0;
    std::optional<IrqLine> line;  ///< none: poll
};

/// x86_64, ACPI MADT.
struct IoApic {
    PhysAddr address;
    u32 gsi_base = 0;
};
struct IsaOverride {
    u8 irq = 0;
    IrqLine line;
};

/// aarch64: GICv2 or GICv3, and whichever MSI frame comes with it.
enum class GicVersion : u8 { none, v2, v3 };
struct Gic {
    GicVersion version = GicVersion::none;
    MmioRange distributor;
    MmioRange cpu_interface;                   ///< v2
    FixedVector<MmioRange, 4> redistributors;  ///< v3
    std::optional<MmioRange> v2m;
    std::optional<MmioRange> its;
};

enum class PsciConduit : u8 { none, hvc, smc };

/// ACPI fixed hardware and its reduced-hardware replacement (FADT; S5 from the DSDT).
struct AcpiPower {
    u16 pm1a_control_port = 0;  ///< 0: absent
    u16 sleep_type_s5 = 0;
    std::optional<PhysAddr> sleep_control;  ///< hardware-reduced ACPI (microvm GED)
    u8 sleep_control_s5 = 5;
    std::optional<PhysAddr> reset_register_memory;
    u16 reset_register_port = 0;  ///< 0: absent
    u8 reset_value = 0;
};

/// By which somebody outside asks for an orderly end (QEMU: system_powerdown).
struct PowerButton {
    enum class Kind : u8 { none, pm1, pl061 };
    Kind kind = Kind::none;
    u64 address = 0;  ///< pm1: port of the event block (status, then enable); pl061: physical, of its registers
    IrqLine line;
    u8 pin = 0;                ///< pl061
    u8 enable_offset = 0;      ///< pm1: from status to enable, bytes
    u8 acpi_enable = 0;        ///< pm1: what to write to `smi_command_port` when the firmware still has the button
    u16 smi_command_port = 0;  ///< 0: absent
    u16 control_port = 0;      ///< pm1
};

struct Platform {
    // x86_64
    PhysAddr local_apic{0xfee0'0000};
    FixedVector<IoApic, 8> io_apics;
    FixedVector<IsaOverride, 16> isa_overrides;
    AcpiPower acpi_power;
    // aarch64
    Gic gic;
    PsciConduit psci = PsciConduit::none;
    u32 timer_intid = 27;  ///< virtual timer PPI (INTID), else from the devicetree
    Trigger timer_trigger = Trigger::level;
    std::optional<PhysAddr> pl031;
    u64 unix_seconds = 0;  ///< at entry, as firmware knew it; 0: unknown
    // both
    u32 cpus = 1;
    Serial serial;
    PowerButton power_button;
    std::optional<PciHost> pci;
    FixedVector<VirtioMmio, 32> virtio_mmio;
};

}  // namespace ringlet::arch
