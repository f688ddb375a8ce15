// Nothing but the console: no drivers, no network, no filesystem, no shell. Of hello-c and of bench/sdk too.
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
