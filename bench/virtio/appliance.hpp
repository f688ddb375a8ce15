// What bench/virtio/run.py boots: every driver, no shell.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "virtio-bench", .shell = false};
