// Translation tables: identity map of RAM and devices with W^X, and a window of its own for stacks.
// Context: thread or boot; not interrupts. One CPU: no shoot-down yet.
#pragma once

#include <span>

#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::arch {

enum class Access : u8 { read_only, read_write, read_execute };
enum class MemoryType : u8 { normal, device };

/// Stacks live here, guard pages between them; 1 GiB, far above any physical address in use.
inline constexpr std::uintptr_t kStackWindow = 0x6000'0000'0000;

/// Turns the permissive boot tables into the final ones, in place: text r-x, rodata r--, all other RAM rw- and never
/// executable, page 0 and everything that is not in `ram` unmapped. `ram`: page-aligned, ascending, not overlapping.
/// Takes pages from hooks::allocate_table_page() (one per partly used 2 MiB).
Result<> paging_init(std::span<const MmioRange> ram);

/// Maps whole pages. `exists` when any of them is mapped already (nothing is changed then), `invalid` for unaligned or
/// impossible addresses, `no_memory` when a table cannot be allocated.
Result<> map(std::uintptr_t va, PhysAddr pa, usize bytes, Access access, MemoryType type);
/// Unmaps whole pages; those not mapped are passed over. Fails with `no_memory` when a large page must be split and
/// cannot be.
Result<> unmap(std::uintptr_t va, usize bytes);
/// Maps the pages around [pa, pa + bytes) uncacheable at their physical address and returns pa. Idempotent; what is
/// mapped already (RAM, too) stays as it is.
Result<std::uintptr_t> map_device(PhysAddr pa, usize bytes);

}  // namespace ringlet::arch
