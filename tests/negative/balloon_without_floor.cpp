// expect: a balloon must leave the kernel at least 1 MiB
#include "drivers/virtio/balloon.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr BalloonConfig kC{.floor_bytes = 4096};
template class ringlet::virtio::Balloon<kC>;
