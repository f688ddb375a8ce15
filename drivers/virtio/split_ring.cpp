// The split ring's slower half: construction, pushing chains, giving descriptors back. Virtio 1.2 §2.7.5, §2.7.13.
#include "drivers/virtio/split_ring.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace ringlet::virtio {

Result<SplitRing> SplitRing::create(const RingOptions& o) {
    if (!valid_size(o.size) || o.packed || (o.indirect_tables != 0 && o.indirect_entries == 0))
        return fail(Error::invalid);
    if (o.legacy_entries != 0 && (!valid_size(o.legacy_entries) || o.legacy_entries < o.size))
        return fail(Error::invalid);
    auto memory = TRY(kernel::DmaRegion::allocate(layout_of(o).bytes()));
    kernel::DmaRegion tables;
    if (o.indirect_tables != 0) {
        tables = TRY(kernel::DmaRegion::allocate(usize{o.indirect_tables} * o.indirect_entries * sizeof(Desc)));
    }
    std::unique_ptr<Shadow[]> shadow(new (std::nothrow) Shadow[o.size]);
    std::unique_ptr<u16[]> stack(o.indirect_tables != 0 ? new (std::nothrow) u16[o.indirect_tables] : nullptr);
    if (!shadow || (o.indirect_tables != 0 && !stack)) return fail(Error::no_memory);
    return SplitRing(o, std::move(memory), std::move(tables), std::move(shadow), std::move(stack));
}

SplitRing::SplitRing(const RingOptions& options, kernel::DmaRegion memory, kernel::DmaRegion tables,
                     std::unique_ptr<Shadow[]> shadow, std::unique_ptr<u16[]> table_stack)
    : options_(options), memory_(std::move(memory)), tables_(std::move(tables)), shadow_(std::move(shadow)),
      table_stack_(std::move(table_stack)), size_(options.size), mask_(u16(layout_of(options).n - 1)) {
    const SplitLayout layout = layout_of(options);
    avail_ = memory_.at<Shared<u16>>(layout.avail());
    used_ = memory_.at<Shared<u16>>(layout.used());
    reset();
}

void SplitRing::reset() {
    std::memset(memory_.bytes().data(), 0, layout_of(options_).bytes());
    for (u16 i = 0; i < size_; ++i) shadow_[i] = {.next = u16(i + 1), .table = kNoTable};
    for (u16 i = 0; i < options_.indirect_tables; ++i) table_stack_[i] = i;
    free_ = size_;
    free_head_ = in_flight_ = pending_ = 0;
    tables_free_ = options_.indirect_tables;
    avail_idx_ = used_idx_ = used_seen_ = options_.first_index;
    avail_idx_word()->store(avail_idx_);
    used_idx_word()->store(used_idx_);
    if (options_.event_idx) {
        used_event()->store(used_idx_);
        avail_event()->store(avail_idx_);
    }
    broken_ = false;
}

QueueAddrs SplitRing::addrs() const {
    const SplitLayout layout = layout_of(options_);
    return {memory_.addr(), memory_.addr(layout.avail()), memory_.addr(layout.used()), options_.legacy_entries};
}

std::optional<u16> SplitRing::push(std::span<const Segment> readable, std::span<const Segment> writable) {
    const usize count = readable.size() + writable.size();
    if (count == 0 || free_ == 0 || broken_) return std::nullopt;
    const bool fits_table = tables_free_ != 0 && count <= options_.indirect_entries;
    u16 head;
    if (count > options_.indirect_above && fits_table)
        head = push_indirect(readable, writable);
    else if (count <= free_)
        head = push_direct(readable, writable);
    else
        return std::nullopt;

    u64 bytes = 0;
    for (const Segment& s : writable) bytes += s.len;
    shadow_[head].writable = u32(std::min<u64>(bytes, ~u32{0}));
    avail_ring()[u16(avail_idx_ + pending_) & mask_].store(head);
    ++pending_;
    ++in_flight_;
    return head;
}

u16 SplitRing::push_direct(std::span<const Segment> readable, std::span<const Segment> writable) {
    const u16 head = free_head_;
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
    shadow_[head].table = kNoTable;
    return head;
}

u16 SplitRing::push_indirect(std::span<const Segment> readable, std::span<const Segment> writable) {
    const u16 table = table_stack_[--tables_free_];
    const usize offset = usize{table} * options_.indirect_entries * sizeof(Desc);
    auto* entries = reinterpret_cast<Desc*>(tables_.bytes().data() + offset);
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
    const u16 head = free_head_;
    Desc& d = descs()[head];
    d.addr.store(tables_.addr(offset).raw);
    d.len.store(u32(count * sizeof(Desc)));
    d.flags.store(kIndirect);  // §2.7.5.3.1: never together with NEXT; WRITE is ignored
    d.next.store(0);
    free_head_ = shadow_[head].next;
    --free_;
    shadow_[head].tail = head;
    shadow_[head].chain = 1;
    shadow_[head].table = table;
    return head;
}

/// Re-reads used.idx. False when nothing is new, or when it moved by more than is in flight.
bool SplitRing::look() {
    const u16 idx = used_idx_word()->load(std::memory_order_acquire);  // pairs with the device's release of used.idx
    const u16 published = u16(in_flight_ - pending_);
    if (u16(idx - used_idx_) > published) {
        break_ring();
        return false;
    }
    used_seen_ = idx;
    return idx != used_idx_;
}

void SplitRing::release(u16 id) {
    Shadow& head = shadow_[id];
    if (head.table != kNoTable) table_stack_[tables_free_++] = std::exchange(head.table, kNoTable);
    free_ = u16(free_ + std::exchange(head.chain, u16{0}));
    shadow_[head.tail].next = std::exchange(free_head_, id);
    --in_flight_;
}

}  // namespace ringlet::virtio
