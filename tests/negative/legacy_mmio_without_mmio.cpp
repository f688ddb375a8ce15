// expect: mmio_legacy widens the search for virtio-mmio: it needs mmio
#include <ringlet/config.hpp>

constexpr ringlet::ApplianceConfig kAppliance{.mmio = false, .mmio_legacy = true};
template struct ringlet::ApplianceChecked<kAppliance>;
