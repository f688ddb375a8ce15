// expect: a console port has at most 32 buffers in each direction
#include "drivers/virtio/console.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr ConsoleConfig kC{.buffers = 64};
template class ringlet::virtio::Console<kC>;
