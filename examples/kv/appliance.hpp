// A network, a disk, and no shell.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "kv", .shell = false};
