// A network, and nothing else.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "metrics", .shell = false, .blk = false};
