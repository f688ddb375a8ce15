// expect: segmentation offload needs tx_fragments of more than 1: large packets are chains of buffers
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {N::csum, N::host_tso4}},
                       .tx_fragments = 1};
template class ringlet::virtio::Net<kC>;
