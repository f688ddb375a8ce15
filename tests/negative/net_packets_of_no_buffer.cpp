// expect: tx_fragments must be at least 1: a packet has at least one buffer
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {}}, .tx_fragments = 0};
template class ringlet::virtio::Net<kC>;
