// expect: PAGE_POISON cannot be required: the kernel command line says whether free pages are filled
#include "drivers/virtio/balloon.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr BalloonConfig kC{.features = {.required = {Common::version_1, BalloonSpec::Feature::page_poison}, .optional = {}}};
template class ringlet::virtio::Balloon<kC>;
