// expect: T10_PI cannot be listed: this driver sends no protection information
#include "drivers/virtio/scsi.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using S = ScsiSpec::Feature;

constexpr ScsiConfig kC{.features = {.required = {Common::version_1}, .optional = {S::t10_pi}}, .indirect_tables = 0};
template class ringlet::virtio::Scsi<kC>;
