// expect: a listed feature lacks its prerequisite, for example segmentation offload without checksum offload
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {N::host_tso4}}};
template class ringlet::virtio::Net<kC>;
