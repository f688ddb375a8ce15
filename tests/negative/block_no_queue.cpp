// expect: a block driver has between 1 and 16 request queues
#include "drivers/virtio/blk.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.queues = 0};
template class ringlet::virtio::Blk<kC>;
