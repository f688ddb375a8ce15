// A network, a disk, and the shell on the console beside the broker.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "mosquitto"};
