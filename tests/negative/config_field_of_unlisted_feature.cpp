// expect: this configuration field belongs to a feature that the driver does not list
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

auto f(ConfigSpace<NetSpec, NetConfig{}.features, AnyTransport> c) { return c.read(NetSpec::kMaxVirtqueuePairs); }
