// Reassembly of out-of-order payload. Context: the network monitor.
#include "net/tcp/assembler.hpp"

namespace ringlet::net::tcp {

bool Assembler::insert(SeqNum seq, PacketBuffer p, u32 limit) {
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
    const SeqNum end = seq + static_cast<u32>(p.size());
    if (before && end_of(before) > seq) {
        if (end_of(before) >= end) return true;  // nothing new
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
    if (p.size() == 0) return true;
    if (before && end_of(before) == seq && before->tailroom() >= p.size()) {
        std::memcpy(before->append(p.size()).data(), p.data().data(), p.size());
        return true;
    }
    if (pieces_.count() >= limit) {
        if (!after) return false;
        drop_last();  // behind `after` or `after` itself: never `before`
    }
    p.meta().owner_word = seq.raw();
    pieces_.insert_after(before, std::move(p));
    return true;
}

std::optional<PacketBuffer> Assembler::take(SeqNum next) {
    for (;;) {
        const PacketQueue::Ref first = pieces_.front();
        if (!first || begin_of(first) > next) return std::nullopt;
        const u32 skip = next - begin_of(first);
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
    pieces_.take_after(before);
}

}  // namespace ringlet::net::tcp
