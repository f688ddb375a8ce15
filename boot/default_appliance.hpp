// What ringlet_add_appliance() uses without CONFIG.
#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{};
