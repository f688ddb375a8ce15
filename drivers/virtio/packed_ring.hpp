// The packed virtqueue, driver's half: virtio 1.2 §2.8, with EVENT_IDX (§2.8.10), IN_ORDER (§2.8.9) and indirect
// descriptors (§2.8.7). One ring of descriptors that both sides write; whose turn it is, two bits in each tell.
// Nothing that we wrote is ever read back, the private shadow is what counts. Context: one lock; suppress() alone may
// also come from an interrupt meanwhile.
#pragma once

#include <memory>
#include <utility>

#include "drivers/virtio/indirect_pool.hpp"
#include "drivers/virtio/ring.hpp"
#include "kernel/mm/dma.hpp"
#include "lib/shared.hpp"

namespace ringlet::virtio {

/// Offsets inside one allocation (§2.8.10.1: alignments 16 and 4). The two event structures, which one side writes
/// while the other reads, share no cache line with each other or with descriptors.
struct PackedLayout {
    u16 n = 0;
    constexpr usize driver() const { return align_up(usize{16} * n, usize{64}); }
    constexpr usize device() const { return driver() + 64; }
    constexpr usize bytes() const { return device() + 4; }
};

class PackedRing {
public:
    struct Desc {
        Shared<u64> addr;
        Shared<u32> len;
        Shared<u16> id;
        Shared<u16> flags;
    };
    struct Events {
        Shared<u16> off_wrap;
        Shared<u16> flags;
    };
    static_assert(sizeof(Desc) == 16 && sizeof(Events) == 4);
    static constexpr u16 kNext = 1, kWrite = 2, kIndirect = 4, kAvail = 1 << 7, kUsed = 1 << 15;  // VIRTQ_DESC_F_*
    static constexpr u16 kEnable = 0, kDisable = 1, kAtDesc = 2;                                  // RING_EVENT_FLAGS_*

    static constexpr bool valid_size(u16 n) { return n != 0 && n <= 32768; }
    static constexpr usize footprint(u16 n) { return PackedLayout{n}.bytes(); }

    /// All memory the ring will ever need. `first_index`, less the multiples of the size, is the first descriptor.
    /// Errors: invalid (a size the layout forbids, or no RING_PACKED), no_memory. Context: thread.
    static Result<PackedRing> create(const RingOptions& options);
    PackedRing(PackedRing&&) noexcept = default;
    PackedRing& operator=(PackedRing&&) noexcept = default;

    u16 size() const { return size_; }
    u16 free() const { return free_; }
    u16 in_flight() const { return in_flight_; }
    bool broken() const { return broken_; }
    u64 bad_used() const { return bad_used_; }
    QueueAddrs addrs() const;
    /// The longest chain that push() can ever accept: no chain may be longer than its queue (§2.8.17).
    u16 max_segments() const { return size_; }

    /// Puts a chain into the ring; the device sees it at the next publish(). Nothing, and nothing changed, when it does
    /// not fit now (or is empty). The segments must stay DMA-able until pop() returns the id.
    std::optional<u16> push(std::span<const Segment> readable, std::span<const Segment> writable);

    /// Makes what was pushed visible and says whether the device wants a kick: for that, or late for what was published
    /// since the last one (see Ring).
    bool publish() {
        if (pending_ != 0) show();
        return untold_ != 0 && wants_kick();
    }

    /// Where the next descriptor goes, and the wrap counter there.
    u16 position() const { return position_; }

    /// The next chain that the device has finished. A lie breaks the ring; the length is clamped and the clamp counted.
    std::optional<Completion> pop() {
        if (broken_ || !work_left()) return std::nullopt;
        return take();
    }

    /// Asks the device not to interrupt. A hint: an interrupt may come all the same. One store, no private state.
    void suppress() { driver_events()->flags.store(kDisable); }

    /// Asks for an interrupt at the next completion. True: one came before the request was visible, so look again.
    bool rearm() { return rearm_at(0); }
    /// Asks for one interrupt when `chains` of those in flight are done. True: the first is done already, look again.
    bool rearm_after(u16 chains);

    /// The state of a fresh ring. Only after the device was reset: it must not touch the memory any more.
    void reset();

private:
    struct Shadow {        // of a chain, by its id
        u32 writable = 0;  ///< bytes the device may write
        u32 order = 0;     ///< how many chains were pushed before it
        u16 next = 0;      ///< free list
        u16 length = 0;    ///< descriptors; 0: not in flight
        u16 table = 0;     ///< its indirect table, or IndirectPool::kNone
    };
    static constexpr u32 kNoBatch = ~u32{0};

    PackedRing(const RingOptions& options, kernel::DmaRegion memory, IndirectPool tables,
               std::unique_ptr<Shadow[]> shadow);
    /// The next used descriptor is there, or a batch is not taken to its end yet.
    bool work_left() const {
        const u16 flags = descs()[used_at_].flags.load(std::memory_order_acquire);  // pairs with the device's release
        return (flags & (kAvail | kUsed)) == used_bits_ || batch_last_ != kNoBatch;
    }
    std::optional<Completion> take();
    bool with_device(u16 id) const {
        return id < size_ && shadow_[id].length != 0 && u32(shadow_[id].order - published_) >= pending_;
    }
    void release(u16 id);
    std::nullopt_t break_ring() {
        broken_ = true;
        ++bad_used_;
        return std::nullopt;
    }
    void push_direct(u16 id, std::span<const Segment> readable, std::span<const Segment> writable);
    void push_indirect(u16 id, u16 table, std::span<const Segment> readable, std::span<const Segment> writable);
    void place(u64 addr, u32 len, u16 id, u16 flags);
    bool rearm_at(u16 ahead);
    void show();
    bool wants_kick();

    Desc* descs() const { return reinterpret_cast<Desc*>(memory_.bytes().data()); }
    Events* driver_events() const { return events_; }
    const Events* device_events() const { return events_ + 16; }

    RingOptions options_;
    kernel::DmaRegion memory_;
    IndirectPool tables_;
    std::unique_ptr<Shadow[]> shadow_;
    Events* events_ = nullptr;
    u16 size_ = 0;
    u16 free_ = 0;                         ///< descriptors
    u16 free_id_ = 0, in_flight_ = 0;      ///< the first free id; chains
    u16 next_ = 0, avail_bits_ = 0;        ///< the next descriptor; AVAIL and USED as this lap makes it available
    u16 used_at_ = 0, used_bits_ = 0;      ///< the next used descriptor; AVAIL and USED as this lap marks it used
    u16 pending_ = 0, pending_descs_ = 0;  ///< pushed but not published: chains, descriptors
    u16 first_ = 0, first_flags_ = 0;      ///< the descriptor that holds those back, and what it will get
    u16 position_ = 0;
    u32 untold_ = 0;     ///< descriptors published since the last kick, as far as the device may not have seen them
    u32 published_ = 0;  ///< chains ever published
    u16 oldest_ = 0;     ///< IN_ORDER: the id of the oldest chain in flight
    u32 batch_last_ = kNoBatch;  ///< IN_ORDER: the id that ends the batch being taken
    u32 batch_written_ = 0;      ///< and its length
    bool broken_ = false;
    u64 bad_used_ = 0;
};
static_assert(Ring<PackedRing>);

}  // namespace ringlet::virtio
