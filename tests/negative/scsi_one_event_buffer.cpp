// expect: 2 to 32 event buffers fit into their page
#include "drivers/virtio/scsi.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using S = ScsiSpec::Feature;

constexpr ScsiConfig kC{.event_buffers = 1};
template class ringlet::virtio::Scsi<kC>;
