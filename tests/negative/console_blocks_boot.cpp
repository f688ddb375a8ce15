// expect: booting must not wait longer than 100 ms for console ports
#include "drivers/virtio/console.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr ConsoleConfig kC{.announce_wait_ms = 200};
template class ringlet::virtio::Console<kC>;
