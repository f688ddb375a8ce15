// The list of virtio-mmio slots: filled from the command line and from ACPI alike. Context: boot.
#pragma once

#include "arch/platform.hpp"
#include "lib/result.hpp"

namespace ringlet::boot {

/// Appends the slot. Error::invalid: no register block of virtio (§4.2.2) can be there, or the interrupt
/// cannot be; Error::no_space: the list is full. A slot that is in the list already stays as it is: that is
/// no error.
Result<> add_virtio_mmio(arch::Platform& out, const arch::VirtioMmio& slot);

}  // namespace ringlet::boot
