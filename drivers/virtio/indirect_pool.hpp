// Tables of indirect descriptors (virtio 1.2 §2.7.5.3, §2.8.8), all allocated at the start: a request that uses one
// allocates nothing. Both layouts have 16 bytes per descriptor; what is in them is the ring's business.
// Context: the ring's lock.
#pragma once

#include <algorithm>
#include <memory>

#include "drivers/virtio/ring.hpp"
#include "kernel/mm/dma.hpp"

namespace ringlet::virtio {

class IndirectPool {
public:
    static constexpr u16 kNone = 0xffff;
    static constexpr usize kDescriptor = 16;

    IndirectPool() = default;
    /// `options.indirect_tables` tables of `options.indirect_entries`, but of at most `options.size`: no chain may be
    /// longer than its queue (§2.7.5.3.1, §2.8.19.1). Errors: invalid (tables without entries), no_memory.
    static Result<IndirectPool> create(const RingOptions& options);

    /// Descriptors per table; 0 when there are no tables.
    u16 entries() const { return entries_; }
    /// A table for a chain of `count`, or kNone: such a chain is not worth one, too long, or all are in use.
    u16 take(usize count) {
        if (count <= above_ || count > entries_ || free_ == 0) return kNone;
        return stack_[--free_];
    }
    void give_back(u16 table) { stack_[free_++] = table; }
    /// All tables free.
    void reset();

    template <class Desc> Desc* table(u16 table) const {
        static_assert(sizeof(Desc) == kDescriptor);
        return reinterpret_cast<Desc*>(memory_.bytes().data() + offset(table));
    }
    DmaAddr addr(u16 table) const { return memory_.addr(offset(table)); }

private:
    usize offset(u16 table) const { return usize{table} * entries_ * kDescriptor; }

    kernel::DmaRegion memory_;
    std::unique_ptr<u16[]> stack_;  ///< the free tables
    u16 entries_ = 0, tables_ = 0, free_ = 0, above_ = 0;
};

}  // namespace ringlet::virtio
