// expect: INDIRECT_DESC is useless without tx_tables and with tx_fragments of 1
#include "drivers/virtio/net.hpp"

using namespace ringlet;
using namespace ringlet::virtio;
using N = NetSpec::Feature;

constexpr NetConfig kC{.features = {.required = {Common::version_1, N::mac}, .optional = {Common::indirect_desc}},
                       .tx_tables = 0};
template class ringlet::virtio::Net<kC>;
