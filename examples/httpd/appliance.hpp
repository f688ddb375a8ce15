// The default appliance: every driver, the shell, and the network and disk that httpd serves; no names and
// no time server, which it has no use for.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "httpd", .dns = false, .sntp = false};
