// expect: max_pairs must lie between 1 and 8
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {N::ctrl_vq, N::mq}},
                       .max_pairs = 9};
template class ringlet::virtio::Net<kC>;
