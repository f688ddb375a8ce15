// Finds writes to memory that was given back: with page_poison=1 on the kernel command line every free page is filled
// with a pattern, and looked at when it is handed out again. A page that was written to meanwhile, by us or by a
// device, is complained about, counted, and never used again. Costs a pass over each page at free and at allocation;
// off, one predicted branch. Used by page_allocator.cpp; the balloon tells the host of the pattern (virtio 1.2
// §5.5.6.6).
#pragma once

#include <optional>

#include "lib/strong.hpp"

namespace ringlet::kernel::poison {

/// What a free page is full of, as 32-bit words.
inline constexpr u32 kPattern = 0xaaaa'aaaa;

/// Fills all free memory, which must be mapped, and watches it from now on. Once, at boot; context: thread.
void start();
/// For host tests.
void stop();
/// The pattern, when there is one.
std::optional<u32> pattern();
/// Allocations that found free memory written to.
u64 damaged();

// For the page allocator.
extern bool on;
void fill(PhysAddr base, u64 pages);
/// False: written to since; counted and complained about.
bool intact(PhysAddr base, u64 pages);

}  // namespace ringlet::kernel::poison
