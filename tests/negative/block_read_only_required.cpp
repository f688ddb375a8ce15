// expect: RO cannot be required: it is for the device to say whether it can be written
#include "drivers/virtio/blk.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.features = {.required = {Common::version_1, B::ro}, .optional = {Common::indirect_desc}}};
template class ringlet::virtio::Blk<kC>;
