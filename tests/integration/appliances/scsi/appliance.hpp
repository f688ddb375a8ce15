#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "httpd", .blk = false, .scsi = true, .rng = false};
