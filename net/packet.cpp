// The packet pool: a stack of free slots, most recently used first (its memory is likeliest still in the cache).
// Context: the network monitor.
#include "net/packet_queue.hpp"

#include <new>

namespace ringlet::net {

void PacketBuffer::give_back(Slot* s) {
    if (s->more != nullptr) release(std::exchange(s->more, nullptr));
    PacketPool& pool = *s->pool;
    if (s->loans != 0) return pool.end_loan(s);
    s->next = pool.head_;
    pool.head_ = s;
    ++pool.free_;
}

/// A chain of slots behind a first one. Loops, for a chain may be long and the stack is not.
void PacketBuffer::release(Slot* s) {
    while (s != nullptr) PacketBuffer one(std::exchange(s, std::exchange(s->more, nullptr)));
}

void PacketBuffer::append_fragment(PacketBuffer&& p) {
    Slot* s = std::exchange(p.slot_, nullptr);
    Slot* tail = slot_->more == nullptr ? slot_ : slot_->last;
    tail->more = s;
    slot_->last = s->more == nullptr ? s : s->last;
    slot_->followers = u16(slot_->followers + 1 + s->followers);
}

std::optional<PacketBuffer> PacketBuffer::take_rest() {
    Slot* rest = std::exchange(slot_->more, nullptr);
    if (rest == nullptr) return std::nullopt;
    rest->last = slot_->last;
    rest->followers = u16(slot_->followers - 1);
    slot_->followers = 0;
    return PacketBuffer(rest);
}

usize PacketBuffer::buffers() const {
    usize n = 0;
    for (const Slot* s = slot_; s != nullptr; s = s->more) n += slot_->pool->is_view(s) ? 0 : 1;
    return n;
}

usize PacketBuffer::size_across() const {
    usize n = 0;
    for (const Slot* s = slot_; s != nullptr; s = s->more) n += usize(s->end - s->begin);
    return n;
}

bool PacketBuffer::flatten() {
    if (tailroom() < size_across() - size()) return false;
    for (const Slot* s = slot_->more; s != nullptr; s = s->more) {
        const usize n = usize(s->end - s->begin);
        if (n != 0) std::memcpy(append(n).data(), s->base + s->begin, n);
    }
    release(std::exchange(slot_->more, nullptr));
    slot_->followers = 0;
    return true;
}

/// More than the first buffer holds: whole buffers go, and the metadata moves on to the new first one.
bool PacketBuffer::pull_across(usize n) {
    if (slot_->more == nullptr || size_across() < n) return false;
    while (n > size() && slot_->more != nullptr) {
        n -= size();
        const PacketMeta meta = slot_->meta;
        PacketBuffer rest = *take_rest();
        std::swap(slot_, rest.slot_);
        slot_->meta = meta;
    }
    slot_->begin = u16(slot_->begin + n);
    return true;
}

void PacketBuffer::trim_across(usize length) {
    Slot* s = slot_;
    for (u16 kept = 0;; s = s->more, ++kept) {
        const usize here = usize(s->end - s->begin);
        if (length > here && s->more != nullptr) {
            length -= here;
            continue;
        }
        if (length < here) s->end = u16(s->begin + length);
        release(std::exchange(s->more, nullptr));
        slot_->last = s;
        slot_->followers = kept;
        return;
    }
}

bool PacketQueue::push_back_cut(PacketBuffer p, usize room, PacketPool& pool) {
    PacketQueue pieces;
    for (std::optional<PacketBuffer> buffer = std::move(p), rest; buffer; buffer = std::exchange(rest, std::nullopt)) {
        rest = buffer->take_rest();
        while (buffer->size() > room) {
            auto piece = pool.allocate();
            if (!piece) return false;
            std::memcpy(piece->append(room).data(), buffer->data().data(), room);
            buffer->pull_bytes(room);
            pieces.push_back(std::move(*piece));
        }
        pieces.push_back(std::move(*buffer));
    }
    while (auto piece = pieces.pop_front()) push_back(std::move(*piece));
    return true;
}

PacketPool::PacketPool(MutableBytes memory, DmaAddr dma) : memory_(memory.data()), dma_(dma) {
    const usize count = memory.size() / PacketBuffer::kSize;
    slots_ = new (std::nothrow) Slot[count + count / 2];
    if (slots_ == nullptr) return;  // total() == 0 tells
    for (usize i = count; i != count + count / 2; ++i) {
        slots_[i].pool = this;
        slots_[i].loans = 1;
        slots_[i].next = views_;
        views_ = &slots_[i];
    }
    free_views_ = count / 2;
    // Backwards, so that the first packets handed out are the lowest addresses.
    for (usize i = count; i-- != 0;) {
        slots_[i].pool = this;
        slots_[i].base = memory_ + i * PacketBuffer::kSize;
        slots_[i].next = head_;
        head_ = &slots_[i];
    }
    total_ = free_ = count;
}

PacketPool::~PacketPool() {
    ASSERT(free_ == total_ && free_views_ == total_ / 2);
    delete[] slots_;
}

std::optional<PacketBuffer> PacketPool::allocate() {
    Slot* slot = head_;
    if (slot == nullptr) {
        ++exhausted_;
        return std::nullopt;
    }
    head_ = slot->next;
    --free_;
    slot->next = nullptr;
    slot->begin = slot->end = PacketBuffer::kHeadroom;
    slot->followers = 0;
    slot->meta = {};
    return PacketBuffer(slot);
}

std::optional<PacketBuffer> PacketPool::copy(const PacketBuffer& packet) {
    std::optional<PacketBuffer> all;
    bool whole = true;
    packet.for_each_fragment([&](MutableBytes piece, DmaAddr) {
        auto p = whole ? allocate() : std::nullopt;
        if (p && all) p->window(0, 0);
        whole = p && piece.size() <= p->tailroom();
        if (!whole) return;
        if (!piece.empty()) std::memcpy(p->append(piece.size()).data(), piece.data(), piece.size());
        if (all)
            all->append_fragment(std::move(*p));
        else
            all = std::move(p);
    });
    if (!whole) return std::nullopt;
    all->meta() = packet.meta();
    return all;
}

std::optional<PacketBuffer> PacketPool::view(const PacketBuffer& buffer, usize offset, usize length) {
    Slot* of = buffer.slot_;
    ASSERT(length != 0 && offset + length <= buffer.size() && !is_view(of));
    Slot* slot = views_;
    if (slot == nullptr || of->loans == 0xffff) return std::nullopt;
    views_ = slot->next;
    --free_views_;
    ++of->loans;
    slot->next = nullptr;
    slot->followers = 0;
    slot->meta = {};
    // Its window ends where a buffer would end, so that nobody appends to what belongs to somebody else.
    slot->base = of->base + of->begin + offset + length - PacketBuffer::kSize;
    slot->begin = u16(PacketBuffer::kSize - length);
    slot->end = PacketBuffer::kSize;
    return PacketBuffer(slot);
}

/// The end of a view, or of a buffer's owner while it has views: the last one out gives the memory back.
void PacketPool::end_loan(Slot* s) {
    if (!is_view(s)) {
        s->next = s;  // the mark of an orphan
        ++orphans_;
        return;
    }
    s->next = views_;
    views_ = s;
    ++free_views_;
    Slot* of = &slots_[usize(s->base + PacketBuffer::kSize - 1 - memory_) / PacketBuffer::kSize];
    if (--of->loans != 0 || of->next != of) return;
    --orphans_;
    PacketBuffer back(of);
}

}  // namespace ringlet::net
