// The split ring's slower half: construction, pushing chains of several pieces, IN_ORDER. Virtio 1.2 §2.7.5, §2.7.13.
//
// IN_ORDER (§2.7.9): chains come back in the order of push(), so that descriptors are given out in table order for ever
// (§2.7.5.2) and releasing one changes no link. The device may write one used entry for a whole batch: it names the
// last chain and lies where the first one's entry would be. Of the chains before the last no length is told; the
// specification says that they "are assumed to have been used completely", so `written` is all that was writable.
#include "drivers/virtio/split_ring.hpp"

#include <cstring>
#include <new>

namespace ringlet::virtio {

Result<SplitRing> SplitRing::create(const RingOptions& o) {
    if (!valid_size(o.size) || o.packed) return fail(Error::invalid);
    if (o.legacy_entries != 0 && (!valid_size(o.legacy_entries) || o.legacy_entries < o.size))
        return fail(Error::invalid);
    IndirectPool tables = TRY(IndirectPool::create(o));
    auto memory = TRY(kernel::DmaRegion::allocate(layout_of(o).bytes()));
    std::unique_ptr<Shadow[]> shadow(new (std::nothrow) Shadow[o.size]);
    if (!shadow) return fail(Error::no_memory);
    return SplitRing(o, std::move(memory), std::move(tables), std::move(shadow));
}

SplitRing::SplitRing(const RingOptions& options, kernel::DmaRegion memory, IndirectPool tables,
                     std::unique_ptr<Shadow[]> shadow)
    : options_(options), memory_(std::move(memory)), tables_(std::move(tables)), shadow_(std::move(shadow)),
      size_(options.size), mask_(u16(layout_of(options).n - 1)) {
    const SplitLayout layout = layout_of(options);
    avail_ = memory_.at<Shared<u16>>(layout.avail());
    used_ = memory_.at<Shared<u16>>(layout.used());
    reset();
}

void SplitRing::reset() {
    std::memset(memory_.bytes().data(), 0, layout_of(options_).bytes());
    for (u16 i = 0; i < size_; ++i) shadow_[i] = {.next = u16((i + 1) & (size_ - 1)), .table = IndirectPool::kNone};
    tables_.reset();
    free_ = size_;
    free_head_ = in_flight_ = pending_ = oldest_ = 0;
    batch_last_ = kNoBatch;
    published_ = told_ = used_idx_ = used_seen_ = options_.first_index;
    avail_idx_word()->store(used_idx_);
    used_idx_word()->store(used_idx_);
    if (options_.event_idx) {
        used_event()->store(used_idx_);
        avail_event()->store(used_idx_);
    }
    broken_ = false;
}

QueueAddrs SplitRing::addrs() const {
    const SplitLayout layout = layout_of(options_);
    return {memory_.addr(), memory_.addr(layout.avail()), memory_.addr(layout.used()), options_.legacy_entries};
}

std::optional<u16> SplitRing::push_chain(std::span<const Segment> readable, std::span<const Segment> writable) {
    const usize count = readable.size() + writable.size();
    if (count == 0 || free_ == 0 || broken_) return std::nullopt;
    const u16 table = tables_.take(count);
    if (table == IndirectPool::kNone && count > free_) return std::nullopt;
    const u16 head = free_head_;
    if (table != IndirectPool::kNone)
        push_indirect(head, table, readable, writable);
    else
        push_direct(head, readable, writable);

    u64 bytes = 0;
    for (const Segment& s : writable) bytes += s.len;
    return enlist(head, u32(std::min<u64>(bytes, ~u32{0})));
}

void SplitRing::push_direct(u16 head, std::span<const Segment> readable, std::span<const Segment> writable) {
    const usize count = readable.size() + writable.size();
    u16 at = head, tail = head;
    for (usize i = 0; i < count; ++i) {
        const bool to_device = i < readable.size();
        const Segment& s = to_device ? readable[i] : writable[i - readable.size()];
        const bool last = i + 1 == count;
        Desc& d = descs()[at];
        d.addr.store(s.addr.raw);
        d.len.store(s.len);
        d.flags.store(u16((to_device ? 0 : kWrite) | (last ? 0 : kNext)));
        d.next.store(last ? u16{0} : shadow_[at].next);
        tail = at;
        at = shadow_[at].next;
    }
    free_head_ = at;
    free_ = u16(free_ - count);
    shadow_[head].tail = tail;
    shadow_[head].chain = u16(count);
    shadow_[head].table = IndirectPool::kNone;
}

void SplitRing::push_indirect(u16 head, u16 table, std::span<const Segment> readable,
                              std::span<const Segment> writable) {
    Desc* entries = tables_.table<Desc>(table);
    const usize count = readable.size() + writable.size();
    for (usize i = 0; i < count; ++i) {
        const bool to_device = i < readable.size();
        const Segment& s = to_device ? readable[i] : writable[i - readable.size()];
        const bool last = i + 1 == count;
        entries[i].addr.store(s.addr.raw);
        entries[i].len.store(s.len);
        entries[i].flags.store(u16((to_device ? 0 : kWrite) | (last ? 0 : kNext)));
        entries[i].next.store(last ? u16{0} : u16(i + 1));
    }
    Desc& d = descs()[head];
    d.addr.store(tables_.addr(table).raw);
    d.len.store(u32(count * sizeof(Desc)));
    d.flags.store(kIndirect);  // §2.7.5.3.1: never together with NEXT; WRITE is ignored
    d.next.store(0);
    free_head_ = shadow_[head].next;
    --free_;
    shadow_[head].tail = head;
    shadow_[head].chain = 1;
    shadow_[head].table = table;
}

/// The oldest chain; the device's word is only asked for at the beginning of a batch.
std::optional<Completion> SplitRing::take_in_order() {
    if (batch_last_ == kNoBatch) {
        const UsedElem& e = used_ring()[used_idx_ & mask_];
        const u32 id = e.id.load();
        // The batch must be covered by used.idx: `order` is the chain's place in it.
        if (!with_device(id) || u16(shadow_[id].order - used_idx_) >= u16(used_seen_ - used_idx_)) return break_ring();
        batch_last_ = id;
        batch_written_ = e.len.load();
    }
    const u16 id = oldest_;
    Shadow& shadow = shadow_[id];
    u32 length = shadow.writable;
    if (id == batch_last_) {
        batch_last_ = kNoBatch;
        length = std::min(batch_written_, shadow.writable);
        bad_used_ += length != batch_written_;
    }
    __atomic_store_n(&used_idx_, u16(used_idx_ + 1), __ATOMIC_RELAXED);
    oldest_ = u16((oldest_ + shadow.chain) & (size_ - 1));
    release(id);
    return Completion{id, length};
}

}  // namespace ringlet::virtio
