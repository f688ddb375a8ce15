// Nothing but the console: no drivers, no network, no filesystem, no shell.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "hello",
                                                     .shell = false,
                                                     .power_button = false,
                                                     .net = false,
                                                     .blk = false,
                                                     .rng = false,
                                                     .pci = false,
                                                     .pci_legacy = false,
                                                     .mmio = false,
                                                     .mmio_legacy = false};
