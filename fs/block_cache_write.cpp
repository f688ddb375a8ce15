// The cache's other half: blocks that were changed, and their way to the disk. One thread writes at a time (writer_);
// it marks what it takes `writing`, so that nobody changes a block under the device's hands, and looks again when it
// finds one that is being changed. Pairs: edited() and write_some() wake those who wait on settled_.
#include <algorithm>
#include <new>

#include "fs/block_cache.hpp"

namespace ringlet::fs {

BlockEdit::~BlockEdit() {
    if (ref_.entry_ != nullptr) ref_.cache_->edited(*ref_.entry_);
}

u32& BlockCache::count_of(State& state, Entry::Dirt dirt) {
    if (dirt == Entry::Dirt::data) return state.data_blocks;
    return dirt == Entry::Dirt::running ? state.running_blocks : state.logged_blocks;
}

List<BlockCache::Entry>& BlockCache::list_of(State& state, Entry::Dirt dirt) {
    if (dirt == Entry::Dirt::data) return state.data;
    return dirt == Entry::Dirt::running ? state.running : state.logged;
}

/// Makes `e` a dirty one of this kind; it is hashed and on the LRU list or one of the dirty ones.
void BlockCache::soil(State& state, Entry& e, Entry::Dirt dirt) {
    if (e.dirt == dirt) return;
    if (e.dirt == Entry::Dirt::none) {
        if (e.pins.fetch_add(1, std::memory_order_seq_cst) == 0) pinned_.fetch_add(1, std::memory_order_relaxed);
    } else {
        --count_of(state, e.dirt);
    }
    List<Entry>::remove(e);
    e.dirt = dirt;
    list_of(state, dirt).push_back(e);
    ++count_of(state, dirt);
}

/// Back to the LRU list; the pin of the dirt goes too.
void BlockCache::clean(State& state, Entry& e) {
    --count_of(state, e.dirt);
    List<Entry>::remove(e);
    state.lru.push_back(e);
    e.dirt = Entry::Dirt::none;
    e.ordered = false;
    e.logged_in = 0;
    e.seal = nullptr;
    unpin(e);
}

Result<BlockEdit> BlockCache::edit_data(BlockNo number, Content content, u32 owner, Ordered ordered) {
    BlockRef ref = TRY(obtain(number, content));
    Entry& e = *ref.entry_;
    {
        auto state = state_.lock();
        settled_.wait(state, [&] { return !e.writing; });
        ++e.editors;
        if (e.dirt == Entry::Dirt::none) {
            e.stamp = ++state->stamp;
            soil(*state, e, Entry::Dirt::data);
        }
        e.owner = owner;
        e.ordered |= ordered == Ordered::yes;
    }
    if (content == Content::zeros) std::memset(e.bytes.data(), 0, e.bytes.size());
    return BlockEdit(std::move(ref));
}

Result<BlockEdit> BlockCache::edit_metadata(BlockNo number, Content content, bool& joined) {
    BlockRef ref = TRY(obtain(number, content));
    Entry& e = *ref.entry_;
    {
        auto state = state_.lock();
        settled_.wait(state, [&] { return !e.writing; });
        ++e.editors;
        joined = e.dirt != Entry::Dirt::running;
        soil(*state, e, Entry::Dirt::running);
    }
    if (content == Content::zeros) std::memset(e.bytes.data(), 0, e.bytes.size());
    return BlockEdit(std::move(ref));
}

void BlockCache::edited(Entry& e) {
    {
        auto state = state_.lock();
        ASSERT(e.editors != 0);
        if (--e.editors != 0) return;
    }
    settled_.wake_all();
}

bool BlockCache::forget(BlockNo number) {
    auto state = state_.lock();
    Entry* e = nullptr;
    settled_.wait(state, [&] {
        e = find(number);
        return e == nullptr || !e->writing;
    });
    if (e == nullptr) return false;
    const bool known = e->dirt == Entry::Dirt::running || e->dirt == Entry::Dirt::logged || e->logged_in != 0;
    if (e->dirt != Entry::Dirt::none) clean(*state, *e);
    unhash(*state, *e);
    return known;
}

// ---- writing

bool BlockCache::is_selected(const Entry& e, const Selection& what, u64 stamp) {
    switch (what.kind) {
    case Selection::Kind::data:
        return e.stamp <= stamp;
    case Selection::Kind::ordered:
        return (e.ordered || (what.inode != 0 && e.owner == what.inode)) && e.stamp <= stamp;
    case Selection::Kind::inode:
        return e.owner == what.inode && e.stamp <= stamp;
    case Selection::Kind::logged:
        return static_cast<i32>(what.up_to - e.logged_in) >= 0;
    }
    return false;
}

/// Those that can be taken now, in rising order, on their way from now on. None when nothing selected is left, or
/// nothing that an impatient caller can have.
u32 BlockCache::take_selected(Writer& writer, const Selection& what, u64 stamp) {
    u32 taken = 0;
    Entry** const first = writer.entries.get();
    {
        auto state = state_.lock();
        const auto dirt = what.kind == Selection::Kind::logged ? Entry::Dirt::logged : Entry::Dirt::data;
        bool busy = false;
        settled_.wait(state, [&] {
            busy = false;
            taken = 0;
            for (Entry& e : list_of(*state, dirt)) {
                if (!is_selected(e, what, stamp)) continue;
                if (e.editors != 0)
                    busy = true;
                else
                    first[taken++] = &e;
            }
            return taken != 0 || !busy || !what.patient;
        });
        for (u32 i = 0; i < taken; ++i) first[i]->writing = true;
    }
    std::sort(first, first + taken, [](const Entry* a, const Entry* b) { return a->number < b->number; });
    return taken;
}

/// One round. False when nothing was left for it.
Result<bool> BlockCache::write_some(Writer& writer, const Selection& what, u64 stamp,
                                    const FunctionRef<void(BatchWriter&)>* along) {
    const u32 taken = take_selected(writer, what, stamp);
    if (taken == 0 && along == nullptr) return false;
    Entry** const first = writer.entries.get();
    const u32 sectors = block_size_ / kSectorSize;
    for (u32 i = 0; i < taken; ++i)
        writer.batch->add(Lba(first[i]->number.raw * sectors), {first[i]->bytes, first[i]->dma});
    if (along != nullptr) (*along)(*writer.batch);
    const auto written = writer.batch->finish();
    if (writer.batch->quarantined()) lost_.store(true, std::memory_order_seq_cst);
    {
        auto state = state_.lock();
        for (u32 i = 0; i < taken; ++i) {
            first[i]->writing = false;
            if (written) clean(*state, *first[i]);
        }
        if (written) state->stats.written += taken;
    }
    settled_.wake_all();
    if (!written) return fail(written.error());
    return true;
}

Result<> BlockCache::prepare(Writer& writer) {
    if (writer.batch) return {};
    writer.entries.reset(new (std::nothrow) Entry*[max_blocks_]);
    if (!writer.entries) return fail(Error::no_memory);
    writer.batch = TRY(BatchWriter::create(device_));
    return {};
}

Result<> BlockCache::write_back(const Selection& what, const FunctionRef<void(BatchWriter&)>* along) {
    if (along == nullptr) {
        auto state = state_.lock();
        if (what.kind == Selection::Kind::logged ? state->logged.empty() : state->data.empty()) return {};
    }
    auto writer = writer_.lock();
    TRY(prepare(*writer));
    // What others changed while they waited for this lock goes along, and they find it done.
    const u64 stamp = state_.lock()->stamp;
    for (;; along = nullptr) {
        const bool more = TRY(write_some(*writer, what, stamp, along));
        if (!more || !what.patient) return {};
    }
}

bool BlockCache::is_crowded() {
    auto state = state_.lock();
    return state->data_blocks > bound(*state) / 4;
}

bool BlockCache::is_dirty() {
    return state_.lock()->data_blocks != 0;
}

// ---- the journal's part

void BlockCache::freeze(u32 transaction, FunctionRef<void(BlockNo, Bytes)> visit) {
    // The list is only changed by whoever edits metadata, and nobody does.
    for (;;) {
        Entry* e = nullptr;
        {
            auto state = state_.lock();
            if (state->running.empty()) return;
            e = &state->running.front();
            e->pins.fetch_add(1, std::memory_order_relaxed);  // it stays where it is
        }
        if (e->seal != nullptr) e->seal(e->bytes, e->seal_seed);
        visit(e->number, e->bytes);
        auto state = state_.lock();
        e->logged_in = transaction;
        soil(*state, *e, Entry::Dirt::logged);
        unpin(*e);
    }
}

bool BlockCache::has_many_logged() {
    auto state = state_.lock();
    return state->logged_blocks > (is_short(*state) ? 0 : max_blocks_ / 6);
}

u32 BlockCache::oldest_logged(u32 none) {
    auto state = state_.lock();
    u32 oldest = none;
    for (const Entry& e : state->logged)
        if (static_cast<i32>(e.logged_in - oldest) < 0) oldest = e.logged_in;
    for (const Entry& e : state->running)
        if (e.logged_in != 0 && static_cast<i32>(e.logged_in - oldest) < 0) oldest = e.logged_in;
    return oldest;
}

void BlockCache::discard_changes() {
    auto state = state_.lock();
    for (auto* list : {&state->data, &state->running, &state->logged})
        while (!list->empty()) {
            Entry& e = list->front();
            settled_.wait(state, [&] { return !e.writing; });
            clean(*state, e);
            unhash(*state, e);
        }
}

}  // namespace ringlet::fs
