// expect: this feature belongs to another device type
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

bool f(Negotiated<NetSpec, NetConfig{}.features> n) { return n.has<B::flush>(); }
