// expect: tx_fragments must be at most 64
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {N::csum, N::host_tso4}},
                       .tx_fragments = 65};
template class ringlet::virtio::Net<kC>;
