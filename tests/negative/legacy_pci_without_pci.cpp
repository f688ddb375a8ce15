// expect: pci_legacy widens the search on PCI: it needs pci
#include <ringlet/config.hpp>

constexpr ringlet::ApplianceConfig kAppliance{.pci = false, .pci_legacy = true};
template struct ringlet::ApplianceChecked<kAppliance>;
