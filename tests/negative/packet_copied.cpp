// expect: use of deleted function
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

net::PacketBuffer f(const net::PacketBuffer& p) { return p; }
