// The send buffer. Context: the network monitor.
#include "net/tcp/send_buffer.hpp"

namespace ringlet::net::tcp {

/// Adds an empty chunk for `more` bytes: a run where they would fill half of one, together with what was written before
/// unless something lent is in between.
bool SendBuffer::extend(u32 more) {
    constexpr u32 kRun = PacketBuffer::kRun, kWorthRun = kRun * PacketBuffer::kSize / 2;
    const PacketQueue::Ref last = chunks_.back();
    const u32 before = last && last->buffers() != 0 ? buffers_ * u32{PacketBuffer::kSize} : 0;
    std::optional<PacketBuffer> fresh;
    u32 taken = kRun;
    if (before + more >= kWorthRun && memory_.held + kRun <= memory_.soft) fresh = memory_.pool.allocate_run();
    if (!fresh) {
        taken = 1;
        if (memory_.held < (buffers_ < 2 ? memory_.hard : memory_.soft)) fresh = memory_.pool.allocate();
        if (!fresh) return false;
    }
    fresh->window(0, 0);
    memory_.held += taken;
    buffers_ += taken;
    chunks_.push_back(std::move(*fresh));
    return true;
}

u32 SendBuffer::write(Bytes from) {
    const u32 wanted = static_cast<u32>(std::min<usize>(from.size(), room()));
    u32 copied = 0;
    while (copied < wanted) {
        PacketQueue::Ref last = chunks_.back();
        usize room = last ? last->tailroom() : 0;
        if (room == 0) {
            if (!extend(wanted - copied)) break;
            last = chunks_.back();
            room = last->tailroom();
        }
        const u32 n = std::min(wanted - copied, static_cast<u32>(room));
        std::memcpy(last->append(n).data(), from.data() + copied, n);
        copied += n;
    }
    size_ += copied;
    if (copied == 0 && wanted != 0 && size_ == 0) memory_.refused = true;
    return copied;
}

u32 SendBuffer::borrow(Bytes from, DmaAddr dma, Loan* loan) {
    if (from.size() < kWorthLending) return 0;
    from = from.first(std::min(from.size(), Loan::kMostBytes));
    auto lent = memory_.pool.lend(from, dma, loan);
    if (!lent) return 0;
    chunks_.push_back(std::move(*lent));
    size_ += static_cast<u32>(from.size());
    return static_cast<u32>(from.size());
}

/// The chunk with the byte at `offset` < size(), found from where the last search of its kind ended.
SendBuffer::Place SendBuffer::find(u32 offset) {
    Cursor& c = newest_.chunk && offset >= newest_.at ? newest_ : again_;
    if (!c.chunk || offset < c.at) c = {chunks_.front(), 0};
    for (u32 here; offset - c.at >= (here = static_cast<u32>(c.chunk->size())); c.chunk = c.chunk.next()) c.at += here;
    if (c.at > newest_.at || !newest_.chunk) newest_ = c;
    return {c.chunk, offset - c.at};
}

SendBuffer::Pieces SendBuffer::at(u32 offset, u32 length) {
    ASSERT(offset <= size_ && length <= size_ - offset && length <= PacketBuffer::kSize);
    Pieces p;
    if (length == 0) return p;
    for (Place at = find(offset); length != 0; at = {at.chunk.next(), 0}) {
        const Bytes here = at.chunk->data().subspan(at.offset);
        ASSERT(p.count < p.each.size());
        p.each[p.count] = here.first(std::min<usize>(here.size(), length));
        length -= static_cast<u32>(p.each[p.count++].size());
    }
    return p;
}

u32 SendBuffer::lend(PacketBuffer& packet, u32 offset, u32 length, u32 fragments) {
    ASSERT(offset <= size_ && length <= size_ - offset);
    if (length == 0) return 0;
    u32 lent = 0;
    for (Place p = find(offset); lent < length && packet.fragments() < fragments; p = {p.chunk.next(), 0}) {
        const u32 n = std::min(length - lent, static_cast<u32>(p.chunk->size()) - p.offset);
        auto view = memory_.pool.view(*p.chunk, p.offset, n);
        if (!view) break;
        packet.append_fragment(std::move(*view));
        lent += n;
    }
    return lent;
}

void SendBuffer::drop_front(u32 n) {
    ASSERT(n <= size_);
    size_ -= n;
    for (Cursor* c : {&newest_, &again_}) c->at -= std::min(c->at, n);
    while (n != 0) {
        PacketQueue::Ref first = chunks_.front();
        const u32 here = static_cast<u32>(first->size());
        if (n < here) {
            first->pull_bytes(n);
            return;
        }
        n -= here;
        for (Cursor* c : {&newest_, &again_})
            if (c->chunk == first) *c = {};
        const u32 returned = static_cast<u32>(first->buffers());
        buffers_ -= returned;
        memory_.held -= returned;
        chunks_.pop_front();
    }
}

void SendBuffer::release() {
    memory_.held -= buffers_;
    buffers_ = size_ = 0;
    newest_ = again_ = {};
    chunks_.clear();
}

}  // namespace ringlet::net::tcp
