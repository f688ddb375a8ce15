// Physical memory: a buddy allocator over every RAM region. O(log n). Context: thread or interrupt
// (spinlock).
//
// Boot order: page_allocator_init(), arch::paging_init() (takes table pages from here), then the heap works,
// then arch::irq_init(), arch::clock_init(), random_init(), scheduler_init(), threads. Log and panic work
// from the start. The state is in bitmaps outside the pages, half a byte per page: free memory is never
// touched, so a stray write into it cannot break the allocator, and every free is checked against what was
// really allocated.
#pragma once

#include <optional>
#include <span>

#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::kernel {

inline constexpr unsigned kMaxOrder = 18;  ///< 2^18 pages: 1 GiB

struct PageStats {
    u64 total_pages = 0, free_pages = 0;
    u64 free_blocks[kMaxOrder + 1] = {};
    u64 bad_frees = 0;  ///< double or foreign frees that were refused
    u64 damaged = 0;    ///< allocations that found free memory written to (page_poison.hpp)
};

/// Hands over all of `ram` (ascending, disjoint; others are left out) except `reserved` (any order) and page
/// 0. Bookkeeping is taken out of the regions themselves. Only memory below `mapped_limit` is mapped when
/// this runs: the bookkeeping lies below it, and pages below it are handed out first, so that translation
/// tables can be written. Calling it again starts afresh (host tests).
Result<> page_allocator_init(std::span<const arch::MmioRange> ram, std::span<const arch::MmioRange> reserved,
                             PhysAddr mapped_limit);

/// 2^order contiguous, naturally aligned pages, contents undefined. When there are none, those who can give memory back
/// are asked first (kernel/mm/pressure.hpp); the same for allocate_page_run().
Result<PhysAddr> allocate_pages(unsigned order);
/// A block that is not allocated with exactly this order is left alone and counted in bad_frees.
void free_pages(PhysAddr base, unsigned order);
/// `pages` contiguous pages (aligned to the next power of two), without rounding the memory used up to it.
Result<PhysAddr> allocate_page_run(usize pages);
void free_page_run(PhysAddr base, usize pages);
/// The order of the block that allocate_pages() returned at `base`; nothing if it returned none there.
std::optional<unsigned> allocation_order(PhysAddr base);
/// Gives memory that was reserved at boot (DTB, boot tables) to the allocator. Page-aligned inwards; pages
/// that are not in a region, or that the allocator has already, are counted in bad_frees.
void donate_pages(arch::MmioRange range);
/// All of [base, base + bytes) is RAM of one region, allocated or not.
bool is_ram(PhysAddr base, usize bytes);
PageStats page_stats();

// For the balloon, who lends memory to the host. None of these asks anybody to give memory back.

struct PageBlock {
    PhysAddr base;
    unsigned order = 0;
    u64 pages() const { return u64{1} << order; }
};
inline constexpr unsigned kReportOrder = 9;  ///< 2 MiB: what a host's page tables can forget in one piece

/// The largest free block of at most 2^max_order pages, from the highest region that has one: the caller's until
/// free_pages(). Nothing: no free page.
std::optional<PageBlock> take_largest_block(unsigned max_order);
/// Makes two allocated blocks of one: `block` of the next lower order stays at its place, its upper half is returned.
PageBlock split_block(PageBlock& block);
/// A free block of 2^kReportOrder pages or more (at most 2^max_order) of which the host was not told yet that its
/// contents are not needed: the caller's, who tells, and gives it back by return_reported(). Nothing: the host knows.
std::optional<PageBlock> take_unreported_block(unsigned max_order);
/// As free_pages(); remembers that the host knows, until the block, or part of it, is allocated.
void return_reported(PageBlock block);

}  // namespace ringlet::kernel
