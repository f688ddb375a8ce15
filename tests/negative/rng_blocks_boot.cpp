// expect: booting must not wait longer than 100 ms for entropy
#include "drivers/virtio/rng.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr RngConfig kC{.boot_wait_ms = 1000};
template class ringlet::virtio::Rng<kC>;
