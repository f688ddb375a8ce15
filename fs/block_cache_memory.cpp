// The cache's memory. It grows by chunks while some is to spare. When somebody else needs memory, whole chunks are
// given back: the least recently used blocks of all lose theirs, and whoever else lies in the chunk moves to where they
// were. A block moves, under the lock, when nobody but its own dirt has pinned it: then nobody has its address. give()
// is called by allocations that find nothing, in any context: it waits for nothing and writes nothing.
#include <algorithm>
#include <new>

#include "fs/block_cache.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::fs {

namespace {
constexpr Duration kShortage = Duration::from_s(2);
constexpr usize kMostGiven = 128;  ///< pages in one go
}  // namespace

// ---- growing

/// Puts an entry into each place of the chunk's memory: those that were there before, or its own.
void BlockCache::settle(State& s, Chunk& chunk) {
    for (u32 i = 0; i < chunk_blocks_; ++i) {
        Entry& place = chunk.entries[i];
        if (place.tenant == nullptr) {
            place.cache = this;
            place.tenant = place.place = &place;
        }
        Entry& e = *place.tenant;
        e.bytes = chunk.memory.bytes().subspan(usize{i} * block_size_, block_size_);
        e.dma = chunk.memory.addr(usize{i} * block_size_);
        s.free.push_back(e);
    }
    s.free_blocks += chunk_blocks_;
    s.resident_blocks += chunk_blocks_;
    chunk.next = std::exchange(s.chunks, &chunk);
}

bool BlockCache::grow(Need need) {
    std::unique_ptr<Chunk> chunk;
    {
        auto state = state_.lock();
        if (max_blocks_ - state->granted_blocks < chunk_blocks_) return false;
        if (need == Need::wish && is_short(*state)) return false;
        state->granted_blocks += chunk_blocks_;
        if (state->empty_chunks != nullptr) {
            chunk.reset(state->empty_chunks);
            state->empty_chunks = chunk->next;
        }
    }
    const usize bytes = usize{chunk_blocks_} * block_size_;
    const bool may = need == Need::required || kernel::has_spare_pages(bytes / kPageSize);
    if (may && !chunk) {
        chunk.reset(new (std::nothrow) Chunk);
        if (chunk) chunk->entries.reset(new (std::nothrow) Entry[chunk_blocks_]);
        if (chunk && !chunk->entries) chunk.reset();
    }
    if (may && chunk)
        if (auto memory = kernel::DmaRegion::allocate(bytes)) chunk->memory = std::move(*memory);
    auto state = state_.lock();
    if (chunk && !chunk->memory.bytes().empty()) {
        settle(*state, *chunk.release());
        return true;
    }
    state->granted_blocks -= chunk_blocks_;
    run_short(*state);
    if (chunk) chunk->next = std::exchange(state->empty_chunks, chunk.get());
    (void)chunk.release();
    return false;
}

void BlockCache::grow_for(u32 blocks) {
    for (;;) {
        {
            auto state = state_.lock();
            if (state->free_blocks >= blocks) return;
        }
        if (!grow()) return;
    }
}

Result<> BlockCache::keep(u32 blocks) {
    if (blocks > max_blocks_) return fail(Error::unsupported);
    const u32 least = std::max(chunk_blocks_, 8u);
    state_.lock()->kept_blocks = std::max(blocks, least);
    if (blocks == 0) return {};
    auto ready = prepare(*writer_.lock());
    while (ready && state_.lock()->resident_blocks < blocks)
        if (!grow(Need::required)) ready = fail(Error::no_memory);
    if (!ready) state_.lock()->kept_blocks = least;
    return ready;
}

bool BlockCache::promise(u32 blocks) {
    auto state = state_.lock();
    if (blocks != 0 && blocks + state->logged_blocks > state->resident_blocks / 2) return false;
    state->promised_blocks = blocks;
    return true;
}

u32 BlockCache::prefetch_limit() {
    if (!was_short_.load(std::memory_order_relaxed)) return max_blocks_ / 4;
    auto state = state_.lock();
    return bound(*state) / 4;
}

// ---- shrinking

bool BlockCache::is_short(State& s) {
    if (s.short_until == Instant{}) return false;
    if (kernel::now() < s.short_until) return true;
    s.short_until = {};
    was_short_.store(false, std::memory_order_relaxed);
    return false;
}

void BlockCache::run_short(State& s) {
    s.short_until = kernel::now() + kShortage;
    was_short_.store(true, std::memory_order_relaxed);
}

/// The journal's blocks leave a quarter for everybody else: who holds a handle finds room for what was promised, and
/// nobody who waits for room waits for a commit.
u32 BlockCache::least_blocks(const State& s) const {
    return std::max(s.kept_blocks, (s.promised_blocks + s.logged_blocks) * 4 / 3 + 1);
}

/// Nobody has the address of anything that lies in it.
bool BlockCache::can_move(const Chunk& chunk) const {
    return std::ranges::all_of(std::span(chunk.entries.get(), chunk_blocks_), [](const Entry& place) {
        const Entry& e = *place.tenant;
        return e.pins.load(std::memory_order_seq_cst) == (e.dirt == Entry::Dirt::none ? 0u : 1u) && !e.writing;
    });
}

/// `out`, which is on no list, and `stays` change places.
void BlockCache::exchange(Entry& out, Entry& stays) {
    if (stays.hashed) std::memcpy(out.bytes.data(), stays.bytes.data(), block_size_);
    std::swap(out.bytes, stays.bytes);
    std::swap(out.dma, stays.dma);
    std::swap(out.place, stays.place);
    out.place->tenant = &out;
    stays.place->tenant = &stays;
}

/// Takes the memory of the least recently used blocks together in one chunk, which then is an empty one, but for its
/// memory. nullptr: none that could be spared.
BlockCache::Chunk* BlockCache::vacate_a_chunk(State& s) {
    // What a lost device has been given is not known.
    if (lost_.load(std::memory_order_seq_cst) || s.resident_blocks < least_blocks(s) + chunk_blocks_) return nullptr;
    if (s.resident_blocks - pinned_.load(std::memory_order_seq_cst) < chunk_blocks_) return nullptr;
    Chunk** at = &s.chunks;
    while (*at != nullptr && !can_move(**at)) at = &(*at)->next;
    Chunk* const chunk = *at;
    if (chunk == nullptr) return nullptr;
    *at = chunk->next;
    chunk->next = std::exchange(s.empty_chunks, chunk);
    for (u32 i = 0; i < chunk_blocks_; ++i) {
        Entry* const out = take_free(s);
        ASSERT(out != nullptr);  // as many were not pinned, and pins rise under the lock only
        Entry& place = chunk->entries[i];
        if (out->place != &place) exchange(*out, *place.tenant);
        out->bytes = {};
    }
    s.granted_blocks -= chunk_blocks_;
    s.resident_blocks -= chunk_blocks_;
    s.stats.given_back += chunk_blocks_;
    return chunk;
}

usize BlockCache::give(usize pages) {
    run_short(*state_.lock());
    usize given = 0;
    while (given < std::min(pages, kMostGiven)) {
        kernel::DmaRegion memory;  // freed after the lock
        {
            auto state = state_.lock();
            Chunk* const chunk = vacate_a_chunk(*state);
            if (chunk == nullptr) break;
            memory = std::move(chunk->memory);
        }
        given += memory.bytes().size() / kPageSize;
    }
    return given;
}

usize BlockCache::reclaimable() {
    auto state = state_.lock();
    const u32 least = std::max(least_blocks(*state), pinned_.load(std::memory_order_relaxed));
    return state->resident_blocks <= least ? 0 : usize{state->resident_blocks - least} * block_size_ / kPageSize;
}

}  // namespace ringlet::fs
