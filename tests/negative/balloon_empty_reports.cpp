// expect: a report of free memory holds 1 to 32 blocks
#include "drivers/virtio/balloon.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr BalloonConfig kC{.report_blocks = 0};
template class ringlet::virtio::Balloon<kC>;
