// Stacks in their own virtual window (arch::kStackWindow), each with at least one unmapped page below it, so
// that an overflow faults instead of writing into somebody else's memory. Context: thread; never on the stack
// being freed.
#pragma once

#include "lib/bytes.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::kernel {

struct Stack {
    std::uintptr_t base = 0;  ///< lowest mapped address
    usize bytes = 0;
    PhysAddr pages;
    MutableBytes memory() const { return {reinterpret_cast<std::byte*>(base), bytes}; }
};

/// `bytes` is rounded up to whole pages, at least two; at most 16 MiB. Contents undefined.
Result<Stack> allocate_stack(usize bytes);
void free_stack(const Stack& stack);
/// Gives the few stacks kept for reuse back to the page allocator.
void release_cached_stacks();

}  // namespace ringlet::kernel
