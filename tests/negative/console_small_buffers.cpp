// expect: a console buffer holds at least 64 bytes and at most a page
#include "drivers/virtio/console.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr ConsoleConfig kC{.buffer_bytes = 16};
template class ringlet::virtio::Console<kC>;
