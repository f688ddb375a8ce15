// The block cache. Two edges decide its correctness:
//  * completion against waiters: finish() stores the state, then seals the entry's WaiterStack (acq_rel
//  exchange). A
//    waiter either gets on the stack before that, and is woken, or finds it sealed, and then sees the state.
//  * unpin against a thread for which everything was pinned: unpin() lowers the count, then looks for
//  waiters;
//    wait_for_room() puts itself on the list, then looks for an unpinned block. Both with seq_cst, so one
//    sees the other.
#include "fs/block_cache.hpp"

#include <algorithm>
#include <bit>
#include <new>

#include "kernel/time/clock.hpp"

namespace ringlet::fs {

using detail::CacheEntry;
using detail::CacheWaiter;
using detail::WaiterStack;

bool WaiterStack::add(CacheWaiter& w) {
    CacheWaiter* head = head_.load(std::memory_order_acquire);
    do {
        if (head == sealed()) return false;
        w.next = head;
    } while (!head_.compare_exchange_weak(head, &w, std::memory_order_seq_cst, std::memory_order_acquire));
    return true;
}

void WaiterStack::wake(bool closed) {
    CacheWaiter* w = head_.exchange(closed ? sealed() : nullptr, std::memory_order_seq_cst);
    while (w != nullptr && w != sealed()) {
        CacheWaiter* const next = w->next;  // *w is gone once its thread was woken
        w->event.set();
        w = next;
    }
}

BlockRef::~BlockRef() {
    if (entry_ != nullptr) cache_->unpin(*entry_);
}

PinnedBytes BlockRef::into_view(usize offset, usize length) && {
    const Bytes bytes = entry_->bytes.subspan(offset, length);
    struct Pin {
        static void release(void* owner) {
            auto* const entry = static_cast<CacheEntry*>(owner);
            entry->cache->unpin(*entry);
        }
    };
    return PinnedBytes(bytes, &Pin::release, std::exchange(entry_, nullptr));
}

Result<std::unique_ptr<BlockCache>> BlockCache::create(BlockDevice& device, u32 block_size, u64 max_bytes) {
    const BlockLimits limits = device.limits();
    if (!std::has_single_bit(block_size) || block_size < kMinBlock || block_size > kMaxBlock)
        return fail(Error::invalid);
    if (limits.block_size == 0 || block_size % limits.block_size != 0 || limits.max_segments == 0 ||
        limits.max_segment_bytes < block_size || limits.max_request_bytes < block_size)
        return fail(Error::unsupported);

    std::unique_ptr<BlockCache> cache(new (std::nothrow) BlockCache(device, block_size));
    if (!cache) return fail(Error::no_memory);
    cache->limits_ = limits;
    // Small caches grow in small steps, so that 4 MiB of RAM do not lose a large piece to the first block.
    const u64 chunk = max_bytes <= 256_KiB ? 32_KiB : 64_KiB;
    cache->chunk_blocks_ = static_cast<u32>(std::max<u64>(chunk / block_size, 1));
    const u64 chunk_bytes = u64{cache->chunk_blocks_} * block_size;
    const u64 least = std::max<u64>(u64{8} * block_size, chunk_bytes);
    const u64 bound = align_up(std::clamp<u64>(max_bytes, least, 1_GiB), chunk_bytes);
    cache->max_blocks_ = static_cast<u32>(bound / block_size);

    const u32 buckets = std::bit_ceil(std::max<u32>(cache->max_blocks_ / 2, 16));
    cache->bucket_shift_ = 64 - static_cast<u32>(std::countr_zero(buckets));
    cache->buckets_.reset(new (std::nothrow) Entry*[buckets]());
    cache->transfers_.reset(new (std::nothrow) Transfer[kTransfers]);
    if (!cache->buckets_ || !cache->transfers_) return fail(Error::no_memory);
    if (!cache->grow(Need::required)) return fail(Error::no_memory);
    cache->state_.lock()->kept_blocks = std::max(cache->chunk_blocks_, 8u);
    kernel::pressure_register(cache->source_);
    return cache;
}

BlockCache::~BlockCache() {
    kernel::pressure_unregister(source_);
    // A completion's last access to us is to mark its transfer free. Unmounting is rare: look again every
    // millisecond.
    for (u32 i = 0; transfers_ && i < kTransfers; ++i)
        while (transfers_[i].busy.load(std::memory_order_acquire)) {
            kernel::Event pause;
            pause.wait_until(kernel::now() + Duration::from_ms(1));
        }
    discard_changes();
    ASSERT(pinned_.load() == 0);
    for (Chunk* State::*list : {&State::chunks, &State::empty_chunks})
        for (Chunk* c = std::exchange((*state_.lock()).*list, nullptr); c != nullptr;) {
            const std::unique_ptr<Chunk> gone(std::exchange(c, c->next));
            if (lost_.load(std::memory_order_relaxed)) gone->memory.abandon();
        }
}

// ---- hash and order (all under the lock)
// ------------------------------------------------------------------------

BlockCache::Entry* BlockCache::find(BlockNo n) {
    for (Entry* e = bucket(n); e != nullptr; e = e->hash_next)
        if (e->number == n) return e;
    return nullptr;
}

void BlockCache::unhash(State& state, Entry& e) {
    Entry** at = &bucket(e.number);
    while (*at != &e) at = &(*at)->hash_next;
    *at = e.hash_next;
    e.hash_next = nullptr;
    e.hashed = false;
    List<Entry>::remove(e);
    state.free.push_front(e);
    ++state.free_blocks;
}

/// An entry nobody uses, taken off its list; nullptr when all are pinned.
BlockCache::Entry* BlockCache::take_free(State& state) {
    for (Entry& e : state.free) {
        if (e.pins.load(std::memory_order_seq_cst) != 0) continue;
        List<Entry>::remove(e);
        --state.free_blocks;
        return &e;
    }
    for (Entry& e : state.lru) {
        if (e.pins.load(std::memory_order_seq_cst) != 0) continue;
        unhash(state, e);
        List<Entry>::remove(e);
        --state.free_blocks;
        ++state.stats.evicted;
        return &e;
    }
    return nullptr;
}

/// Makes `e` (on no list, pins 0) the one being-read copy of block `n`, with one pin: that of the request.
void BlockCache::start_reading(State& state, Entry& e, BlockNo n) {
    e.number = n;
    e.verified.store(0, std::memory_order_relaxed);
    e.grouped = false;
    e.group_next = nullptr;
    e.waiters.open();
    e.pins.store(1, std::memory_order_relaxed);
    pinned_.fetch_add(1, std::memory_order_relaxed);
    e.state.store(Entry::State::reading, std::memory_order_release);
    Entry*& head = bucket(n);
    e.hash_next = head;
    head = &e;
    e.hashed = true;
    state.lru.push_back(e);
}

// ---- pins
// -------------------------------------------------------------------------------------------------------

void BlockCache::unpin(Entry& e) {
    // The count of pinned blocks falls first: the destructor may run as soon as the last pin is gone.
    u32 n = e.pins.load(std::memory_order_relaxed);
    for (;;) {
        ASSERT(n != 0);
        if (e.pins.compare_exchange_weak(n, n - 1, std::memory_order_seq_cst, std::memory_order_relaxed)) break;
    }
    if (n != 1) return;
    pinned_.fetch_sub(1, std::memory_order_seq_cst);
    if (!room_.empty()) [[unlikely]]
        room_.wake(false);
}

/// Writes changed data back, or sleeps until some block was unpinned. Pairs with unpin().
Result<> BlockCache::wait_for_room() {
    if (is_dirty()) return write_back({.patient = false});
    CacheWaiter me;
    room_.add(me);
    bool room = false;
    {
        auto state = state_.lock();
        for (Entry& e : state->lru) room |= e.pins.load(std::memory_order_seq_cst) == 0;
        for (Entry& e : state->free) room |= e.pins.load(std::memory_order_seq_cst) == 0;
    }
    // `me` is on the list and must be off it before it dies: waking everybody is the one way, and harmless.
    if (room) room_.wake(false);
    me.event.wait();
    return {};
}

// ---- reading
// ----------------------------------------------------------------------------------------------------

/// Publishes the outcome of a read. Context: any; no lock. Afterwards the entry belongs to the cache again.
void BlockCache::finish(Entry& e, const BlockRequest& r) {
    if (r.error) {
        e.error = *r.error;
        errors_.fetch_add(1, std::memory_order_relaxed);
    }
    // Before the entry is unpinned: whoever sees it free sees this too. A thread that looked before may still take it,
    // which is harmless: its request fails, and the block becomes valid for nobody.
    if (r.quarantined) lost_.store(true, std::memory_order_seq_cst);
    e.state.store(r.error ? Entry::State::error : Entry::State::valid, std::memory_order_release);
    e.waiters.wake(true);
    unpin(e);
}

void BlockCache::read_one(Entry& e) {
    const IoSegment segment{e.bytes, e.dma};
    BlockRequest request;
    request.op = BlockRequest::Op::read;
    request.lba = Lba(e.number.raw * (block_size_ / kSectorSize));
    request.data = {&segment, 1};
    (void)device_.run(request);  // the outcome is in the request
    finish(e, request);
}

/// `e` carries a pin of ours. Waits until it was read; takes an erroneous one out of the cache.
Result<BlockRef> BlockCache::wait_for(Entry& e, Retry& retry) {
    BlockRef ref(*this, e);
    while (e.state.load(std::memory_order_acquire) == Entry::State::reading) {
        CacheWaiter me;
        if (e.waiters.add(me)) me.event.wait();
    }
    if (e.state.load(std::memory_order_acquire) == Entry::State::valid) return ref;
    // One bad sector must not spoil its neighbours in a large request: ask for this block alone, once.
    retry = e.grouped ? Retry::yes : Retry::no;
    const Error error = e.error;
    auto state = state_.lock();
    if (e.hashed) unhash(*state, e);
    return fail(error);
}

Result<BlockRef> BlockCache::get(BlockNo number) {
    return obtain(number, Content::read);
}

/// One more pin on what was found, which is used lately now.
void BlockCache::pin_found(State& state, Entry& e) {
    if (e.pins.fetch_add(1, std::memory_order_seq_cst) == 0) pinned_.fetch_add(1, std::memory_order_relaxed);
    if (e.dirt == Entry::Dirt::none) {
        List<Entry>::remove(e);
        state.lru.push_back(e);
    }
    ++state.stats.hits;
}

usize BlockCache::copy_present(BlockNo first, usize start, MutableBytes to) {
    constexpr usize kMost = 16;  // found with one look; nobody asks for more while it holds these
    Entry* pinned[kMost];
    const usize wanted = std::min<usize>((start + to.size() + block_size_ - 1) / block_size_, kMost);
    usize count = 0, done = 0;
    {
        auto state = state_.lock();
        for (; count < wanted; ++count) {
            Entry* const e = find(BlockNo(first.raw + count));
            if (e == nullptr || e->state.load(std::memory_order_acquire) != Entry::State::valid) break;
            pin_found(*state, *e);
            pinned[count] = e;
        }
    }
    for (Entry* const e : std::span(pinned).first(count)) {
        const usize n = std::min(block_size_ - start, to.size() - done);
        std::memcpy(to.data() + done, e->bytes.data() + start, n);
        unpin(*e);
        done += n;
        start = 0;
    }
    return done;
}

bool BlockCache::copy_one_present(BlockNo number, usize start, MutableBytes to) {
    Entry* e;
    {
        auto state = state_.lock();
        e = find(number);
        if (e == nullptr || e->state.load(std::memory_order_acquire) != Entry::State::valid) return false;
        pin_found(*state, *e);
    }
    std::memcpy(to.data(), e->bytes.data() + start, to.size());
    unpin(*e);
    return true;
}

/// A block that nobody needs to read: it was just allocated, and whoever edits it fills it.
void BlockCache::skip_reading(Entry& e) {
    e.state.store(Entry::State::valid, std::memory_order_release);
    e.waiters.wake(true);
    unpin(e);
}

Result<BlockRef> BlockCache::obtain(BlockNo number, Content content) {
    if (number.raw >= blocks()) return fail(Error::invalid);
    for (int tries = 0;;) {
        Entry* mine = nullptr;
        Entry* found = nullptr;
        bool may_grow = false;
        {
            auto state = state_.lock();
            found = find(number);
            if (found != nullptr) {
                pin_found(*state, *found);
            } else {
                if (lost_.load(std::memory_order_seq_cst)) return fail(Error::device_broken);
                may_grow = state->free_blocks == 0 && can_grow(*state);
                if (!may_grow) mine = take_free(*state);
                if (mine != nullptr) {
                    start_reading(*state, *mine, number);
                    mine->pins.fetch_add(1, std::memory_order_relaxed);
                    if (content == Content::read) {
                        ++state->stats.misses;
                        ++state->stats.requests;
                    }
                }
            }
        }
        if (found == nullptr && mine == nullptr) {
            if (may_grow)
                grow();
            else if (auto room = wait_for_room(); !room)
                return fail(room.error());
            continue;
        }
        if (mine != nullptr && content == Content::read) read_one(*mine);
        if (mine != nullptr && content != Content::read) skip_reading(*mine);
        Retry retry = Retry::no;
        auto ref = wait_for(mine != nullptr ? *mine : *found, retry);
        if (ref || retry == Retry::no || ++tries == kTries) return ref;
    }
}

// ---- prefetching
// ------------------------------------------------------------------------------------------------

BlockCache::Transfer* BlockCache::take_transfer() {
    for (u32 i = 0; i < kTransfers; ++i)
        if (!transfers_[i].busy.exchange(true, std::memory_order_acquire)) return &transfers_[i];
    return nullptr;
}

/// Puts up to `count` absent blocks from `n` into `t`: as many as one request holds. Returns how many.
u32 BlockCache::fill(State& state, Transfer& t, BlockNo n, u32 count) {
    const usize max_segments = std::min<usize>(kSegments, limits_.max_segments);
    usize segments = 0;
    u64 bytes = 0;
    u32 filled = 0;
    Entry** link = &t.first;
    for (; filled < count && bytes + block_size_ <= limits_.max_request_bytes; ++filled, n += 1) {
        if (find(n) != nullptr) break;
        Entry* const e = take_free(state);
        if (e == nullptr) break;
        IoSegment* const last = segments == 0 ? nullptr : &t.segments[segments - 1];
        const bool adjacent = last != nullptr && last->bytes.data() + last->bytes.size() == e->bytes.data() &&
                              last->dma + last->bytes.size() == e->dma &&
                              last->bytes.size() + block_size_ <= limits_.max_segment_bytes;
        if (!adjacent && segments == max_segments) {
            state.free.push_front(*e);
            ++state.free_blocks;
            break;
        }
        if (adjacent)
            last->bytes = {last->bytes.data(), last->bytes.size() + block_size_};
        else
            t.segments[segments++] = {e->bytes, e->dma};
        start_reading(state, *e, n);
        e->grouped = true;
        *link = e;
        link = &e->group_next;
        bytes += block_size_;
    }
    t.request.data = {t.segments, segments};
    return filled;
}

void BlockCache::transfer_done(BlockRequest& r) {
    Transfer& t = *static_cast<Transfer*>(r.context);
    for (Entry* e = t.first; e != nullptr;) {
        Entry* const next = e->group_next;  // *e may be read anew once it is finished
        e->cache->finish(*e, r);
        e = next;
    }
    t.busy.store(false, std::memory_order_release);  // the last access: ~BlockCache waits for it
}

void BlockCache::prefetch(BlockNo first, u32 count) {
    const u64 end = blocks();
    if (first.raw >= end || lost_.load(std::memory_order_relaxed)) return;
    count = static_cast<u32>(std::min<u64>({count, prefetch_limit(), end - first.raw}));
    if (count == 0) return;
    {
        // A reader inside its window asks for nothing new: one look, no memory.
        auto state = state_.lock();
        for (; count != 0 && find(first) != nullptr; --count) first += 1;
    }
    if (count == 0) return;
    grow_for(count);
    bool submitted = false;
    while (count != 0) {
        Transfer* const t = take_transfer();
        if (t == nullptr) break;
        u32 filled = 0;
        {
            auto state = state_.lock();
            for (; count != 0 && find(first) != nullptr; --count) first += 1;
            if (count != 0) filled = fill(*state, *t, first, count);
            state->stats.prefetched += filled;
            state->stats.requests += filled != 0 ? 1 : 0;
        }
        if (filled == 0) {
            t->busy.store(false, std::memory_order_release);
            break;
        }
        t->request.op = BlockRequest::Op::read;
        t->request.lba = Lba(first.raw * (block_size_ / kSectorSize));
        t->request.error.reset();
        t->request.quarantined = false;
        t->request.context = t;
        t->request.done = &BlockCache::transfer_done;
        device_.submit(t->request);
        submitted = true;
        first += filled;
        count -= filled;
    }
    if (submitted) device_.flush_submissions();
}

BlockCacheStats BlockCache::stats() {
    auto state = state_.lock();
    BlockCacheStats s = state->stats;
    s.capacity_bytes = u64{max_blocks_} * block_size_;
    s.memory_bytes = u64{state->resident_blocks} * block_size_;
    s.is_short = is_short(*state);
    s.errors = errors_.load(std::memory_order_relaxed);
    s.pinned_blocks = pinned_.load(std::memory_order_relaxed);
    s.dirty_blocks = state->data_blocks;
    s.running_blocks = state->running_blocks;
    s.logged_blocks = state->logged_blocks;
    return s;
}

}  // namespace ringlet::fs
