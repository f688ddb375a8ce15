// SCSI disks on a machine from before virtio 1.0, without a shell.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.shell = false,
                                                     .net = false,
                                                     .blk = false,
                                                     .scsi = true,
                                                     .rng = false,
                                                     .pci_legacy = true,
                                                     .mmio = false,
                                                     .mmio_legacy = false};
