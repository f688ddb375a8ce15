// Filesystem blocks in memory: one copy of each, read at most once at a time, pinned while somebody looks at
// it.
//
// The lock covers the hash and the LRU order only and is never held across a disk wait. A block under I/O is
// `reading` and carries a list of those who wait for it; completion (interrupt context) takes no lock: it
// publishes the state and empties that list with one atomic exchange. Memory comes in chunks, when first
// needed, up to a bound, and is given back when others need it (block_cache_memory.cpp). Context: thread, unless said
// otherwise.
//
// Changed blocks (block_cache_write.cpp) stay pinned, and off the LRU list, until they were written home. There are
// three kinds: `data`, written whenever somebody likes; `running`, changed by the journal's running transaction, which
// must not reach its home yet; `logged`, of which the journal holds a copy. While a block is on its way to the disk
// nobody changes it, and while somebody changes it (BlockEdit) it is not sent.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>

#include "fs/batch_writer.hpp"
#include "fs/block_device.hpp"
#include "fs/block_view.hpp"
#include "kernel/mm/dma.hpp"
#include "kernel/mm/pressure.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sched/wait_queue.hpp"
#include "kernel/sync/spinlock.hpp"
#include "lib/function_ref.hpp"

namespace ringlet::fs {

class BlockCache;

/// Completes a block of metadata (its checksum) before it goes into the journal. Context: the committing thread, nobody
/// else changes the block.
using Seal = void (*)(MutableBytes block, u32 seed);

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
    enum class Dirt : u8 { none, data, running, logged };

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

    // Cache lock, all of these:
    CacheEntry* place = nullptr;   ///< whose part of a chunk `bytes` is
    CacheEntry* tenant = nullptr;  ///< whose bytes lie in our part
    Dirt dirt = Dirt::none;
    bool writing = false;  ///< on its way to the disk
    bool ordered = false;  ///< data: must be on the disk before the running transaction commits
    u16 editors = 0;       ///< BlockEdits of data that are alive
    u32 owner = 0;         ///< data: the inode it belongs to
    u32 logged_in = 0;     ///< the newest transaction in the log that has a copy; 0: none, or it was written home since
    u64 stamp = 0;         ///< data: when it became dirty, in changes
    Seal seal = nullptr;   ///< puts the block's checksum in, when a transaction ends
    u32 seal_seed = 0;
};

}  // namespace detail

/// What a block that is about to be changed holds first.
enum class Content : u8 {
    read,   ///< what is on the disk
    zeros,  ///< it was just allocated
    junk,   ///< the caller overwrites all of it
};
enum class Ordered : u8 { no, yes };

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
    friend class BlockEdit;
    BlockRef(BlockCache& cache, detail::CacheEntry& entry) : cache_(&cache), entry_(&entry) {}
    BlockCache* cache_ = nullptr;
    detail::CacheEntry* entry_ = nullptr;
};

/// A block being changed: it stays in memory and is not written meanwhile. Short: nobody asks the cache for another
/// block while holding one.
class BlockEdit {
public:
    BlockEdit() = default;
    BlockEdit(BlockEdit&& o) noexcept = default;
    BlockEdit& operator=(BlockEdit&& o) noexcept {
        std::swap(ref_, o.ref_);
        return *this;
    }
    ~BlockEdit();
    MutableBytes bytes() const { return ref_.entry_->bytes; }
    BlockNo number() const { return ref_.entry_->number; }
    /// What was checked of its old content holds for the new one, which we made.
    void mark_verified(u8 bit) const { ref_.mark_verified(bit); }
    /// Metadata: call `seal(bytes, seed)` before it is logged.
    void seal_with(Seal seal, u32 seed) const {
        ref_.entry_->seal = seal;
        ref_.entry_->seal_seed = seed;
    }

private:
    friend class BlockCache;
    explicit BlockEdit(BlockRef ref) : ref_(std::move(ref)) {}
    BlockRef ref_;
};

struct BlockCacheStats {
    u64 hits = 0, misses = 0, prefetched = 0, evicted = 0, errors = 0, requests = 0;
    u64 capacity_bytes = 0;  ///< the bound
    u64 memory_bytes = 0;    ///< what it has of that now
    u64 pinned_blocks = 0;
    u64 dirty_blocks = 0;    ///< data not yet written
    u64 running_blocks = 0;  ///< metadata of the running transaction
    u64 logged_blocks = 0;   ///< metadata in the log only
    u64 written = 0;         ///< blocks written home
    u64 given_back = 0;      ///< blocks of memory that others needed more
    bool is_short = false;   ///< somebody needed memory a moment ago: the cache does not grow
};

/// How much memory to spend on a machine with so much RAM: 1/32 of it, 64 KiB (4 MiB gives 128 KiB) to 16
/// MiB.
constexpr u64 recommended_cache_bytes(u64 ram_bytes) {
    return std::clamp<u64>(ram_bytes / 32, 64_KiB, 16_MiB);
}

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
    /// Fills `to` from block `first` on, of which the first `start` bytes are left out, and from those behind it, as
    /// far as they are here and nothing needs to be waited for. How many bytes.
    usize copy_present(BlockNo first, usize start, MutableBytes to);
    /// The same for what lies in this block alone. False: it is not here.
    bool copy_one_present(BlockNo number, usize start, MutableBytes to);
    /// Starts reading up to `count` blocks from `first` that are not there yet, as few large requests and one
    /// kick. Never waits, may do less (no memory, no free request); errors show when the block is wanted.
    void prefetch(BlockNo first, u32 count);

    // ---- changing and writing: block_cache_write.cpp

    /// A block of file data, dirty from now on. `owner`: its inode. The errors of get().
    Result<BlockEdit> edit_data(BlockNo number, Content content, u32 owner, Ordered ordered);
    /// A block of metadata, part of the running transaction from now on; `joined` becomes true if it was not before.
    Result<BlockEdit> edit_metadata(BlockNo number, Content content, bool& joined);
    /// The block was freed: what is in memory of it is never written. Readers of a pinned view keep their bytes.
    /// True when the running transaction or the log had it.
    bool forget(BlockNo number);

    struct Selection {
        enum class Kind : u8 { data, ordered, inode, logged };
        Kind kind = Kind::data;
        u32 inode = 0;        ///< Kind::inode; Kind::ordered: this one's data, too, unless 0
        u32 up_to = 0;        ///< Kind::logged: transactions up to this one
        bool patient = true;  ///< waits for blocks that somebody is changing, or else leaves them out
    };
    /// Writes the selected blocks that are dirty now, in rising order and large requests, and waits for them; they are
    /// clean then. Not durable before a flush. An error leaves what was not written dirty.
    Result<> write_back(const Selection& what) { return write_back(what, nullptr); }
    /// The same, and what `along` adds to the batch of the first round, if it is not nullptr: it is called once.
    Result<> write_back(const Selection& what, const FunctionRef<void(BatchWriter&)>* along);
    /// Enough unwritten data that a writer should write some back.
    bool is_crowded();
    /// Enough blocks that only the log has that they should be written home.
    bool has_many_logged();
    bool is_dirty();
    /// Calls `visit(number, bytes)` for each block of the running transaction, sealed, and moves it to the logged ones.
    /// Nobody changes metadata meanwhile: the journal sees to it.
    void freeze(u32 transaction, FunctionRef<void(BlockNo, Bytes)> visit);
    /// The oldest transaction whose copy of some block is still needed; `none` when there is none.
    u32 oldest_logged(u32 none);
    /// Forgets everything that was changed: after an error, or at the end.
    void discard_changes();
    u32 capacity() const { return max_blocks_; }

    // ---- memory: block_cache_memory.cpp

    /// Makes sure of memory for `blocks` blocks, which is not given back, and of what write_back() needs; 0: no longer.
    /// unsupported: more than capacity(); no_memory.
    Result<> keep(u32 blocks);
    /// The journal's running transaction may come to hold `blocks` blocks, instead of what was promised before. False,
    /// and as before: with those that only the log has they would be more than half of the memory there is.
    /// A promise of half of what keep() was asked for is kept once nothing is logged.
    bool promise(u32 blocks);
    /// Takes more memory, if some is to spare.
    bool grow() { return grow(Need::wish); }

    u32 block_size() const { return block_size_; }
    /// Blocks on the device.
    u64 blocks() const { return device_.sectors() / (block_size_ / kSectorSize); }
    /// How many blocks a prefetch may usefully ask for: a quarter of the cache.
    u32 prefetch_limit();
    BlockCacheStats stats();

private:
    friend class BlockRef;
    friend class BlockEdit;
    using Entry = detail::CacheEntry;

    /// Memory of chunk_blocks_ blocks. Entries outlive it: one without a chunk's memory is on no list.
    struct Chunk {
        kernel::DmaRegion memory;
        std::unique_ptr<Entry[]> entries;
        Chunk* next = nullptr;
    };
    struct State {
        List<Entry> lru;                    ///< hashed, least recently used first
        List<Entry> free;                   ///< not hashed; may still be pinned by readers of an error
        List<Entry> data, running, logged;  ///< dirty ones, hashed and pinned
        u32 data_blocks = 0, running_blocks = 0, logged_blocks = 0;
        u64 stamp = 0;
        u32 free_blocks = 0;
        u32 granted_blocks = 0;   ///< in chunks, or being allocated
        u32 resident_blocks = 0;  ///< in chunks
        u32 kept_blocks = 0;      ///< never fewer
        u32 promised_blocks = 0;  ///< how many the running transaction may come to
        Instant short_until{};    ///< memory was wanted by others, or not to be had: until then the cache does not grow
        Chunk* chunks = nullptr;
        Chunk* empty_chunks = nullptr;  ///< they gave their memory back
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
    enum class Need : u8 { wish, required };
    bool can_grow(State& s) { return max_blocks_ - s.granted_blocks >= chunk_blocks_ && !is_short(s); }
    bool grow(Need need);
    void grow_for(u32 blocks);
    bool is_short(State& s);
    void run_short(State& s);
    u32 bound(State& s) { return is_short(s) ? s.resident_blocks : max_blocks_; }
    u32 least_blocks(const State& s) const;
    void settle(State& s, Chunk& chunk);
    bool can_move(const Chunk& chunk) const;
    void exchange(Entry& out, Entry& stays);
    Chunk* vacate_a_chunk(State& s);
    usize give(usize pages);
    usize reclaimable();
    static usize give_pages(void* cache, usize pages, kernel::Pressure) {
        return static_cast<BlockCache*>(cache)->give(pages);
    }
    static usize reclaimable_pages(void* cache) { return static_cast<BlockCache*>(cache)->reclaimable(); }
    Entry* find(BlockNo n);
    Entry* take_free(State& state);
    void start_reading(State& state, Entry& e, BlockNo n);
    Result<BlockRef> obtain(BlockNo number, Content content);
    void pin_found(State& state, Entry& e);
    void skip_reading(Entry& e);
    void unhash(State& state, Entry& e);
    enum class Retry : u8 { no, yes };
    Result<BlockRef> wait_for(Entry& e, Retry& retry);
    void read_one(Entry& e);
    void finish(Entry& e, const BlockRequest& r);
    void unpin(Entry& e);
    Result<> wait_for_room();
    void soil(State& state, Entry& e, Entry::Dirt dirt);
    void clean(State& state, Entry& e);
    u32& count_of(State& state, Entry::Dirt dirt);
    List<Entry>& list_of(State& state, Entry::Dirt dirt);
    static bool is_selected(const Entry& e, const Selection& what, u64 stamp);
    struct Writer {
        std::unique_ptr<BatchWriter> batch;
        std::unique_ptr<Entry*[]> entries;  ///< max_blocks_ of them
    };
    Result<> prepare(Writer& writer);
    u32 take_selected(Writer& writer, const Selection& what, u64 stamp);
    Result<bool> write_some(Writer& writer, const Selection& what, u64 stamp,
                            const FunctionRef<void(BatchWriter&)>* along);
    void edited(Entry& e);
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
    std::atomic<bool> was_short_{false};  ///< State::short_until is to be looked at
    std::atomic<bool> lost_{false};  ///< the device is gone for ever and may still write into blocks: none is reused
    detail::WaiterStack room_;       ///< threads for whom everything was pinned
    /// Taken where an allocation finds no memory, under whatever lock that one is made: hence its low rank.
    kernel::Guarded<State, kernel::Rank::balloon, kernel::Spinlock> state_;
    kernel::MemorySource source_{.give = give_pages, .reclaimable = reclaimable_pages, .context = this};
    kernel::WaitQueue settled_;  ///< a block was written, or is no longer being changed
    kernel::Guarded<Writer, kernel::Rank::inode, kernel::Mutex> writer_;
};

}  // namespace ringlet::fs
