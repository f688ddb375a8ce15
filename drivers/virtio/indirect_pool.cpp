// Virtio 1.2 §2.7.5.3, §2.8.8: the tables of indirect descriptors, made once.
#include "drivers/virtio/indirect_pool.hpp"

#include <new>

namespace ringlet::virtio {

Result<IndirectPool> IndirectPool::create(const RingOptions& o) {
    IndirectPool pool;
    if (o.indirect_tables == 0) return pool;
    if (o.indirect_entries == 0) return fail(Error::invalid);
    pool.entries_ = std::min(o.indirect_entries, o.size);
    pool.tables_ = o.indirect_tables;
    pool.above_ = o.indirect_above;
    pool.memory_ = TRY(kernel::DmaRegion::allocate(pool.offset(pool.tables_)));
    pool.stack_.reset(new (std::nothrow) u16[pool.tables_]);
    if (!pool.stack_) return fail(Error::no_memory);
    pool.reset();
    return pool;
}

void IndirectPool::reset() {
    for (u16 i = 0; i < tables_; ++i) stack_[i] = i;
    free_ = tables_;
}

}  // namespace ringlet::virtio
