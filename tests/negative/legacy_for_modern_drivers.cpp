// expect: pci_legacy and mmio_legacy are for drivers that can do without VERSION_1
#include <ringlet/config.hpp>

using namespace ringlet;
constexpr ApplianceConfig kAppliance{
    .net = false,
    .blk_driver = {.features = {.required = {virtio::Common::version_1}, .optional = {}}, .indirect_tables = 0},
    .rng = false};
template struct ringlet::ApplianceChecked<kAppliance>;
