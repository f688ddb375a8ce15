// What ringlet_add_appliance() uses without CONFIG.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{};
