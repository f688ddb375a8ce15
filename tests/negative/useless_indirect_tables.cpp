// expect: indirect tables are useless unless INDIRECT_DESC is listed
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr BlkConfig kC{.features = {.required = {Common::version_1}, .optional = {}}};
template class ringlet::virtio::Blk<kC>;
