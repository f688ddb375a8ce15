// expect: console output must not wait longer than 100 ms
#include "drivers/virtio/console.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr ConsoleConfig kC{.write_wait_ms = 200};
template class ringlet::virtio::Console<kC>;
