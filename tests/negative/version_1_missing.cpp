// expect: VERSION_1 must be required: these drivers speak virtio 1.0 and later only
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.features = {.required = {B::flush}, .optional = {Common::version_1}}, .indirect_tables = 0};
template class ringlet::virtio::Blk<kC>;
