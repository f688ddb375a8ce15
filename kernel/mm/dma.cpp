// Device memory from the page allocator. Memory is identity-mapped: a region's DMA address is its address.
// Context: thread.
#include "kernel/mm/dma.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernel/mm/page_allocator.hpp"

namespace ringlet::kernel {

namespace {
usize pages_of(usize bytes) {
    return bytes / kPageSize + (bytes % kPageSize != 0);
}
}  // namespace

Result<DmaRegion> DmaRegion::allocate(usize bytes, usize align) {
    if (bytes == 0 || !std::has_single_bit(align)) return fail(Error::invalid);
    const usize pages = pages_of(bytes);
    // A run is aligned to its size rounded up to a power of two; nobody asks for more.
    if (align > kPageSize && align > std::bit_ceil(pages) * kPageSize) return fail(Error::invalid);
    const PhysAddr base = TRY(allocate_page_run(pages));
    auto* const memory = reinterpret_cast<std::byte*>(base.raw);
    std::memset(memory, 0, pages * kPageSize);
    return DmaRegion(MutableBytes(memory, bytes), DmaAddr(base.raw));
}

std::optional<DmaAddr> dma_address(Bytes memory) {
    const u64 at = reinterpret_cast<u64>(memory.data());  // a stack's address is far from any RAM
    if (!is_ram(PhysAddr(at), memory.size())) return std::nullopt;
    return DmaAddr(at);
}

DmaRegion::~DmaRegion() {
    if (!bytes_.empty()) free_page_run(PhysAddr(addr_.raw), pages_of(bytes_.size()));
}

}  // namespace ringlet::kernel
