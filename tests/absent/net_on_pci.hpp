// A network and a shell, no disk.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.ipv6 = false,
                                                     .dns = false,
                                                     .sntp = false,
                                                     .blk = false,
                                                     .scsi = false,
                                                     .rng = false,
                                                     .pci_legacy = false,
                                                     .mmio = false,
                                                     .mmio_legacy = false};
