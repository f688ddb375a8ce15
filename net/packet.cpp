// The packet pool: a stack of free slots, most recently used first (its memory is likeliest still in the cache).
// Context: the network monitor.
#include "net/packet.hpp"

#include <new>

namespace ringlet::net {

PacketBuffer::~PacketBuffer() {
    if (slot_ == nullptr) return;
    PacketPool& pool = *slot_->pool;
    slot_->next = pool.head_;
    pool.head_ = slot_;
    ++pool.free_;
}

PacketPool::PacketPool(MutableBytes memory, DmaAddr dma) : memory_(memory.data()), dma_(dma) {
    const usize count = memory.size() / PacketBuffer::kSize;
    slots_ = new (std::nothrow) PacketBuffer::Slot[count];
    if (slots_ == nullptr) return;  // total() == 0 tells
    // Backwards, so that the first packets handed out are the lowest addresses.
    for (usize i = count; i-- != 0;) {
        slots_[i].pool = this;
        slots_[i].index = static_cast<u32>(i);
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
    slot->meta = {};
    return PacketBuffer(slot);
}

}  // namespace ringlet::net
