// The loader's memory map (entries of PVH and of Multiboot2 are the same, E820 types) turned into usable RAM. Pure:
// host-tested in tests/unit/arch. Every value comes from the loader and may be nonsense. Context: boot.
#pragma once

#include <span>

#include "arch/platform.hpp"
#include "lib/fixed_vector.hpp"

namespace ringlet::boot {

struct MemoryMapEntry {
    u64 addr;
    u64 size;
    u32 type;
    u32 reserved;
};
static_assert(sizeof(MemoryMapEntry) == 24);

inline constexpr u32 kMemoryMapRam = 1;

using RamList = FixedVector<arch::MmioRange, 64>;

/// RAM ranges: page-aligned inwards, ascending, merged, without page 0, without what any entry of another
/// type covers, below `limit`. `from` is sorted in place. What does not fit into the list (the smallest
/// ranges) is left out.
RamList usable_ram(std::span<MemoryMapEntry> from, u64 limit);

}  // namespace ringlet::boot
