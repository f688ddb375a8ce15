// expect: rx_buffers must lie between 1 and the size of the receive ring
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr NetConfig kC{.rx_size = 32, .rx_buffers = 33};
template class ringlet::virtio::Net<kC>;
