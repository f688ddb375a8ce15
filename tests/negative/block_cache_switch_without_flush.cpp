// expect: a listed feature lacks its prerequisite
#include "drivers/virtio/blk.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{
    .features = {.required = {Common::version_1}, .optional = {Common::indirect_desc, B::config_wce}}};
template class ringlet::virtio::Blk<kC>;
