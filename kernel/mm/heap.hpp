// The kernel heap: size classes on top of the page allocator, large requests straight from it.
// Context: thread (not interrupt). Global operator new(std::nothrow) and delete use it; plain operator new
// panics when memory is out, so kernel code uses std::nothrow and checks.
#pragma once

#include <new>
#include <span>

#include "lib/types.hpp"

namespace ringlet::kernel {

struct HeapStats {
    u64 used_bytes = 0, reserved_bytes = 0, allocations = 0;
};

/// nullptr when memory is out. `align` is a power of two.
void* heap_allocate(usize bytes, usize align = alignof(std::max_align_t));
void heap_free(void* p);
usize heap_usable_size(const void* p);

// For HeapCache (heap_cache.hpp): many slots under one lock. A class is an index of kClasses (size_classes.hpp).
/// Slots of one class, as many as there are up to to.size(). Returns how many.
usize heap_take(u8 size_class, std::span<void*> to);
void heap_give_back(std::span<void* const> slots);
HeapStats heap_stats();

}  // namespace ringlet::kernel
