#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "memory",
                                                     .shell = false,
                                                     .net = false,
                                                     .rng = false,
                                                     .balloon = true,
                                                     .pci_legacy = false,  // the balloon requires VERSION_1
                                                     .mmio_legacy = false};
