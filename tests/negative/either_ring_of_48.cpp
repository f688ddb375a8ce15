// expect: with RING_PACKED optional a ring's size must suit both layouts: a power of two from 1 to 32768
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {Common::ring_packed}}, .tx_size = 48};
template class ringlet::virtio::Net<kC>;
