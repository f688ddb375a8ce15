// The default appliance: every driver, the shell, and the network and disk that httpd serves.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "httpd"};
