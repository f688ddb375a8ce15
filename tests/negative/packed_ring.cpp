// expect: RING_PACKED cannot be listed: only the split ring is built in
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.features = {.required = {Common::version_1, Common::ring_packed}, .optional = {}}, .indirect_tables = 0};
template class ringlet::virtio::Blk<kC>;
