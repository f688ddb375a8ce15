// The console alone.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.shell = false,
                                                     .net = false,
                                                     .blk = false,
                                                     .scsi = false,
                                                     .rng = false,
                                                     .pci = false,
                                                     .pci_legacy = false,
                                                     .mmio = false,
                                                     .mmio_legacy = false};
