// expect: console output must not wait longer than a second
#include "drivers/virtio/console.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr ConsoleConfig kC{.write_wait_ms = 2000};
template class ringlet::virtio::Console<kC>;
