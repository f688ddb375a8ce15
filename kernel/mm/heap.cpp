// The heap. Up to kLargestClass bytes: slabs of one page, a header (with a bitmap of free slots) and equal
// slots. Larger: whole blocks of pages. A slot never begins at a page boundary and a block always does, which
// is how a pointer tells the two apart. Frees of anything that is not an allocated slot or block panic.
// Context: thread.
#include "kernel/mm/heap.hpp"

#include <algorithm>
#include <bit>

#include "kernel/mm/page_allocator.hpp"
#include "kernel/mm/size_classes.hpp"
#include "kernel/panic.hpp"
#include "kernel/sync/spinlock.hpp"

namespace ringlet::kernel {

namespace {

struct Heap {
    struct Class {
        Slab* partial = nullptr;  ///< slabs with a free slot, circular; full ones are on no list
    } classes[kClassCount];
    HeapStats stats;
};
constinit Guarded<Heap, Rank::heap, Spinlock> heap;

void link(Slab*& head, Slab& slab) {
    if (head == nullptr) {
        slab.prev = slab.next = &slab;
    } else {
        slab.next = head;
        slab.prev = head->prev;
        head->prev->next = &slab;
        head->prev = &slab;
    }
    head = &slab;
}

void unlink(Slab*& head, Slab& slab) {
    if (slab.next == &slab) {
        head = nullptr;
    } else {
        slab.prev->next = slab.next;
        slab.next->prev = slab.prev;
        if (head == &slab) head = static_cast<Slab*>(slab.next);
    }
    slab.prev = slab.next = nullptr;
}

void release_slab(Heap& h, Slab& slab) {
    unlink(h.classes[slab.size_class].partial, slab);
    slab.magic = 0;
    h.stats.reserved_bytes -= kPageSize;
    free_pages(PhysAddr(reinterpret_cast<std::uintptr_t>(&slab)), 0);
}

// The one empty slab each class may keep goes back when memory is short.
bool release_empty_slabs(Heap& h) {
    bool any = false;
    for (auto& c : h.classes) {
        if (c.partial == nullptr) continue;
        auto* last = static_cast<Slab*>(c.partial->prev);
        if (last->used != 0) continue;
        release_slab(h, *last);
        any = true;
    }
    return any;
}

Result<PhysAddr> pages_for_heap(Heap& h, unsigned order) {
    auto page = allocate_pages(order);
    if (!page && release_empty_slabs(h)) page = allocate_pages(order);
    if (page) h.stats.reserved_bytes += kPageSize << order;
    return page;
}

Slab* new_slab(Heap& h, usize size_class) {
    const auto page = pages_for_heap(h, 0);
    if (!page) return nullptr;
    Slab& slab = *std::construct_at(reinterpret_cast<Slab*>(page->raw));
    slab.size_class = static_cast<u8>(size_class);
    slab.capacity = static_cast<u16>((kPageSize - kFirstSlot) / kClasses[size_class]);
    for (usize i = 0; i < slab.capacity; i += 64)
        slab.free[i / 64] = slab.capacity - i >= 64 ? ~u64{0} : (u64{1} << (slab.capacity - i)) - 1;
    link(h.classes[size_class].partial, slab);
    return &slab;
}

void* allocate_slot(Heap& h, usize size_class) {
    Slab* slab = h.classes[size_class].partial;
    if (slab == nullptr) slab = new_slab(h, size_class);
    if (slab == nullptr) return nullptr;
    usize word = 0;
    while (slab->free[word] == 0) ++word;
    const usize slot = word * 64 + static_cast<usize>(std::countr_zero(slab->free[word]));
    slab->free[word] &= slab->free[word] - 1;
    if (++slab->used == slab->capacity) unlink(h.classes[size_class].partial, *slab);
    h.stats.used_bytes += kClasses[size_class];
    return reinterpret_cast<std::byte*>(slab) + kFirstSlot + slot * kClasses[size_class];
}

void free_slot(Heap& h, SlotRef at) {
    Slab& slab = *at.slab;
    Slab*& partial = h.classes[slab.size_class].partial;
    slab.free[at.slot / 64] |= u64{1} << (at.slot % 64);
    h.stats.used_bytes -= kClasses[slab.size_class];
    if (slab.used-- == slab.capacity) link(partial, slab);
    if (slab.used != 0) return;
    if (partial->next != partial) release_slab(h, slab);  // others have room: do not keep an empty page as well
}

/// False: `p` is no allocated slot.
bool give_slot(Heap& h, void* p) {
    const SlotRef at = find_slot(p);
    if (at.slab == nullptr) return false;
    free_slot(h, at);
    --h.stats.allocations;
    return true;
}

}  // namespace

void* heap_allocate(usize bytes, usize align) {
    auto held = heap.lock();
    void* result = nullptr;
    if (align <= kFirstSlot && bytes <= kLargestClass) {
        usize c = kClassTable.index[(bytes + 15) / 16];
        while (c < kClassCount && kClasses[c] % align != 0) ++c;
        if (c < kClassCount) {
            result = allocate_slot(*held, c);
            if (result != nullptr) ++held->stats.allocations;
            return result;
        }
    }
    // Blocks are aligned to their own size.
    const usize least = std::max<usize>(bytes, align > kPageSize ? align : 1);
    const usize pages = (least - 1) / kPageSize;  // less one; cannot overflow
    if (pages >= (usize{1} << kMaxOrder)) return nullptr;
    const unsigned order = static_cast<unsigned>(std::bit_width(pages));
    const auto block = pages_for_heap(*held, order);
    if (!block) return nullptr;
    held->stats.used_bytes += kPageSize << order;
    ++held->stats.allocations;
    return reinterpret_cast<void*>(block->raw);
}

void heap_free(void* p) {
    if (p == nullptr) return;
    {
        auto held = heap.lock();
        const auto address = reinterpret_cast<std::uintptr_t>(p);
        if (address % kPageSize == 0) {
            if (const auto order = allocation_order(PhysAddr(address))) {
                free_pages(PhysAddr(address), *order);
                held->stats.used_bytes -= kPageSize << *order;
                held->stats.reserved_bytes -= kPageSize << *order;
                --held->stats.allocations;
                return;
            }
        } else if (give_slot(*held, p)) {
            return;
        }
    }
    panic("heap: free of something that is not allocated (freed twice?)");
}

usize heap_usable_size(const void* p) {
    const auto address = reinterpret_cast<std::uintptr_t>(p);
    if (p == nullptr) return 0;
    if (address % kPageSize == 0) {
        const auto order = allocation_order(PhysAddr(address));
        return order ? kPageSize << *order : 0;
    }
    const SlotRef at = find_slot(p);
    return at.slab != nullptr ? kClasses[at.slab->size_class] : 0;
}

usize heap_take(u8 size_class, std::span<void*> to) {
    auto held = heap.lock();
    usize count = 0;
    while (count < to.size() && (to[count] = allocate_slot(*held, size_class)) != nullptr) ++count;
    held->stats.allocations += count;
    return count;
}

void heap_give_back(std::span<void* const> slots) {
    auto held = heap.lock();
    for (void* const p : slots) give_slot(*held, p);
}

HeapStats heap_stats() {
    return heap.lock()->stats;
}

}  // namespace ringlet::kernel
