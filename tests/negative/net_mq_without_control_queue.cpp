// expect: a listed feature lacks its prerequisite
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {N::mq}}, .max_pairs = 2};
template class ringlet::virtio::Net<kC>;
