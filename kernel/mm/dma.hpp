// Memory a device may touch. The link seam: this header, two sources (the page allocator's in kernel/mm, the
// host's in arch/host, which hands out *translated* addresses so that a pointer passed off as a DmaAddr fails
// in a host test).
#pragma once

#include <optional>
#include <utility>

#include "lib/assert.hpp"
#include "lib/bytes.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::kernel {

/// A zeroed, physically contiguous region, freed with the object. Context: thread.
class DmaRegion {
public:
    DmaRegion() = default;
    static Result<DmaRegion> allocate(usize bytes, usize align = kPageSize);
    DmaRegion(DmaRegion&& o) noexcept : bytes_(std::exchange(o.bytes_, {})), addr_(o.addr_) {}
    DmaRegion& operator=(DmaRegion&& o) noexcept {
        std::swap(bytes_, o.bytes_);
        std::swap(addr_, o.addr_);
        return *this;
    }
    ~DmaRegion();
    /// Never freed: for memory that a device may still access although nobody listens any more.
    void abandon() { bytes_ = {}; }

    MutableBytes bytes() const { return bytes_; }
    DmaAddr addr(usize offset = 0) const {
        ASSERT(offset <= bytes_.size());
        return addr_ + offset;
    }
    template <class T> T* at(usize offset) const {
        ASSERT(offset + sizeof(T) <= bytes_.size() && (addr_.raw + offset) % alignof(T) == 0);
        return reinterpret_cast<T*>(bytes_.data() + offset);
    }

private:
    DmaRegion(MutableBytes bytes, DmaAddr addr) : bytes_(bytes), addr_(addr) {}
    MutableBytes bytes_;
    DmaAddr addr_;
};

/// The device's name for memory that it may read: RAM at its own address, the image included. Nothing for thread stacks
/// and device registers. Context: any.
std::optional<DmaAddr> dma_address(Bytes memory);

}  // namespace ringlet::kernel
