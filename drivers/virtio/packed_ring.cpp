// The packed ring: construction, pushing chains, the one place that believes the device. Virtio 1.2 §2.8.
//
// A batch becomes visible at once: its first descriptor gets its flags last, in publish(), and a device may look at no
// descriptor before the one in front of it is available (§2.8.2). Ids come from a free list; with IN_ORDER (§2.8.9)
// that list is a circle whose links never change, because chains come back in the order of push(). The device may then
// write one used descriptor for a whole batch, in place of the batch's first; `written` of the chains before the last
// is all that was writable, as the specification says ("assumed to have been used completely").
//
// A used length counts whether VIRTQ_DESC_F_WRITE is set in the used descriptor or not: §2.8.4 reserves it without the
// flag, but QEMU never sets the flag. A chain without writable bytes is clamped to 0 anyway.
#include "drivers/virtio/packed_ring.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace ringlet::virtio {

Result<PackedRing> PackedRing::create(const RingOptions& o) {
    if (!valid_size(o.size) || !o.packed) return fail(Error::invalid);
    IndirectPool tables = TRY(IndirectPool::create(o));
    auto memory = TRY(kernel::DmaRegion::allocate(footprint(o.size)));
    std::unique_ptr<Shadow[]> shadow(new (std::nothrow) Shadow[o.size]);
    if (!shadow) return fail(Error::no_memory);
    return PackedRing(o, std::move(memory), std::move(tables), std::move(shadow));
}

PackedRing::PackedRing(const RingOptions& options, kernel::DmaRegion memory, IndirectPool tables,
                       std::unique_ptr<Shadow[]> shadow)
    : options_(options), memory_(std::move(memory)), tables_(std::move(tables)), shadow_(std::move(shadow)),
      size_(options.size) {
    events_ = memory_.at<Events>(PackedLayout{size_}.driver());
    reset();
}

void PackedRing::reset() {
    std::memset(memory_.bytes().data(), 0, footprint(size_));
    for (u16 i = 0; i < size_; ++i) shadow_[i] = {.next = u16(i + 1 < size_ ? i + 1 : 0), .table = IndirectPool::kNone};
    tables_.reset();
    free_ = size_;
    free_id_ = in_flight_ = pending_ = pending_descs_ = oldest_ = 0;
    untold_ = 0;
    batch_last_ = kNoBatch;
    published_ = options_.first_index;
    next_ = used_at_ = options_.first_index % size_;
    avail_bits_ = kAvail;  // §2.8.1: both wrap counters begin with 1
    used_bits_ = kAvail | kUsed;
    position_ = u16(next_ | kUsed);
    // A ring that begins in its middle is one whose first descriptors were used in this lap already.
    for (u16 i = 0; i < next_; ++i) descs()[i].flags.store(used_bits_);
    broken_ = false;
}

QueueAddrs PackedRing::addrs() const {
    const PackedLayout layout{size_};
    return {memory_.addr(), memory_.addr(layout.driver()), memory_.addr(layout.device())};
}

std::optional<u16> PackedRing::push(std::span<const Segment> readable, std::span<const Segment> writable) {
    const usize count = readable.size() + writable.size();
    if (count == 0 || free_ == 0 || broken_) return std::nullopt;
    // With nothing in flight there can be nothing used. A lie about it would be overwritten here, and from then on the
    // device would be a descriptor ahead of us.
    if (in_flight_ == 0 && work_left()) return break_ring();
    const u16 table = tables_.take(count);
    if (table == IndirectPool::kNone && count > free_) return std::nullopt;
    const u16 id = free_id_;  // there is one: a chain has at least one descriptor
    Shadow& shadow = shadow_[id];
    free_id_ = shadow.next;
    if (table != IndirectPool::kNone)
        push_indirect(id, table, readable, writable);
    else
        push_direct(id, readable, writable);

    u64 bytes = 0;
    for (const Segment& s : writable) bytes += s.len;
    shadow.writable = u32(std::min<u64>(bytes, ~u32{0}));
    shadow.order = published_ + pending_;
    shadow.length = table != IndirectPool::kNone ? u16{1} : u16(count);
    shadow.table = table;
    free_ = u16(free_ - shadow.length);
    ++pending_;
    ++in_flight_;
    return id;
}

void PackedRing::push_direct(u16 id, std::span<const Segment> readable, std::span<const Segment> writable) {
    usize left = readable.size() + writable.size();
    for (const Segment& s : readable) place(s.addr.raw, s.len, id, --left != 0 ? kNext : u16{0});
    for (const Segment& s : writable) place(s.addr.raw, s.len, id, --left != 0 ? kNext | kWrite : kWrite);
}

void PackedRing::push_indirect(u16 id, u16 table, std::span<const Segment> readable,
                               std::span<const Segment> writable) {
    Desc* entry = tables_.table<Desc>(table);
    const auto fill = [&](const Segment& s, u16 flags) {
        entry->addr.store(s.addr.raw);
        entry->len.store(s.len);
        entry->id.store(0);
        entry->flags.store(flags);  // §2.8.7: WRITE is the only flag there is
        ++entry;
    };
    for (const Segment& s : readable) fill(s, 0);
    for (const Segment& s : writable) fill(s, kWrite);
    const usize count = readable.size() + writable.size();
    place(tables_.addr(table).raw, u32(count * sizeof(Desc)), id, kIndirect);
}

/// The next descriptor of the ring. The id matters in a chain's last one only (§2.8.6).
void PackedRing::place(u64 addr, u32 len, u16 id, u16 flags) {
    Desc& d = descs()[next_];
    d.addr.store(addr);
    d.len.store(len);
    d.id.store(id);
    flags = u16(flags | avail_bits_);
    if (pending_descs_++ == 0)
        first_ = next_, first_flags_ = flags;
    else
        d.flags.store(flags);
    if (++next_ == size_) next_ = 0, avail_bits_ ^= kAvail | kUsed;
}

/// The batch becomes visible.
void PackedRing::show() {
    published_ += std::exchange(pending_, u16{0});
    untold_ += std::exchange(pending_descs_, u16{0});
    position_ = u16(next_ | (avail_bits_ & kAvail) << 8);
    descs()[first_].flags.store(first_flags_, std::memory_order_release);  // §2.8.16: everything else before it
    std::atomic_thread_fence(std::memory_order_seq_cst);  // §2.8.20.1: flags before the device's events; pairs with the
                                                          // device's fence between its events and its read of flags
}

bool PackedRing::wants_kick() {
    untold_ = std::min(untold_, u32{size_} - free_);  // what is back was seen
    if (untold_ == 0) return false;
    const Events& e = *device_events();
    const u16 mode = e.flags.load(std::memory_order_acquire) & 3;  // the offset was written before
    bool wanted = mode != kDisable;
    if (mode == kAtDesc && options_.event_idx) {
        const u16 off_wrap = e.off_wrap.load();
        u16 event = u16(off_wrap & 0x7fff);
        if (((off_wrap ^ position_) & 0x8000) != 0) event = u16(event - size_);  // of the lap before
        wanted = u16(u16(position_ & 0x7fff) - event - 1) < untold_;
    }
    if (wanted) untold_ = 0;
    return wanted;
}

std::optional<Completion> PackedRing::take() {
    u16 id = oldest_;
    u32 written = batch_written_;
    if (batch_last_ == kNoBatch) {
        const Desc& d = descs()[used_at_];
        const u16 told = d.id.load();
        written = d.len.load();
        if (!with_device(told)) return break_ring();  // never index with a device's word, never free twice
        if (options_.in_order)
            batch_last_ = told, batch_written_ = written;
        else
            id = told;
    }
    if (options_.in_order) {
        oldest_ = shadow_[id].next;
        if (id == batch_last_)
            batch_last_ = kNoBatch;
        else
            written = shadow_[id].writable;
    }
    const Shadow& shadow = shadow_[id];
    const u32 length = std::min(written, shadow.writable);
    bad_used_ += written != length;
    const u32 after = u32{used_at_} + shadow.length;
    used_at_ = u16(after < size_ ? after : after - size_);
    if (after >= size_) used_bits_ ^= kAvail | kUsed;
    release(id);
    return Completion{id, length};
}

void PackedRing::release(u16 id) {
    Shadow& chain = shadow_[id];
    if (chain.table != IndirectPool::kNone) tables_.give_back(std::exchange(chain.table, IndirectPool::kNone));
    free_ = u16(free_ + std::exchange(chain.length, u16{0}));
    --in_flight_;
    if (!options_.in_order) chain.next = std::exchange(free_id_, id);
}

bool PackedRing::rearm_after(u16 chains) {
    // The device goes forward by descriptors; the event may lie anywhere in the chain that is waited for.
    const u16 out = u16(in_flight_ - pending_), descs_out = u16(size_ - free_ - pending_descs_);
    const u32 ahead = chains >= out ? descs_out : u32{descs_out} * chains / out;
    return rearm_at(u16(ahead > 1 ? ahead - 1 : 0));
}

bool PackedRing::rearm_at(u16 ahead) {
    if (broken_) return false;
    if (options_.event_idx) {
        const u32 at = u32{used_at_} + ahead;
        const bool next_lap = at >= size_;
        const bool wrap = ((used_bits_ & kUsed) != 0) != next_lap;
        driver_events()->off_wrap.store(u16((next_lap ? at - size_ : at) | (wrap ? 0x8000 : 0)));
        driver_events()->flags.store(kAtDesc, std::memory_order_release);  // after the offset it refers to
    } else {
        driver_events()->flags.store(kEnable);
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);  // §2.8.14: enable before the last look; pairs with the
                                                          // device's fence between a used descriptor and our events
    return work_left();
}

}  // namespace ringlet::virtio
