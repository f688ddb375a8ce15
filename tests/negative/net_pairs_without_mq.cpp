// expect: several queue pairs need MQ or RSS to be listed
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {N::csum}}, .max_pairs = 2};
template class ringlet::virtio::Net<kC>;
