// What bench/fs/run.py boots: a disk, no network, no shell.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "fs-bench", .shell = false, .net = false};
