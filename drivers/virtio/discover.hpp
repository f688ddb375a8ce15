// From what was found on a bus to what a driver's probe() takes. Virtio 1.2 §4.1.2 (PCI ids), §4.1.4 (capabilities),
// §4.2.3 (MMIO). Everything a device says about where its registers are is checked here. Context: thread, at boot.
#pragma once

#include "arch/platform.hpp"
#include "drivers/pci/bus.hpp"
#include "drivers/virtio/any_transport.hpp"

namespace ringlet::virtio {

/// The virtio device type (1 network, 2 block, …) of a PCI function; 0 when it is not virtio. Looks at ids alone.
u16 pci_device_type(const pci::Function& f);

/// Enables the function and maps its modern interface. `f` and `bus` outlive the driver that gets the device.
/// Errors: not_found (not virtio), unsupported (legacy only), corrupt (capabilities that lie outside their BARs),
/// no_memory.
Result<Device> open_pci(pci::Function& f, const pci::Bus& bus);
/// The interface from before 1.0, of a transitional or older function: for those that open_pci() calls unsupported.
/// An image that never calls it does not contain it. Errors: not_found, unsupported (no such interface), corrupt,
/// no_memory.
Result<Device> open_pci_legacy(pci::Function& f, const pci::Bus& bus);

/// Maps a register block of the platform. Errors: not_found (nothing behind it: normal), unsupported (version 1),
/// invalid.
Result<Device> open_mmio(const arch::VirtioMmio& slot);
/// The same of version 1, for those that open_mmio() calls unsupported. Errors: not_found, unsupported, invalid.
Result<Device> open_mmio_legacy(const arch::VirtioMmio& slot);

}  // namespace ringlet::virtio
