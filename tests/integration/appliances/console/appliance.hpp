#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{
    .name = "console", .net = false, .blk = false, .rng = false, .console = true};
