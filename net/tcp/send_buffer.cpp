// The send buffer. Context: the network monitor.
#include "net/tcp/send_buffer.hpp"

namespace ringlet::net::tcp {

u32 SendBuffer::write(Bytes from) {
    const u32 wanted = static_cast<u32>(std::min<usize>(from.size(), room()));
    u32 copied = 0;
    while (copied < wanted) {
        PacketQueue::Ref last = chunks_.back();
        if (!last || last->tailroom() == 0) {
            if (memory_.held >= (chunks_.count() < 2 ? memory_.hard : memory_.soft)) break;
            auto fresh = memory_.pool.allocate();
            if (!fresh) break;
            fresh->window(0, 0);
            chunks_.push_back(std::move(*fresh));
            ++memory_.held;
            last = chunks_.back();
        }
        const u32 n = std::min(wanted - copied, static_cast<u32>(last->tailroom()));
        std::memcpy(last->append(n).data(), from.data() + copied, n);
        copied += n;
    }
    size_ += copied;
    if (copied == 0 && wanted != 0 && size_ == 0) memory_.refused = true;
    return copied;
}

/// The chunk with the byte at `offset` < size(), found from where the last search ended.
SendBuffer::Place SendBuffer::find(u32 offset) {
    if (!cursor_ || offset < cursor_at_) {
        cursor_ = chunks_.front();
        cursor_at_ = 0;
    }
    for (u32 here; offset - cursor_at_ >= (here = static_cast<u32>(cursor_->size())); cursor_ = cursor_.next())
        cursor_at_ += here;
    return {cursor_, offset - cursor_at_};
}

SendBuffer::Pieces SendBuffer::at(u32 offset, u32 length) {
    ASSERT(offset <= size_ && length <= size_ - offset && length <= PacketBuffer::kSize);
    if (length == 0) return {};
    const Place p = find(offset);
    const Bytes window = p.chunk->data().subspan(p.offset);
    if (length <= window.size()) return {window.first(length), {}};
    return {window, Bytes(p.chunk.next()->data()).first(length - window.size())};
}

u32 SendBuffer::lend(PacketBuffer& packet, u32 offset, u32 length) {
    ASSERT(offset <= size_ && length <= size_ - offset);
    if (length == 0) return 0;
    u32 lent = 0;
    for (Place p = find(offset); lent < length; p = {p.chunk.next(), 0}) {
        const u32 n = std::min(length - lent, static_cast<u32>(p.chunk->size()) - p.offset);
        auto view = memory_.pool.view(*p.chunk, p.offset, n);
        if (!view) break;
        packet.append_fragment(std::move(*view));
        lent += n;
    }
    return lent;
}

void SendBuffer::drop(u32 n) {
    ASSERT(n <= size_);
    size_ -= n;
    cursor_at_ -= std::min(cursor_at_, n);
    while (n != 0) {
        PacketQueue::Ref first = chunks_.front();
        const u32 here = static_cast<u32>(first->size());
        if (n < here) {
            first->pull_bytes(n);
            return;
        }
        n -= here;
        if (cursor_ == first) {
            cursor_ = {};
            cursor_at_ = 0;
        }
        chunks_.pop_front();
        --memory_.held;
    }
}

void SendBuffer::release() {
    memory_.held -= chunks_.count();
    chunks_.clear();
    cursor_ = {};
    size_ = cursor_at_ = 0;
}

}  // namespace ringlet::net::tcp
