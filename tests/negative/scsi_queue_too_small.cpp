// expect: a SCSI queue needs room for header, data and answer: at least 4 entries
#include "drivers/virtio/scsi.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using S = ScsiSpec::Feature;

constexpr ScsiConfig kC{.queue_size = 2};
template class ringlet::virtio::Scsi<kC>;
