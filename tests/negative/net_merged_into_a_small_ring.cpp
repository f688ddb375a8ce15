// expect: merged frames need a receive ring of at least 64 entries: one frame may take 36 of them
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{
    .features = {.required = {Common::version_1, N::mac}, .optional = {N::guest_csum, N::guest_tso4, N::mrg_rxbuf}},
    .rx_size = 32,
    .rx_buffers = 32};
template class ringlet::virtio::Net<kC>;
