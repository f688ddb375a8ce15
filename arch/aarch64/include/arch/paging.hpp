// aarch64: stage 1 EL1&0 translation, 4 KiB granule, 48-bit addresses, TTBR0 only (Arm ARM D8).
// Identity-mapped. Context: thread or boot (one at a time: the caller holds the lock of whatever owns the
// range).
#pragma once

#include <span>

#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::arch {

enum class Access { read_only, read_write, read_execute };
enum class MemoryType { normal, device };

/// Virtual window for stacks with guard pages: 1 GiB where `virt` has neither RAM nor devices, in the same
/// level-0 entry as RAM so that it costs two table pages, not three.
inline constexpr std::uintptr_t kStackWindow = 0x7f'c000'0000;

/// Builds the final tables (W^X, page 0 unmapped) out of hooks::allocate_table_page() and switches to them.
/// The entry code's map covered RAM below 256 GiB. Errors: no_memory, invalid (RAM ranges overlap).
Result<> paging_init(std::span<const MmioRange> ram);

/// Maps [va, va + bytes) to pa; all page-aligned. Uses 2 MiB and 1 GiB blocks where alignment allows.
/// Errors: invalid (alignment, range), exists (part of it is mapped: nothing is changed then), no_memory.
Result<> map(std::uintptr_t va, PhysAddr pa, usize bytes, Access access, MemoryType type);
/// Unmaps what one or more map() calls mapped. Errors: invalid, not_found (a hole, or part of a block).
Result<> unmap(std::uintptr_t va, usize bytes);
/// Maps the pages around [pa, pa + bytes) as Device-nGnRE at their physical address; again is fine.
/// Errors: exists when any of it is RAM or the stack window.
Result<std::uintptr_t> map_device(PhysAddr pa, usize bytes);

}  // namespace ringlet::arch
