// expect: an appliance needs a name: it is argv[0] and the DHCP host name
#include <ringlet/config.hpp>

constexpr ringlet::ApplianceConfig kAppliance{.name = ""};
template struct ringlet::ApplianceChecked<kAppliance>;
