// expect: UFO cannot be listed: IP fragments of a datagram are not what this stack sends or takes
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {N::csum, N::host_ufo}}};
template class ringlet::virtio::Net<kC>;
