// expect: a feature that legacy devices cannot offer is required, so VERSION_1 must be required too
#include "drivers/virtio/blk.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr BlkConfig kC{.features = {.required = {Common::order_platform}, .optional = {Common::version_1}},
                       .indirect_tables = 0};
template class ringlet::virtio::Blk<kC>;
