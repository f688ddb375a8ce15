// expect: VERSION_1 must be listed: required, or optional for a driver that also works on legacy devices
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.features = {.required = {B::flush}, .optional = {Common::event_idx}}, .indirect_tables = 0};
template class ringlet::virtio::Blk<kC>;
