// Devices that only the DSDT names: virtio-mmio slots and the PCI Express bridge of QEMU's microvm. AML is
// not interpreted: what is read are the constants that QEMU writes there, found by their encoding. ACPI 6.4
// §20.2 (AML), §6.4 (resource descriptors). Context: boot.
#pragma once

#include "arch/platform.hpp"
#include "lib/bytes.hpp"
#include "lib/format.hpp"

namespace ringlet::boot {

/// Appends to out.virtio_mmio every device with _HID "LNRO0005", and fills in out.pci (ECAM, windows, INTx)
/// from a bridge with a constant _CBA. `dsdt` is the whole table, of any content. A device whose resources
/// make no sense is left out with a complaint.
void platform_from_dsdt(Bytes dsdt, arch::Platform& out, TextSink complain);

}  // namespace ringlet::boot
