// expect: a listed feature lacks its prerequisite
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac, N::mq}, .optional = {N::ctrl_vq}}};
template class ringlet::virtio::Net<kC>;
