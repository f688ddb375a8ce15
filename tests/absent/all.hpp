// Every part.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.shell = true,
                                                     .net = true,
                                                     .blk = true,
                                                     .scsi = true,
                                                     .rng = true,
                                                     .balloon = true,
                                                     .console = true,
                                                     .pci = true,
                                                     .pci_legacy = true,
                                                     .mmio = true,
                                                     .mmio_legacy = true};
