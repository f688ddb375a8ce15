// What the shell shows of things below the SDK: lspci, virtio, disks, irq. Used by boot_main() alone.
#pragma once

#include <ringlet/system.hpp>

#include "drivers/pci/bus.hpp"

namespace ringlet::boot {

void report_irqs(TextSink to, std::string_view arguments);
void report_virtio(TextSink to, std::string_view arguments);
/// Disks, and how the caches of what is mounted do.
void report_disks(TextSink to, std::string_view arguments);
/// Checks the ext4 filesystem of a disk or a partition; without arguments that at "/".
void report_fsck(TextSink to, std::string_view arguments);
void report_pci(TextSink to, std::string_view arguments);
/// Where report_pci() looks; nullptr: there is no PCI.
void set_reported_bus(pci::Bus* bus);

}  // namespace ringlet::boot
