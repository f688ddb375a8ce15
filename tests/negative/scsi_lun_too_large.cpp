// expect: a single-level logical unit number is at most 16383
#include "drivers/virtio/scsi.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using S = ScsiSpec::Feature;

constexpr ScsiConfig kC{.max_lun = 16384};
template class ringlet::virtio::Scsi<kC>;
