// expect: more than one request queue needs MQ to be listed
#include "drivers/virtio/blk.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.queues = 4};
template class ringlet::virtio::Blk<kC>;
