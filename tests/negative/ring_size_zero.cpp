// expect: a split ring's size must be a power of two from 1 to 32768
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.queue_size = 0};
template class ringlet::virtio::Blk<kC>;
