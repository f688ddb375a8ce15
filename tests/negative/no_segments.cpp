// expect: a block request needs room for at least one piece of data
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.max_segments = 0};
template class ringlet::virtio::Blk<kC>;
