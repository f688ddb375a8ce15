// The window is 16384 slots of 64 KiB. A stack takes as many as it and one guard page need and lies at their
// upper end; what is below stays unmapped. A few freed stacks stay mapped for the next thread of the same
// size. Context: thread.
#include "kernel/mm/stack.hpp"

#include <algorithm>
#include <arch/paging.hpp>

#include "kernel/mm/page_allocator.hpp"
#include "kernel/sync/spinlock.hpp"

namespace ringlet::kernel {

namespace {

constexpr usize kSlotBytes = 65536;
constexpr usize kSlots = 1_GiB / kSlotBytes;
constexpr usize kMaxStack = 16_MiB;
constexpr usize kCached = 4;

struct Window {
    u64 used[kSlots / 64] = {};
    usize hint = 0;  ///< no free slot below it
    Stack cached[kCached];
    usize cached_count = 0;

    bool is_used(usize slot) const { return (used[slot / 64] >> (slot % 64) & 1) != 0; }
    void flip(usize first, usize count) {
        for (usize s = first; s < first + count; ++s) used[s / 64] ^= u64{1} << (s % 64);
    }
    Result<usize> take(usize count) {
        usize run = 0;
        for (usize s = hint; s < kSlots; ++s) {
            run = is_used(s) ? 0 : run + 1;
            if (run != count) continue;
            flip(s + 1 - count, count);
            if (count == 1) hint = s + 1;
            return s + 1 - count;
        }
        return fail(Error::no_space);
    }
    void give_back(usize first, usize count) {
        flip(first, count);
        hint = std::min(hint, first);
    }
};
constinit Guarded<Window, Rank::heap, Spinlock> window;

usize slots_for(usize bytes) {
    return (bytes + kPageSize + kSlotBytes - 1) / kSlotBytes;
}

void unmap_stack(const Stack& stack) {
    const usize slots = slots_for(stack.bytes);
    const usize end = (stack.base + stack.bytes - arch::kStackWindow) / kSlotBytes;
    // A stack that cannot be unmapped keeps its pages: they must not become somebody else's memory.
    if (!arch::unmap(stack.base, stack.bytes)) return;
    free_page_run(stack.pages, stack.bytes / kPageSize);
    window.lock()->give_back(end - slots, slots);
}

}  // namespace

Result<Stack> allocate_stack(usize bytes) {
    if (bytes > kMaxStack) return fail(Error::invalid);
    bytes = std::max(align_up(bytes, kPageSize), 2 * kPageSize);
    usize first;
    {
        auto held = window.lock();
        for (usize i = 0; i < held->cached_count; ++i) {
            if (held->cached[i].bytes != bytes) continue;
            const Stack stack = held->cached[i];
            held->cached[i] = held->cached[--held->cached_count];
            return stack;
        }
        first = TRY(held->take(slots_for(bytes)));
    }
    const usize slots = slots_for(bytes);
    auto pages = allocate_page_run(bytes / kPageSize);
    if (!pages) {
        release_cached_stacks();
        pages = allocate_page_run(bytes / kPageSize);
    }
    const std::uintptr_t base = arch::kStackWindow + (first + slots) * kSlotBytes - bytes;
    Result<> mapped = fail(Error::no_memory);
    if (pages) mapped = arch::map(base, *pages, bytes, arch::Access::read_write, arch::MemoryType::normal);
    if (!mapped) {
        if (pages) free_page_run(*pages, bytes / kPageSize);
        window.lock()->give_back(first, slots);
        return fail(mapped.error());
    }
    return Stack{base, bytes, *pages};
}

void free_stack(const Stack& stack) {
    {
        auto held = window.lock();
        if (held->cached_count < kCached && stack.bytes <= 65536) {
            held->cached[held->cached_count++] = stack;
            return;
        }
    }
    unmap_stack(stack);
}

void release_cached_stacks() {
    for (;;) {
        Stack stack;
        {
            auto held = window.lock();
            if (held->cached_count == 0) return;
            stack = held->cached[--held->cached_count];
        }
        unmap_stack(stack);
    }
}

}  // namespace ringlet::kernel
