// expect: indirect tables are useless unless INDIRECT_DESC is listed
#include "drivers/virtio/scsi.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using S = ScsiSpec::Feature;

constexpr ScsiConfig kC{.features = {.required = {Common::version_1}, .optional = {Common::event_idx}}};
template class ringlet::virtio::Scsi<kC>;
