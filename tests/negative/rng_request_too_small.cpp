// expect: an entropy request must hold at least a key of 32 bytes and at most a page
#include "drivers/virtio/rng.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr RngConfig kC{.request_bytes = 16};
template class ringlet::virtio::Rng<kC>;
