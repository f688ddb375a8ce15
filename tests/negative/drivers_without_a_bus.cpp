// expect: an appliance with drivers needs a bus to find devices on: pci or mmio
#include <ringlet/config.hpp>

constexpr ringlet::ApplianceConfig kAppliance{.pci = false, .mmio = false};
template struct ringlet::ApplianceChecked<kAppliance>;
