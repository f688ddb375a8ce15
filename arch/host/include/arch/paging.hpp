// "Translation tables" on the host: devices are where they are (fake, see mmio.hpp); the stack window is real
// memory from mmap(), so that guard pages guard. Context: any.
#pragma once

#include <span>

#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::arch {

enum class Access { read_only, read_write, read_execute };
enum class MemoryType { normal, device };

inline constexpr std::uintptr_t kStackWindow = 0x2000'0000'0000;

Result<> paging_init(std::span<const MmioRange> ram);
/// Inside the stack window: fresh zeroed memory (not `pa`: the page allocator's page stays unused).
/// Elsewhere: nothing.
Result<> map(std::uintptr_t va, PhysAddr pa, usize bytes, Access access, MemoryType type);
Result<> unmap(std::uintptr_t va, usize bytes);
Result<std::uintptr_t> map_device(PhysAddr pa, usize bytes);

}  // namespace ringlet::arch
