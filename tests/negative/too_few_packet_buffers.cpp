// expect: fewer than 32 packet buffers cannot keep a network interface running
#include <ringlet/config.hpp>

constexpr ringlet::ApplianceConfig kAppliance{.packet_buffers = 16};
template struct ringlet::ApplianceChecked<kAppliance>;
