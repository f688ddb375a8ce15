// The kernel heap: size classes on top of the page allocator, large requests straight from it.
// Context: thread (not interrupt). Global operator new(std::nothrow) and delete use it; plain operator new
// panics when memory is out, so kernel code uses std::nothrow and checks.
#pragma once

#include <new>

#include "lib/types.hpp"

namespace ringlet::kernel {

struct HeapStats {
    u64 used_bytes = 0, reserved_bytes = 0, allocations = 0;
};

/// nullptr when memory is out. `align` is a power of two.
void* heap_allocate(usize bytes, usize align = alignof(std::max_align_t));
void heap_free(void* p);
usize heap_usable_size(const void* p);
HeapStats heap_stats();

}  // namespace ringlet::kernel
