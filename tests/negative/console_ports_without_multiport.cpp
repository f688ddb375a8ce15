// expect: more than one console port needs MULTIPORT
#include "drivers/virtio/console.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr ConsoleConfig kC{.features = {.required = {}, .optional = {Common::version_1}}};
template class ringlet::virtio::Console<kC>;
