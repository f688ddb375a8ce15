// Physical memory: a buddy allocator over every RAM region. O(log n). Context: thread or interrupt (spinlock).
#pragma once

#include <span>

#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::kernel {

inline constexpr unsigned kMaxOrder = 18;  ///< 2^18 pages: 1 GiB

struct PageStats {
    u64 total_pages = 0, free_pages = 0;
    u64 free_blocks[kMaxOrder + 1] = {};
    u64 bad_frees = 0;                 ///< double or foreign frees that were refused
};

/// Hands over all of `ram` except `reserved`. Bookkeeping is taken out of the regions themselves.
/// Only memory below `mapped_limit` is mapped when this runs; bookkeeping must lie below it.
Result<> page_allocator_init(std::span<const arch::MmioRange> ram, std::span<const arch::MmioRange> reserved,
                             PhysAddr mapped_limit);

/// 2^order contiguous, naturally aligned pages, contents undefined.
Result<PhysAddr> allocate_pages(unsigned order);
void free_pages(PhysAddr base, unsigned order);
/// Gives memory that was reserved at boot (DTB, boot tables) to the allocator. Page-aligned inwards.
void donate_pages(arch::MmioRange range);
PageStats page_stats();

}  // namespace ringlet::kernel
