// expect: a feature is either required or optional, it cannot be listed as both
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.features = {.required = {Common::version_1, B::flush}, .optional = {B::flush}}, .indirect_tables = 0};
template class ringlet::virtio::Blk<kC>;
