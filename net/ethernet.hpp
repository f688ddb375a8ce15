// Putting the Ethernet header on. Context: the network monitor.
#pragma once

#include "net/headers.hpp"
#include "net/packet.hpp"

namespace ringlet::net {

inline void push_ethernet(PacketBuffer& p, const MacAddr& to, const MacAddr& from, EtherType type) {
    auto* h = p.push<EthernetHeader>();
    h->destination = to;
    h->source = from;
    h->type = static_cast<u16>(type);
    if (p.meta().checksum == PacketMeta::Checksum::partial)
        p.meta().csum_start = static_cast<u16>(p.meta().csum_start + sizeof(EthernetHeader));
    if (p.meta().gso != PacketMeta::Gso::none)
        p.meta().header_bytes = static_cast<u16>(p.meta().header_bytes + sizeof(EthernetHeader));
}

}  // namespace ringlet::net
