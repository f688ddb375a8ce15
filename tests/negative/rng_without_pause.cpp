// expect: an entropy driver must leave time between its requests
#include "drivers/virtio/rng.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr RngConfig kC{.interval_s = 0};
template class ringlet::virtio::Rng<kC>;
