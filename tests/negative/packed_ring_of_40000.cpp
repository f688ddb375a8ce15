// expect: a packed ring's size must lie between 1 and 32768
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, Common::ring_packed, N::mac}, .optional = {}}, .rx_size = 40000};
template class ringlet::virtio::Net<kC>;
