// expect: a balloon has at most 32 lists of page numbers in flight
#include "drivers/virtio/balloon.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

constexpr BalloonConfig kC{.lists = 64};
template class ringlet::virtio::Balloon<kC>;
