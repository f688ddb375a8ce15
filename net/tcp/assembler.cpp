// Reassembly of out-of-order payload. Context: the network monitor.
#include "net/tcp/assembler.hpp"

namespace ringlet::net::tcp {

bool Assembler::insert(SeqNum seq, PacketBuffer p, u32 limit) {
    if (empty()) block_count_ = 0;
    // `before`: the last piece that begins at or before seq. Most arrivals go behind everything there is.
    PacketQueue::Ref before, after = pieces_.front();
    if (after && begin_of(pieces_.back()) <= seq) {
        before = pieces_.back();
        after = {};
    }
    while (after && begin_of(after) <= seq) {
        before = after;
        after = after.next();
    }
    const SeqNum begin = seq, end = seq + static_cast<u32>(p.size());
    duplicate_ = {seq, seq};
    if (before && end_of(before) > seq) {
        duplicate_.end = min(end, end_of(before));
        if (end_of(before) >= end) {  // nothing new
            note(begin, end);
            return true;
        }
        p.pull_bytes(end_of(before) - seq);
        seq = end_of(before);
    }
    while (after && begin_of(after) < end) {
        if (end_of(after) > end) {
            p.trim_to(begin_of(after) - seq);
            break;
        }
        const PacketQueue::Ref covered = after;  // the new one has all of it
        after = covered.next();
        pieces_.take_after(before);
    }
    if (p.size() == 0) {
        note(begin, end);
        return true;
    }
    if (before && end_of(before) == seq && before->tailroom() >= p.size()) {
        std::memcpy(before->append(p.size()).data(), p.data().data(), p.size());
        note(begin, end);
        return true;
    }
    if (pieces_.count() >= limit) {
        if (!after) return false;
        drop_last();  // behind `after` or `after` itself: never `before`
    }
    p.note() = seq.raw();
    pieces_.insert_after(before, std::move(p));
    note(begin, end);
    return true;
}

/// RFC 2018 §4: the block with the latest arrival comes first, joined with those it touches.
void Assembler::note(SeqNum begin, SeqNum end) {
    u32 kept = 0;
    for (u32 i = 0; i < block_count_; ++i) {
        const SackBlock b = blocks_[i];
        if (b.begin <= end && begin <= b.end) {
            begin = min(begin, b.begin);
            end = max(end, b.end);
        } else {
            blocks_[kept++] = b;
        }
    }
    kept = std::min(kept, kMaxSackBlocks - 1);
    for (u32 i = kept; i != 0; --i) blocks_[i] = blocks_[i - 1];
    blocks_[0] = {begin, end};
    block_count_ = kept + 1;
}

template <class F> void Assembler::keep_blocks(F left_of) {
    u32 kept = 0;
    for (u32 i = 0; i < block_count_; ++i) {
        const SackBlock b = left_of(blocks_[i]);
        if (b.begin < b.end) blocks_[kept++] = b;
    }
    block_count_ = kept;
}

u32 Assembler::blocks(SeqNum next, std::span<SackBlock> to) const {
    u32 n = 0;
    if (empty()) return n;
    for (u32 i = 0; i < block_count_ && n < to.size(); ++i)
        if (blocks_[i].begin > next) to[n++] = blocks_[i];
    return n;
}

std::optional<PacketBuffer> Assembler::take(SeqNum next) {
    for (;;) {
        const PacketQueue::Ref first = pieces_.front();
        if (!first) return std::nullopt;
        if (begin_of(first) > next) {
            keep_blocks([next](SackBlock b) { return SackBlock{b.begin > next ? b.begin : b.end, b.end}; });
            return std::nullopt;
        }
        const u32 skip = next - begin_of(first);
        if (skip != 0) duplicate_ = {begin_of(first), min(next, end_of(first))};
        std::optional<PacketBuffer> p = pieces_.pop_front();
        if (skip < p->size()) {
            p->pull_bytes(skip);
            return p;
        }
    }
}

void Assembler::drop_last() {
    PacketQueue::Ref before, last = pieces_.front();
    while (last.next()) {
        before = last;
        last = last.next();
    }
    const SeqNum from = begin_of(last);  // what is thrown away is claimed no longer
    keep_blocks([from](SackBlock b) { return SackBlock{b.begin, min(b.end, from)}; });
    pieces_.take_after(before);
}

}  // namespace ringlet::net::tcp
