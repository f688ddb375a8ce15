// Out-of-order payload (RFC 9293 §3.10.7.4, seventh): disjoint pieces in sequence order, each in the packet it came in,
// its sequence number in its note(). Bounded in packets, not bytes: each piece pins a buffer however short it
// is. What arrived first wins where segments overlap. It also remembers what a SACK option should say (RFC 2018 §4):
// the blocks that arrived last, the latest first. Context: the network monitor.
#pragma once

#include <span>

#include "net/packet_queue.hpp"
#include "net/tcp/segment.hpp"

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
    void clear() {
        pieces_.clear();
        block_count_ = 0;
    }

    /// The blocks beyond `next` = RCV.NXT, the one that arrived last first; as many as fit `to`. Every byte of them is
    /// here. There may be more, forgotten: an ACK repeats the last three or four, and the sender adds them up.
    u32 blocks(SeqNum next, std::span<SackBlock> to) const;
    /// What of the last arrival insert() or take() found to be here twice, once; empty when nothing was (RFC 2883 §4).
    SackBlock take_duplicate() { return std::exchange(duplicate_, {}); }

private:
    static SeqNum begin_of(const PacketQueue::Ref& r) { return SeqNum(r->note()); }
    static SeqNum end_of(const PacketQueue::Ref& r) { return begin_of(r) + static_cast<u32>(r->size()); }
    void drop_last();
    void note(SeqNum begin, SeqNum end);
    template <class F> void keep_blocks(F left_of);
    PacketQueue pieces_;
    std::array<SackBlock, kMaxSackBlocks> blocks_{};
    SackBlock duplicate_{};
    u32 block_count_ = 0;
};

}  // namespace ringlet::net::tcp
