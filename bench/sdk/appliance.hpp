// Nothing but the console.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.shell = false,
                                                     .power_button = false,
                                                     .net = false,
                                                     .blk = false,
                                                     .rng = false,
                                                     .pci = false,
                                                     .pci_legacy = false,
                                                     .mmio = false,
                                                     .mmio_legacy = false};
