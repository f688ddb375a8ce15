// A disk and a shell, no network, no PCI.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{
    .net = false, .scsi = false, .rng = false, .pci = false, .pci_legacy = false, .mmio_legacy = false};
