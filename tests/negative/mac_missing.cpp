// expect: MAC must be required: the driver has no other address
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1}, .optional = {N::mac}}};
template class ringlet::virtio::Net<kC>;
