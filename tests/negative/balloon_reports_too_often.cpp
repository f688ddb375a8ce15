// expect: looking for free memory more than ten times a second wastes power
#include "drivers/virtio/balloon.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr BalloonConfig kC{.report_interval_ms = 1};
template class ringlet::virtio::Balloon<kC>;
