// A network and a root filesystem in the image.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "packed", .dns = false, .sntp = false, .blk = false};
