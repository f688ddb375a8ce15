// The packet pool: a stack of free slots, most recently used first (its memory is likeliest still in the cache).
// Context: the network monitor.
#include "net/packet.hpp"

#include <new>

namespace ringlet::net {

PacketBuffer::~PacketBuffer() {
    if (slot_ == nullptr) return;
    if (slot_->more != nullptr) release(std::exchange(slot_->more, nullptr));
    PacketPool& pool = *slot_->pool;
    slot_->next = pool.head_;
    pool.head_ = slot_;
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

usize PacketBuffer::size_across() const {
    usize n = 0;
    for (const Slot* s = slot_; s != nullptr; s = s->more) n += usize(s->end - s->begin);
    return n;
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

PacketPool::PacketPool(MutableBytes memory, DmaAddr dma) : memory_(memory.data()), dma_(dma) {
    const usize count = memory.size() / PacketBuffer::kSize;
    slots_ = new (std::nothrow) PacketBuffer::Slot[count];
    if (slots_ == nullptr) return;  // total() == 0 tells
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
    ASSERT(free_ == total_);
    delete[] slots_;
}

std::optional<PacketBuffer> PacketPool::allocate() {
    PacketBuffer::Slot* slot = head_;
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

}  // namespace ringlet::net
