// expect: a console has 1 to 7 ports: their queues must have interrupts
#include "drivers/virtio/console.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr ConsoleConfig kC{.ports = 8};
template class ringlet::virtio::Console<kC>;
