// Filesystem blocks in memory: one copy of each, read at most once at a time, pinned while somebody looks at
// it.
//
// The lock covers the hash and the LRU order only and is never held across a disk wait. A block under I/O is
// `reading` and carries a list of those who wait for it; completion (interrupt context) takes no lock: it
// publishes the state and empties that list with one atomic exchange. Memory comes in chunks, when first
// needed, up to a bound. Context: thread, unless said otherwise.
#pragma once

#include <atomic>
#include <memory>

#include "fs/block_device.hpp"
#include "fs/block_view.hpp"
#include "kernel/mm/dma.hpp"
#include "kernel/sync/spinlock.hpp"

namespace ringlet::fs {

class BlockCache;

namespace detail {

struct CacheWaiter {
    kernel::Event event;
    CacheWaiter* next = nullptr;
};

/// Those who wait for one thing to happen. Any context; an added waiter is woken exactly once.
class WaiterStack {
public:
    void open() { head_.store(nullptr, std::memory_order_relaxed); }
    /// False, and not added, once closed.
    bool add(CacheWaiter& w);
    /// Wakes all; with `closed`, everyone who comes later is told at once. Does not touch *this after the
    /// exchange.
    void wake(bool closed);
    bool empty() const { return head_.load(std::memory_order_seq_cst) == nullptr; }

private:
    static CacheWaiter* sealed() { return reinterpret_cast<CacheWaiter*>(1); }
    std::atomic<CacheWaiter*> head_{nullptr};
};

struct CacheEntry : ListNode<> {
    enum class State : u8 { empty, reading, valid, error };

    BlockNo number;
    BlockCache* cache = nullptr;
    CacheEntry* hash_next = nullptr;  ///< cache lock
    bool hashed = false;              ///< cache lock
    std::atomic<State> state{State::empty};
    Error error = Error::io;           ///< while state is `error`
    std::atomic<u32> pins{0};          ///< rises under the cache lock only, so zero under the lock stays zero
    std::atomic<u8> verified{0};       ///< a bit per kind of check (checksum) that this content has passed
    bool grouped = false;              ///< read as part of a larger request
    CacheEntry* group_next = nullptr;  ///< the request it is read by
    WaiterStack waiters;
    MutableBytes bytes;
    DmaAddr dma;
};

}  // namespace detail

/// Pins a valid block; the destructor unpins. Never hold one while asking the cache for another: with all
/// blocks pinned by threads that want one more, nobody could go on.
class BlockRef {
public:
    BlockRef() = default;
    BlockRef(BlockRef&& o) noexcept : cache_(o.cache_), entry_(std::exchange(o.entry_, nullptr)) {}
    BlockRef& operator=(BlockRef&& o) noexcept {
        std::swap(cache_, o.cache_);
        std::swap(entry_, o.entry_);
        return *this;
    }
    ~BlockRef();

    Bytes bytes() const { return entry_->bytes; }
    /// Whether this content passed check `bit` (a power of two) before; forgotten when the block is read
    /// again.
    bool verified(u8 bit) const { return (entry_->verified.load(std::memory_order_relaxed) & bit) != 0; }
    void mark_verified(u8 bit) const { entry_->verified.fetch_or(bit, std::memory_order_relaxed); }
    /// Hands the pin over to a view of [offset, offset + length), which lies inside the block.
    PinnedBytes into_view(usize offset, usize length) &&;

private:
    friend class BlockCache;
    BlockRef(BlockCache& cache, detail::CacheEntry& entry) : cache_(&cache), entry_(&entry) {}
    BlockCache* cache_ = nullptr;
    detail::CacheEntry* entry_ = nullptr;
};

struct BlockCacheStats {
    u64 hits = 0, misses = 0, prefetched = 0, evicted = 0, errors = 0, requests = 0;
    u64 capacity_bytes = 0;  ///< the bound
    u64 memory_bytes = 0;    ///< allocated so far
    u64 pinned_blocks = 0;
};

/// How much memory to spend on a machine with so much RAM: 1/32 of it, 64 KiB (4 MiB gives 128 KiB) to 16
/// MiB.
u64 recommended_cache_bytes(u64 ram_bytes);

class BlockCache {
public:
    static constexpr u32 kMinBlock = 1024, kMaxBlock = 65536;

    /// `block_size`: a power of two, kMinBlock..kMaxBlock, a multiple of the device's block; `max_bytes` is
    /// rounded to chunks and is at least eight blocks. `device` outlives the cache. unsupported, invalid,
    /// no_memory.
    static Result<std::unique_ptr<BlockCache>> create(BlockDevice& device, u32 block_size, u64 max_bytes);
    /// Waits for prefetches under way. No BlockRef is left. Memory that the device may still touch is abandoned.
    ~BlockCache();
    BlockCache(const BlockCache&) = delete;

    /// The block, read if need be. io and whatever else the device said; invalid: beyond the device; device_broken:
    /// given up without having stopped, nothing more is read.
    Result<BlockRef> get(BlockNo number);
    /// Starts reading up to `count` blocks from `first` that are not there yet, as few large requests and one
    /// kick. Never waits, may do less (no memory, no free request); errors show when the block is wanted.
    void prefetch(BlockNo first, u32 count);

    u32 block_size() const { return block_size_; }
    /// Blocks on the device.
    u64 blocks() const { return device_.sectors() / (block_size_ / kSectorSize); }
    /// How many blocks a prefetch may usefully ask for: a quarter of the cache.
    u32 prefetch_limit() const { return max_blocks_ / 4; }
    BlockCacheStats stats();

private:
    friend class BlockRef;
    using Entry = detail::CacheEntry;

    struct Chunk {
        kernel::DmaRegion memory;
        std::unique_ptr<Entry[]> entries;
        Chunk* next = nullptr;
    };
    struct State {
        List<Entry> lru;   ///< hashed, least recently used first
        List<Entry> free;  ///< not hashed; may still be pinned by readers of an error
        u32 free_blocks = 0;
        u32 granted_blocks = 0;    ///< in chunks, or being allocated
        bool memory_full = false;  ///< an allocation failed: live with what there is
        Chunk* chunks = nullptr;
        BlockCacheStats stats;
    };
    static constexpr u32 kSegments = 32;
    /// A request the cache owns, for prefetching. Free slots are found by trying `busy`.
    struct Transfer {
        BlockRequest request;
        IoSegment segments[kSegments];
        Entry* first = nullptr;
        std::atomic<bool> busy{false};
    };
    static constexpr u32 kTransfers = 8;
    static constexpr int kTries = 3;  ///< reads of a block alone after a grouped request failed

    BlockCache(BlockDevice& device, u32 block_size) : device_(device), block_size_(block_size) {}
    bool can_grow(const State& s) const { return !s.memory_full && max_blocks_ - s.granted_blocks >= chunk_blocks_; }
    bool grow();
    void grow_for(u32 blocks);
    Entry* find(BlockNo n);
    Entry* take_free(State& state);
    void start_reading(State& state, Entry& e, BlockNo n);
    void unhash(State& state, Entry& e);
    enum class Retry : u8 { no, yes };
    Result<BlockRef> wait_for(Entry& e, Retry& retry);
    void read_one(Entry& e);
    void finish(Entry& e, const BlockRequest& r);
    void unpin(Entry& e);
    void wait_for_room();
    Transfer* take_transfer();
    u32 fill(State& state, Transfer& t, BlockNo n, u32 count);
    static void transfer_done(BlockRequest& r);
    Entry*& bucket(BlockNo n) { return buckets_[(n.raw * 0x9e37'79b9'7f4a'7c15u) >> bucket_shift_]; }

    BlockDevice& device_;
    const u32 block_size_;
    u32 max_blocks_ = 0;
    u32 chunk_blocks_ = 0;
    u32 bucket_shift_ = 63;
    BlockLimits limits_;
    std::unique_ptr<Entry*[]> buckets_;  ///< cache lock
    std::unique_ptr<Transfer[]> transfers_;
    std::atomic<u32> pinned_{0};
    std::atomic<u64> errors_{0};
    std::atomic<bool> lost_{false};  ///< the device is gone for ever and may still write into blocks: none is reused
    detail::WaiterStack room_;       ///< threads for whom everything was pinned
    kernel::Guarded<State, kernel::Rank::block_cache, kernel::Spinlock> state_;
};

}  // namespace ringlet::fs
