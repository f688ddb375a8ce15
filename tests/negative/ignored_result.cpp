// expect: declared with attribute 'nodiscard'
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;

void f(kernel::DmaRegion& region) {
    region = kernel::DmaRegion::allocate(4096).value();
    kernel::DmaRegion::allocate(4096);
}
