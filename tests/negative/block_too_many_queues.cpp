// expect: a block driver has between 1 and 16 request queues
#include "drivers/virtio/blk.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.features = {.required = {Common::version_1}, .optional = {Common::indirect_desc, B::mq}},
                       .queues = 17};
template class ringlet::virtio::Blk<kC>;
