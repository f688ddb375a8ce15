// expect: segmentation offload cannot be listed: this driver moves one frame per buffer
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {N::csum, N::host_tso4}}};
template class ringlet::virtio::Net<kC>;
