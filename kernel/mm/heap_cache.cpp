#include "kernel/mm/heap_cache.hpp"

#include <algorithm>

#include "kernel/mm/heap.hpp"
#include "kernel/panic.hpp"
#include "kernel/random.hpp"

namespace ringlet::kernel {

namespace {

constinit u64 secret = 0;  ///< so that no content of a block looks like a mark

u64 mark_of(const void* p) {
    return reinterpret_cast<std::uintptr_t>(p) ^ secret;
}

/// How many slots of a class go to or from the heap at once: 2 KiB, kBatch of them at most.
constexpr usize kBatch = 16;
constexpr auto kMost = [] {
    std::array<u8, kClassCount> all{};
    for (usize c = 0; c < all.size(); ++c) all[c] = static_cast<u8>(std::clamp<usize>(2_KiB / kClasses[c], 1, kBatch));
    return all;
}();

}  // namespace

void* HeapCache::allocate(usize bytes) {
    if (bytes > kLargest) return nullptr;
    const u8 size_class = kClassTable.index[(bytes + 15) / 16];
    Bin& bin = bins_[size_class];
    Free* const slot = bin.first;
    if (slot == nullptr) return closed_ ? nullptr : refill(bin, size_class);
    bin.first = slot->next;
    --bin.count;
    slot->mark = 0;
    return slot;
}

void* HeapCache::refill(Bin& bin, u8 size_class) {
    void* slots[kBatch];
    const usize count = heap_take(size_class, std::span(slots).first(bin.batch));
    bin.batch = std::min<u8>(static_cast<u8>(bin.batch * 2), kMost[size_class]);
    if (count == 0) return nullptr;
    while (secret == 0) random_fill(std::as_writable_bytes(std::span(&secret, 1)));
    for (usize i = 1; i < count; ++i) {
        auto* slot = static_cast<Free*>(slots[i]);
        *slot = {bin.first, mark_of(slot)};
        bin.first = slot;
    }
    bin.count = static_cast<u8>(count - 1);
    return slots[0];
}

bool HeapCache::free(void* p) {
    const Slab* const slab = reinterpret_cast<std::uintptr_t>(p) % kPageSize != 0 ? find_slot(p).slab : nullptr;
    if (slab == nullptr || closed_) return false;
    const u8 size_class = slab->size_class;
    auto* slot = static_cast<Free*>(p);
    if (slot->mark == mark_of(slot) && secret != 0)
        panic("heap: free of something that is not allocated (freed twice?)");
    Bin& bin = bins_[size_class];
    if (bin.count >= 2 * kMost[size_class]) [[unlikely]]
        give_back(bin, kMost[size_class]);
    *slot = {bin.first, mark_of(slot)};
    bin.first = slot;
    ++bin.count;
    return true;
}

void HeapCache::give_back(Bin& bin, usize count) {
    while (count > 0) {
        void* slots[kBatch];
        const usize n = std::min(count, std::size(slots));
        for (usize i = 0; i < n; ++i) {
            slots[i] = bin.first;
            bin.first = bin.first->next;
            static_cast<Free*>(slots[i])->mark = 0;
        }
        heap_give_back(std::span(slots).first(n));
        bin.count = static_cast<u8>(bin.count - n);
        count -= n;
    }
}

void HeapCache::drain() {
    for (Bin& bin : bins_) give_back(bin, bin.count);
}

void HeapCache::close() {
    drain();
    closed_ = true;
}

}  // namespace ringlet::kernel
