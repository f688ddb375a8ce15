// The interpreter has the console and a disk; no shell, no network.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "lua", .shell = false, .net = false};
