// expect: a SCSI command needs room for at least one piece of data
#include "drivers/virtio/scsi.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using S = ScsiSpec::Feature;

constexpr ScsiConfig kC{.max_segments = 0};
template class ringlet::virtio::Scsi<kC>;
