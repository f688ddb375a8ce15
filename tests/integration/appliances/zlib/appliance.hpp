#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.shell = false, .net = false};
