// The default appliance: every driver, the shell, and the network and disk that httpd serves.
#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "httpd"};
