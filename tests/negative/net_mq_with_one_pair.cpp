// expect: MQ is useless with one queue pair: raise max_pairs or do not list it
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {N::ctrl_vq, N::mq}}};
template class ringlet::virtio::Net<kC>;
