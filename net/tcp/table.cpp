// Handles, hash and deadlines. Context: the network monitor.
#include "net/tcp/table.hpp"

#include <bit>
#include <new>

namespace ringlet::net::tcp {

// --- Slots --------------------------------------------------------------------------------------------------------

Slots::Slots(u32 capacity) : slots_(new (std::nothrow) Slot[capacity]) {
    if (!slots_) return;
    capacity_ = capacity;
    for (u32 i = capacity; i-- != 0;) {
        slots_[i].next_free = free_;
        free_ = i;
    }
}

std::optional<Handle> Slots::add(Socket& s) {
    if (free_ == kNone) return std::nullopt;
    s.slot = free_;
    Slot& slot = slots_[free_];
    free_ = slot.next_free;
    slot.socket = &s;
    return Handle{s.slot, slot.generation};
}

void Slots::remove(Socket& s) {
    if (s.slot == kNone) return;
    Slot& slot = slots_[s.slot];
    slot.socket = nullptr;
    ++slot.generation;
    slot.next_free = free_;
    free_ = s.slot;
    s.slot = kNone;
}

// --- HashTable ----------------------------------------------------------------------------------------------------

HashTable::HashTable(u32 capacity, const Secrets& secrets) : secrets_(secrets) {
    const u32 n = std::bit_ceil(std::max(capacity, 1u));
    buckets_.reset(new (std::nothrow) Entry* [n] {});
    mask_ = n - 1;
}

Entry* HashTable::search(const Endpoint& local, const Endpoint& remote) const {
    if (!buckets_) return nullptr;
    for (Entry* e = bucket(local, remote); e != nullptr; e = e->hash_next)
        if (e->is_between(local, remote)) return recent_ = e;
    return nullptr;
}

void HashTable::add(Entry& e) {
    Entry*& head = bucket(e.connection.local(), e.connection.remote());
    e.hash_next = head;
    head = &e;
    e.hashed = true;
}

void HashTable::remove(Entry& e) {
    if (!e.hashed) return;
    e.hashed = false;
    if (recent_ == &e) recent_ = nullptr;
    Entry** link = &bucket(e.connection.local(), e.connection.remote());
    while (*link != &e) link = &(*link)->hash_next;
    *link = e.hash_next;
}

// --- DeadlineHeap -------------------------------------------------------------------------------------------------

DeadlineHeap::DeadlineHeap(u32 capacity) : items_(new (std::nothrow) Item[capacity]) {
    if (items_) capacity_ = capacity;
}

void DeadlineHeap::place(u32 at, Item i) {
    items_[at] = i;
    i.entry->heap_index = at;
}

void DeadlineHeap::sift_up(u32 at, Item i) {
    while (at != 0 && i.key < items_[(at - 1) / 2].key) {
        place(at, items_[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(at, i);
}

void DeadlineHeap::sift_down(u32 at, Item i) {
    for (;;) {
        u32 child = 2 * at + 1;
        if (child >= size_) break;
        if (child + 1 < size_ && items_[child + 1].key < items_[child].key) ++child;
        if (i.key <= items_[child].key) break;
        place(at, items_[child]);
        at = child;
    }
    place(at, i);
}

/// `e` is not there, or later than `at`.
void DeadlineHeap::move_up(Entry& e, Instant at) {
    u32 from = e.heap_index;
    if (from == kNone) {
        ASSERT(size_ < capacity_);  // one item per connection, and connections are bounded by the same number
        from = size_++;
    }
    sift_up(from, {at, &e});
}

void DeadlineHeap::remove(Entry& e) {
    const u32 at = std::exchange(e.heap_index, kNone);
    if (at == kNone) return;
    const Item last = items_[--size_];
    if (at == size_) return;
    if (at != 0 && last.key < items_[(at - 1) / 2].key)
        sift_up(at, last);
    else
        sift_down(at, last);
}

Entry* DeadlineHeap::pop_due(Instant now) {
    if (size_ == 0 || items_[0].key > now) return nullptr;
    Entry* e = items_[0].entry;
    remove(*e);
    return e;
}

}  // namespace ringlet::net::tcp
