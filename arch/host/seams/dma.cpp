// kernel/mm/dma.hpp for host tests. A region's DmaAddr has nothing to do with its pointer: regions get
// successive made-up bus addresses with an unmapped page between them, so an address computed from a pointer,
// or a length that runs over the end, is caught by dma_to_pointer(). The memory comes from the allocator with
// exactly the size asked for, so AddressSanitizer sees the driver's own overruns.
#include "kernel/mm/dma.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "arch/host.hpp"
#include "kernel/mm/pressure.hpp"

namespace ringlet {

namespace {

struct Regions {
    std::mutex mutex;
    std::map<u64, MutableBytes> live;  // by bus address
    usize bytes = 0, limit = ~usize{0};
    u64 identity = 0, identity_bytes = 0;
    u64 next = 0x10'0000;  // low enough for the 32-bit page numbers of legacy virtio
};
Regions& regions() {
    static Regions& r = *new Regions;  // for ever: what was abandoned is not a leak of the test's
    return r;
}
bool take(usize bytes) {
    std::lock_guard lock(regions().mutex);
    if (regions().bytes + bytes > regions().limit) return false;
    regions().bytes += bytes;
    return true;
}

}  // namespace

namespace kernel {

Result<DmaRegion> DmaRegion::allocate(usize bytes, usize align) {
    if (bytes == 0 || !std::has_single_bit(align)) return fail(Error::invalid);
    align = std::max<usize>(align, kPageSize);
    while (!take(bytes))
        if (relieve_pressure((bytes + kPageSize - 1) / kPageSize, Pressure::exhausted) == 0)
            return fail(Error::no_memory);
    void* memory = nullptr;
    if (posix_memalign(&memory, align, bytes) != 0) return fail(Error::no_memory);
    std::memset(memory, 0, bytes);
    const MutableBytes region(static_cast<std::byte*>(memory), bytes);
    std::lock_guard lock(regions().mutex);
    const u64 addr = align_up<u64>(regions().next, align);
    regions().next = align_up<u64>(addr + bytes, kPageSize) + kPageSize;
    regions().live[addr] = region;
    return DmaRegion(region, DmaAddr(addr));
}

std::optional<DmaAddr> dma_address(Bytes memory) {
    std::lock_guard lock(regions().mutex);
    for (const auto& [base, region] : regions().live) {
        const u64 offset = reinterpret_cast<u64>(memory.data()) - reinterpret_cast<u64>(region.data());
        if (offset <= region.size() && memory.size() <= region.size() - offset) return DmaAddr(base + offset);
    }
    return std::nullopt;
}

DmaRegion::~DmaRegion() {
    if (bytes_.empty()) return;
    std::lock_guard lock(regions().mutex);
    regions().live.erase(addr_.raw);
    regions().bytes -= bytes_.size();
    std::free(bytes_.data());
}

}  // namespace kernel

std::byte* arch::host::dma_to_pointer(DmaAddr addr, usize bytes) {
    std::lock_guard lock(regions().mutex);
    if (addr.raw - regions().identity < regions().identity_bytes &&
        bytes <= regions().identity + regions().identity_bytes - addr.raw)
        return reinterpret_cast<std::byte*>(addr.raw);
    auto after = regions().live.upper_bound(addr.raw);
    if (after == regions().live.begin()) return nullptr;
    const auto& [base, region] = *std::prev(after);
    const u64 offset = addr.raw - base;
    if (offset > region.size() || region.size() - offset < bytes) return nullptr;
    return region.data() + offset;
}

void arch::host::map_dma_identity(u64 base, usize bytes) {
    std::lock_guard lock(regions().mutex);
    regions().identity = base;
    regions().identity_bytes = bytes;
}

void arch::host::limit_dma(usize bytes) {
    std::lock_guard lock(regions().mutex);
    regions().limit = bytes;
}

usize arch::host::live_dma_bytes() {
    std::lock_guard lock(regions().mutex);
    return regions().bytes;
}

usize arch::host::live_dma_regions() {
    std::lock_guard lock(regions().mutex);
    return regions().live.size();
}

}  // namespace ringlet
