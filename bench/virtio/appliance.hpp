// What bench/virtio/run.py boots: every driver, no shell.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "virtio-bench",
                                                     .shell = false,
                                                     .scsi = true,
                                                     .balloon = true,
                                                     .pci_legacy = false,  // the balloon requires VERSION_1
                                                     .mmio_legacy = false};
