// expect: RSC_EXT and STANDBY cannot be listed: this driver does not speak them
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{
    .features = {.required = {Common::version_1, N::mac}, .optional = {N::csum, N::host_tso4, N::rsc_ext}}};
template class ringlet::virtio::Net<kC>;
