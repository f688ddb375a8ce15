// A packet: one 4 KiB DMA buffer with a movable window, or a chain of them (fragments) when it is larger than a frame.
// A run is sixteen buffers in a row that are one: what is written in bulk lies in runs. Two kinds have no memory of
// their own: views, which read part of another one, and what applications lent (net/loan.hpp). Exactly one owner at a
// time: pool -> driver -> device -> driver -> stack -> socket -> pool. Moved, never copied, never counted; destroyed
// means back in the pool, the whole chain. Metadata lives outside the DMA memory, so a device cannot change it. A
// chain's headers lie in its first buffer; data(), size(), push, pull and append mean that buffer. Context: a pool and
// its buffers belong to one monitor (the network's); nothing here locks.
#pragma once

#include <cstring>
#include <optional>
#include <utility>

#include "lib/assert.hpp"
#include "lib/bytes.hpp"
#include "lib/list.hpp"
#include "lib/strong.hpp"
#include "net/loan.hpp"

namespace ringlet::net {

/// What is known or still to be done about a packet's checksum and segmentation.
struct PacketMeta {
    enum class Checksum : u8 {
        none,      ///< RX: verify in software. TX: complete in the packet
        verified,  ///< RX: the device or the host vouches for it
        partial,   ///< TX: the device fills it in from csum_start/csum_offset (RX: a local peer left it so; it is good)
    } checksum = Checksum::none;
    enum class Gso : u8 { none, tcp4, tcp6, udp } gso = Gso::none;
    bool ecn = false;
    u8 csum_offset = 0;    ///< from csum_start to the checksum field
    u16 csum_start = 0;    ///< offset from the start of the frame
    u16 gso_size = 0;      ///< payload bytes per segment
    u16 header_bytes = 0;  ///< all headers up to the payload, when gso != none
};

class PacketPool;
class PacketQueue;

class PacketBuffer {
public:
    static constexpr usize kSize = 4096;     ///< a page: half as many for a large segment as there would be of 2 KiB
    static constexpr u16 kRun = 16;          ///< buffers of a run, 64 KiB
    static constexpr usize kHeadroom = 128;  ///< virtio header + Ethernet + IP + TCP with options
    static constexpr usize kFragmentHeadroom = 82;  ///< virtio header + Ethernet + IPv6 with its fragment header

    PacketBuffer(PacketBuffer&& o) noexcept : slot_(std::exchange(o.slot_, nullptr)) {}
    PacketBuffer& operator=(PacketBuffer&& o) noexcept {
        std::swap(slot_, o.slot_);
        return *this;
    }
    ~PacketBuffer() {
        if (slot_ != nullptr) give_back(slot_);  // most are moved from: that must cost nothing
    }

    /// The window of the (first) buffer.
    MutableBytes data() const { return {slot_->base + slot_->begin, usize(slot_->end - slot_->begin)}; }
    usize size() const { return usize(slot_->end - slot_->begin); }
    usize headroom() const { return slot_->begin; }
    usize tailroom() const {  ///< none behind a view or a loan
        const usize all = slot_->is_run() ? kRun * kSize : kSize;
        return slot_->end < all ? all - slot_->end : 0;
    }
    /// The device's name for data().front().
    DmaAddr dma() const;

    /// Moves the window: [begin, end) of the buffer. Our own arithmetic only.
    void window(usize begin, usize end) {
        ASSERT(begin <= end && end <= kSize);
        slot_->begin = u32(begin);
        slot_->end = u32(end);
    }
    /// Takes a header off the front; nullptr, and nothing changed, when the packet is too short.
    template <class H> H* pull() {
        if (size() < sizeof(H)) return nullptr;
        auto* h = reinterpret_cast<H*>(slot_->base + slot_->begin);
        slot_->begin = u32(slot_->begin + sizeof(H));
        return h;
    }
    /// Drops `n` bytes off the front, over the whole chain; false, and nothing changed, when there are fewer.
    bool pull_bytes(usize n) {
        if (size() < n) return pull_across(n);
        slot_->begin = u32(slot_->begin + n);
        return true;
    }
    /// Prepends a header (uninitialised). The headroom is our own arithmetic.
    template <class H> H* push() { return reinterpret_cast<H*>(push_bytes(sizeof(H)).data()); }
    MutableBytes push_bytes(usize n) {
        ASSERT(slot_->begin >= n);
        slot_->begin = u32(slot_->begin - n);
        return {slot_->base + slot_->begin, n};
    }
    /// Appends `n` uninitialised bytes and returns them.
    MutableBytes append(usize n) {
        ASSERT(tailroom() >= n);
        slot_->end = u32(slot_->end + n);
        return {slot_->base + slot_->end - n, n};
    }
    /// Cuts the whole chain off behind `length` bytes.
    void trim_to(usize length) {
        if (slot_->more != nullptr) return trim_across(length);
        if (length < size()) slot_->end = u32(slot_->begin + length);
    }
    PacketMeta& meta() const { return slot_->meta; }

    /// A number that whoever holds a packet of one buffer may keep with it (TCP: its sequence number), as long as it
    /// stays one.
    u32& note() const {
        ASSERT(slot_->more == nullptr);
        return slot_->note;
    }

    // --- chains -----------------------------------------------------------------------------------------------------
    /// Parts of the packet, at least 1.
    u16 fragments() const { return u16(slot_->followers + 1); }
    /// Buffers whose memory it owns: kRun for a run, none for a view or a loan.
    usize buffers() const;
    /// Bytes in all windows.
    usize total_size() const { return slot_->more == nullptr ? size() : size_across(); }
    /// Puts one more buffer (or a chain) behind the last; its metadata is forgotten.
    void append_fragment(PacketBuffer&& p);
    /// Takes the first buffer off: what is returned is the rest of the chain, nothing when there is none. The metadata
    /// stays with the first.
    std::optional<PacketBuffer> take_rest() {
        if (slot_->more == nullptr) return std::nullopt;
        return PacketBuffer(cut_rest());
    }
    /// Makes a chain that fits its first buffer one buffer, by copying; false, and nothing changed, when it does not
    /// fit.
    bool flatten();
    /// visit(MutableBytes window, DmaAddr of its first byte), buffer by buffer, in order.
    template <class F> void for_each_fragment(F visit) const {
        for (const Slot* s = slot_; s != nullptr; s = s->more)
            visit(MutableBytes{s->base + s->begin, usize(s->end - s->begin)}, dma_of(s));
    }

private:
    friend class PacketPool;
    friend class PacketQueue;
    struct Slot {
        PacketPool* pool = nullptr;
        Slot* next = nullptr;  ///< in the free list or a PacketQueue
        Slot* more = nullptr;  ///< the next buffer of the same packet
        union {
            Slot* last = nullptr;  ///< of the first buffer of a chain: its last one
            Loan* loan;            ///< of a loan: whom to tell when it is over
            u32 note;              ///< of a single buffer: see PacketBuffer::note()
        };
        std::byte* base = nullptr;
        u32 begin = 0, end = 0;
        u16 followers = 0;  ///< of the first buffer of a chain: how many are behind it
        PacketMeta meta;
        u32 readers = 0;  ///< views of it that are alive, and of a loan its owner; of a view: kView | whose, by number;
                          ///< of a run: kRun too

        static constexpr u32 kView = u32{1} << 31, kRun = u32{1} << 30;
        bool is_view() const { return (readers & kView) != 0; }
        bool is_run() const { return (readers & kRun) != 0; }
        void point_at(std::byte* first, u32 length);
    };
    explicit PacketBuffer(Slot* s) : slot_(s) {}
    static DmaAddr dma_of(const Slot* s);
    Slot* cut_rest();
    bool pull_across(usize n);
    void trim_across(usize length);
    usize size_across() const;
    static void give_back(Slot* s);
    static void release(Slot* s);
    static_assert(sizeof(Slot) == 64);  // one cache line
    Slot* slot_;
};

/// A fixed number of buffers in one DMA region. Outlives every buffer it gave out.
///
/// A view is a packet that reads part of another one's buffer: how a send buffer lends its bytes to a segment without a
/// copy. Whoever owns the buffer may go on appending behind the part, and may destroy it: it then returns to the pool
/// with the last of its views, for a device may still be reading. A loan is the same with an application's memory in
/// place of a buffer. There are half as many views and loans as buffers.
class PacketPool {
public:
    /// `memory`: count * kSize of DMA memory whose device address is `dma`; kept by the caller for the pool's lifetime.
    PacketPool(MutableBytes memory, DmaAddr dma);
    ~PacketPool();
    PacketPool(const PacketPool&) = delete;
    PacketPool& operator=(const PacketPool&) = delete;

    /// An empty packet whose window starts at kHeadroom; nothing when the pool is empty.
    std::optional<PacketBuffer> allocate();
    /// An empty packet of kRun buffers, whose window starts at its first byte; nothing when no run is free as a whole,
    /// which is no shortage: there may be single ones.
    std::optional<PacketBuffer> allocate_run();
    /// `bytes` as a packet that reads them where they are, of any length; `loan` is held until the last view of them is
    /// gone. Nothing, and nothing held, when they are not as far from their device address as the pool is from its own
    /// (then views could not tell theirs), or when half of the views are in use.
    std::optional<PacketBuffer> lend(Bytes bytes, DmaAddr dma, Loan* loan);
    /// `length` bytes at `offset` of the window of `buffer` (not of a view, not of a chain's followers); nothing when
    /// all views are in use.
    std::optional<PacketBuffer> view(const PacketBuffer& buffer, usize offset, usize length);

    /// All bytes of `packet`, and what is known of its checksum, in buffers of their own; nothing when there are too
    /// few.
    std::optional<PacketBuffer> copy(const PacketBuffer& packet);
    /// Somebody waits for more buffers than are free: as good as a failed allocation.
    void note_shortage() { ++exhausted_; }

    usize total() const { return total_; }
    usize free() const { return free_; }
    usize free_views() const { return free_views_; }
    usize orphans() const { return orphans_; }    ///< buffers that are alive only because of their views
    usize overdue() const { return overdue_; }    ///< loans that are alive only because of their views
    u64 exhausted() const { return exhausted_; }  ///< failed allocations, and shortages noted

private:
    friend class PacketBuffer;
    using Slot = PacketBuffer::Slot;
    /// The slots of one run, the single ones among them.
    struct Block : ListNode<> {
        Slot* free = nullptr;
        u32 count = 0;  ///< free ones
    };
    /// Buffers whose memory is `s`'s.
    u16 pages(const Slot* s) const { return s >= slots_ + total_ ? 0 : s->is_run() ? PacketBuffer::kRun : 1; }
    inline void add_free(Slot* s);
    void add_free_run(Slot* s);
    Slot* take_view();
    void give_view(Slot* s);
    void end_view(Slot* s);
    Slot* slots_ = nullptr;  // total_ with memory of their own, then total_ / 2 for views and loans
    Block* blocks_ = nullptr;
    List<Block> whole_, partial_;  // all of their slots are free, or some are; the most recently used first
    Slot* views_ = nullptr;
    std::byte* memory_ = nullptr;
    DmaAddr dma_;
    usize total_ = 0, free_ = 0, free_views_ = 0, orphans_ = 0, overdue_ = 0;
    u64 exhausted_ = 0;
};

inline DmaAddr PacketBuffer::dma_of(const Slot* s) {
    return s->pool->dma_ + (reinterpret_cast<u64>(s->base) + s->begin - reinterpret_cast<u64>(s->pool->memory_));
}
inline DmaAddr PacketBuffer::dma() const {
    return dma_of(slot_);
}

}  // namespace ringlet::net
