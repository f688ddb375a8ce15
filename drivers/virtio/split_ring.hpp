// The split virtqueue, driver's half: virtio 1.2 §2.7, with EVENT_IDX (§2.7.7, §2.7.10), IN_ORDER (§2.7.9) and indirect
// descriptors (§2.7.5.3). Nothing that we wrote into shared memory is ever read back: a device may rewrite descriptors
// as it likes, the private shadow is what counts. Context: one lock; suppress() alone may also come from an interrupt
// meanwhile.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "drivers/virtio/indirect_pool.hpp"
#include "drivers/virtio/ring.hpp"
#include "kernel/mm/dma.hpp"
#include "lib/shared.hpp"

namespace ringlet::virtio {

/// Offsets inside one allocation (§2.7: 16-, 2- and 4-byte alignment; §2.7.2: legacy devices find the used part at the
/// next page boundary); a value, so that it can be asserted on.
struct SplitLayout {
    u16 n = 0;
    usize used_align = 4;
    static constexpr usize kLegacyAlign = 4096;
    constexpr usize avail() const { return usize{16} * n; }
    constexpr usize used() const { return align_up(avail() + 6 + usize{2} * n, used_align); }
    constexpr usize bytes() const { return used() + 6 + usize{8} * n; }
};
static_assert(SplitLayout{256}.avail() == 4096 && SplitLayout{256}.used() == 4616);
static_assert(SplitLayout{256}.bytes() == 6670 && SplitLayout{1}.used() % 4 == 0);
static_assert(SplitLayout{256, SplitLayout::kLegacyAlign}.used() == 8192);

class SplitRing {
public:
    struct Desc {
        Shared<u64> addr;
        Shared<u32> len;
        Shared<u16> flags;
        Shared<u16> next;
    };
    struct UsedElem {
        Shared<u32> id;
        Shared<u32> len;
    };
    static_assert(sizeof(Desc) == 16 && sizeof(UsedElem) == 8);
    static constexpr u16 kNext = 1, kWrite = 2, kIndirect = 4;  // VIRTQ_DESC_F_*
    static constexpr u16 kNoInterrupt = 1, kNoNotify = 1;       // VIRTQ_AVAIL_F_*, VIRTQ_USED_F_*

    static constexpr bool valid_size(u16 n) { return n != 0 && n <= 32768 && (n & (n - 1)) == 0; }
    static constexpr usize footprint(u16 n) { return SplitLayout{n}.bytes(); }

    /// All memory the ring will ever need. Errors: invalid (a size the layout forbids, or RING_PACKED), no_memory.
    /// Context: thread.
    static Result<SplitRing> create(const RingOptions& options);
    SplitRing(SplitRing&&) noexcept = default;
    SplitRing& operator=(SplitRing&&) noexcept = default;

    /// Descriptors in use: the layout of §2.7.2 may have more, a legacy device decides how many.
    u16 size() const { return size_; }
    u16 free() const { return free_; }
    u16 in_flight() const { return in_flight_; }
    bool broken() const { return broken_; }
    u64 bad_used() const { return bad_used_; }
    QueueAddrs addrs() const;
    /// The longest chain that push() can ever accept: no chain may be longer than its queue (§2.7.5.3.1).
    u16 max_segments() const { return size_; }

    /// Puts a chain into the ring; the device sees it at the next publish(). Nothing, and nothing changed, when it does
    /// not fit now (or is empty). The segments must stay DMA-able until pop() returns the id.
    std::optional<u16> push(std::span<const Segment> readable, std::span<const Segment> writable) {
        if (readable.size() + writable.size() != 1) return push_chain(readable, writable);
        return readable.empty() ? push_one(writable.front(), kWrite) : push_one(readable.front(), 0);
    }

    /// Makes what was pushed visible and says whether the device wants a kick: for that, or late for what was published
    /// since the last one (see Ring).
    bool publish() {
        if (pending_ != 0) {
            published_ += std::exchange(pending_, u16{0});
            avail_idx_word()->store(u16(published_), std::memory_order_release);  // §2.7.13.3.1: descriptors before idx
            // §2.7.13.4.1: idx before flags/avail_event; pairs with the device's between its event and its idx read.
            std::atomic_thread_fence(std::memory_order_seq_cst);
        }
        // What is back was seen. This is never less than the batch, so no bell that §2.7.10 asks for is left out.
        const u32 untold = std::min<u32>(published_ - told_, in_flight_);
        if (untold == 0) return false;
        const bool wanted = options_.event_idx ? u16(u16(published_) - avail_event()->load() - 1) < untold  // wrap-safe
                                               : (used_flags()->load() & kNoNotify) == 0;
        if (wanted) told_ = published_;
        return wanted;
    }

    u16 position() const { return u16(published_); }

    /// The next chain that the device has finished. A lie breaks the ring; the length is clamped and the clamp counted.
    std::optional<Completion> pop() {
        if (broken_ || (used_idx_ == used_seen_ && !look())) return std::nullopt;
        return take();
    }

    /// Asks the device not to interrupt. A hint: an interrupt may come all the same. One store, no private state.
    void suppress() {
        if (options_.event_idx) {
            // Behind the device: the next hit is a whole wrap away.
            used_event()->store(u16(__atomic_load_n(&used_idx_, __ATOMIC_RELAXED) - 1));
        } else {
            avail_flags()->store(kNoInterrupt);
        }
    }

    /// Asks for an interrupt at the next completion. True: one came before the request was visible, so look again.
    bool rearm() { return rearm_at(used_idx_); }
    /// Asks for one interrupt when `chains` of those in flight are done. True: the first is done already, look again.
    bool rearm_after(u16 chains) {
        const u16 most = std::min(chains, u16(in_flight_ - pending_));
        return rearm_at(u16(used_idx_ + (most > 1 ? most - 1 : 0)));
    }

    /// The state of a fresh ring. Only after the device was reset: it must not touch the memory any more.
    void reset();

private:
    struct Shadow {
        u32 writable = 0;  ///< bytes the device may write in the chain that starts here
        u32 order = 0;     ///< how many chains were pushed before it
        u16 next = 0;      ///< free list, or the chain's next descriptor
        u16 tail = 0;      ///< last descriptor of the chain that starts here
        u16 chain = 0;     ///< descriptors of the chain that starts here; 0: not the head of a chain in flight
        u16 table = 0;     ///< its indirect table, or IndirectPool::kNone
    };
    static_assert(sizeof(Shadow) == 16);
    static constexpr u32 kNoBatch = ~u32{0};

    SplitRing(const RingOptions& options, kernel::DmaRegion memory, IndirectPool tables,
              std::unique_ptr<Shadow[]> shadow);
    /// Re-reads used.idx. False when nothing is new, or when it moved by more than the device has.
    bool look() {
        const u16 idx = used_idx_word()->load(std::memory_order_acquire);  // pairs with the device's release
        if (u16(idx - used_idx_) > u16(in_flight_ - pending_)) [[unlikely]]
            return break_ring(), false;
        used_seen_ = idx;
        return idx != used_idx_;
    }
    /// One chain that used.idx covers.
    [[gnu::always_inline]] std::optional<Completion> take() {
        if (options_.in_order) return take_in_order();
        const UsedElem& e = used_ring()[used_idx_ & mask_];
        const u32 id = e.id.load(), written = e.len.load();
        if (!with_device(id)) [[unlikely]]
            return break_ring();  // never index with a device's word, never free twice
        __atomic_store_n(&used_idx_, u16(used_idx_ + 1), __ATOMIC_RELAXED);  // suppress() may read it meanwhile
        const u32 length = std::min(written, shadow_[id].writable);
        bad_used_ += written != length;
        release(u16(id));
        return Completion{u16(id), length};
    }
    std::optional<Completion> take_in_order();
    bool with_device(u32 id) const {
        return id < size_ && shadow_[id].chain != 0 && u32(shadow_[id].order - published_) >= pending_;
    }
    void release(u16 id) {
        Shadow& head = shadow_[id];
        if (head.table != IndirectPool::kNone) tables_.give_back(std::exchange(head.table, IndirectPool::kNone));
        free_ = u16(free_ + std::exchange(head.chain, u16{0}));
        --in_flight_;
        if (options_.in_order) return;  // the links stay the circle they are
        shadow_[head.tail].next = std::exchange(free_head_, id);
    }
    [[gnu::cold]] std::nullopt_t break_ring() {
        broken_ = true;
        ++bad_used_;
        return std::nullopt;
    }
    /// What a network device is mostly given: no loops, and no table would be worth it.
    std::optional<u16> push_one(const Segment& s, u16 flags) {
        if (free_ == 0 || broken_) [[unlikely]]
            return std::nullopt;
        const u16 head = free_head_;
        Shadow& shadow = shadow_[head];
        Desc& d = descs()[head];
        d.addr.store(s.addr.raw);
        d.len.store(s.len);
        d.flags.store(flags);
        d.next.store(0);
        free_head_ = shadow.next;
        --free_;
        shadow.tail = head;
        shadow.chain = 1;
        shadow.table = IndirectPool::kNone;
        return enlist(head, flags == kWrite ? s.len : 0);
    }
    std::optional<u16> push_chain(std::span<const Segment> readable, std::span<const Segment> writable);
    /// The chain at `head` is next in the available ring.
    u16 enlist(u16 head, u32 writable) {
        Shadow& shadow = shadow_[head];
        shadow.writable = writable;
        shadow.order = published_ + pending_;
        avail_ring()[shadow.order & mask_].store(head);
        ++pending_;
        ++in_flight_;
        return head;
    }
    void push_direct(u16 head, std::span<const Segment> readable, std::span<const Segment> writable);
    void push_indirect(u16 head, u16 table, std::span<const Segment> readable, std::span<const Segment> writable);

    bool rearm_at(u16 event) {
        if (broken_) return false;
        if (options_.event_idx)
            used_event()->store(event);
        else
            avail_flags()->store(0);
        std::atomic_thread_fence(std::memory_order_seq_cst);  // §2.7.14: enable before the last look; pairs with the
                                                              // device's fence between used.idx and used_event
        return used_idx_ != used_idx_word()->load(std::memory_order_acquire);
    }

    static SplitLayout layout_of(const RingOptions& o) {
        if (o.legacy_entries != 0) return {o.legacy_entries, SplitLayout::kLegacyAlign};
        return {o.size};
    }
    Desc* descs() const { return reinterpret_cast<Desc*>(memory_.bytes().data()); }
    Shared<u16>* avail_flags() const { return avail_; }
    Shared<u16>* avail_idx_word() const { return avail_ + 1; }
    Shared<u16>* avail_ring() const { return avail_ + 2; }
    Shared<u16>* used_event() const { return avail_ + 2 + mask_ + 1; }
    Shared<u16>* used_flags() const { return used_; }
    Shared<u16>* used_idx_word() const { return used_ + 1; }
    UsedElem* used_ring() const { return reinterpret_cast<UsedElem*>(used_ + 2); }
    Shared<u16>* avail_event() const { return used_ + 2 + usize{4} * (mask_ + 1u); }

    RingOptions options_;
    kernel::DmaRegion memory_;
    IndirectPool tables_;
    std::unique_ptr<Shadow[]> shadow_;
    Shared<u16>* avail_ = nullptr;
    Shared<u16>* used_ = nullptr;
    u16 size_ = 0, mask_ = 0;
    u16 free_ = 0, free_head_ = 0, in_flight_ = 0;
    u16 pending_ = 0;                   ///< chains pushed but not published
    u32 published_ = 0;                 ///< chains ever published; its low half is avail.idx
    u32 told_ = 0;                      ///< of them, those before the last kick
    u16 used_idx_ = 0, used_seen_ = 0;  ///< consumed; last value of used.idx that was believed
    u16 oldest_ = 0;                    ///< IN_ORDER: the head of the oldest chain in flight
    u32 batch_last_ = kNoBatch;         ///< IN_ORDER: the head that ends the batch being taken
    u32 batch_written_ = 0;             ///< and its length
    bool broken_ = false;
    u64 bad_used_ = 0;
};
static_assert(Ring<SplitRing>);

}  // namespace ringlet::virtio
