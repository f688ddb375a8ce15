// expect to compile: the header and flags that the other cases differ from by one mistake.
#include "drivers/virtio/balloon.hpp"
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"
#include "drivers/virtio/scsi.hpp"
#include "drivers/virtio/rng.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;
using B = BlkSpec::Feature;

constexpr NetConfig kNet{.features = {.required = {Common::version_1, N::mac}, .optional = {N::csum}}, .tx_size = 128};
constexpr BlkConfig kBlk{.queue_size = 16, .indirect_tables = 4};
template class ringlet::virtio::Net<kNet>;
template class ringlet::virtio::Blk<kBlk>;
constexpr ScsiConfig kScsi{.queue_size = 16, .request_queues = 6, .indirect_tables = 4};
template class ringlet::virtio::Scsi<kScsi>;
template class ringlet::virtio::Balloon<BalloonConfig{.lists = 8}>;
template class ringlet::virtio::Rng<RngConfig{.request_bytes = 32}>;
auto f(ConfigSpace<NetSpec, NetConfig{}.features, AnyTransport> c) { return c.read(NetSpec::kMtu); }
bool g(Negotiated<NetSpec, NetConfig{}.features> n) { return n.has<N::csum>() || n.has<N::mq>(); }
u16 h(const Shared<u16>& w) { return w.load(); }
