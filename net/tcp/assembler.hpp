// Out-of-order payload (RFC 9293 §3.10.7.4, seventh): disjoint pieces in sequence order, each in the packet it came in,
// its sequence number in meta().owner_word. Bounded in packets, not bytes: each piece pins 2 KiB however short it is.
// What arrived first wins where segments overlap. Context: the network monitor.
#pragma once

#include "net/packet_queue.hpp"
#include "net/tcp/seq.hpp"

namespace ringlet::net::tcp {

class Assembler {
public:
    bool empty() const { return pieces_.empty(); }
    u32 count() const { return pieces_.count(); }
    usize buffers() const { return pieces_.buffers(); }

    /// Keeps the payload `p` that begins at `seq`. At `limit` packets the one farthest ahead makes room; false when
    /// that is the new one itself.
    bool insert(SeqNum seq, PacketBuffer p, u32 limit);
    /// The next piece that begins at or before `next`, without the bytes before it; nothing at a hole.
    std::optional<PacketBuffer> take(SeqNum next);
    void clear() { pieces_.clear(); }

private:
    static SeqNum begin_of(const PacketQueue::Ref& r) { return SeqNum(r->meta().owner_word); }
    static SeqNum end_of(const PacketQueue::Ref& r) { return begin_of(r) + static_cast<u32>(r->size()); }
    void drop_last();
    PacketQueue pieces_;
};

}  // namespace ringlet::net::tcp
