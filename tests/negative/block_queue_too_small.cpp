// expect: a block queue needs room for header, data and status: at least 4 entries
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.queue_size = 2};
template class ringlet::virtio::Blk<kC>;
