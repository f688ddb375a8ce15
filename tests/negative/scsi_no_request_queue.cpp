// expect: a SCSI host has 1 to 6 request queues in use
#include "drivers/virtio/scsi.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using S = ScsiSpec::Feature;

constexpr ScsiConfig kC{.request_queues = 0};
template class ringlet::virtio::Scsi<kC>;
