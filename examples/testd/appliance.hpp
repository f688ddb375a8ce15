// No disk: everything comes from memory. Many connections.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "testd", .blk = false};
