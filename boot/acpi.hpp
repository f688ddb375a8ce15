// What this system wants to know from ACPI tables, read defensively. ACPI 6.4 §5.2.9 (FADT), §5.2.12 (MADT), §5.2.25
// (GTDT), §7.4.2 (\_S5_); PCI Firmware 3.2 §4.1.2 (MCFG); Microsoft's Serial Port Console Redirection Table 1.08. AML
// is not interpreted: of the DSDT only the constant package \_S5_ is looked for, and what dsdt.hpp says. Context: boot.
#pragma once

#include "arch/platform.hpp"
#include "lib/bytes.hpp"
#include "lib/format.hpp"
#include "lib/result.hpp"

namespace ringlet::boot {

/// How tables are reached: the `bytes` bytes of physical memory at `at`, or fewer (none) where nothing is
/// mapped. On the target boot/main.cpp answers from the identity map; in tests from an array.
using PhysicalReader = FunctionRef<Bytes(PhysAddr at, usize bytes)>;

/// Fills in local APIC, IOAPICs, ISA overrides, power registers, PCI (ECAM, or ports where the machine has
/// fixed ACPI hardware), the number of CPUs, COM1, and what dsdt.hpp finds. `rsdp` 0: looks in the BIOS areas. A table
/// that lies is skipped with a complaint; Error::not_found without an RSDP, Error::corrupt when the RSDP or the list of
/// tables is damaged.
Result<> platform_from_acpi(PhysAddr rsdp, PhysicalReader memory, arch::Platform& out, TextSink complain);

/// The same on Arm (Base Boot Requirements 1.0 §8): GIC with its MSI frame or ITS, the virtual timer (GTDT), PSCI
/// (FADT), the console (SPCR), PCI (ECAM; the firmware has assigned the BARs), the number of CPUs. The DSDT is not
/// read: what virtio-mmio devices it names is not found. An interrupt's GSI is its INTID.
Result<> platform_from_acpi_arm(PhysAddr rsdp, PhysicalReader memory, arch::Platform& out, TextSink complain);

/// A PC without usable tables: COM1, configuration ports. What is set already stays.
void platform_defaults_pc(arch::Platform& out);

}  // namespace ringlet::boot
