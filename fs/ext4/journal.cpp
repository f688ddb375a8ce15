// Handles, the gate, and who leads a commit. What a transaction looks like in the log: journal_log.cpp.
#include "fs/ext4/journal.hpp"

#include <algorithm>
#include <new>

namespace ringlet::fs::ext4 {
namespace {

bool reached(u32 at, u32 wanted) {
    return static_cast<i32>(at - wanted) >= 0;
}

}  // namespace

Handle::~Handle() {
    if (journal_ != nullptr) journal_->end(*this);
}

Result<BlockEdit> Handle::edit(u64 block, Content content) {
    Journal& j = *journal_;
    if (j.is_aborted()) return fail(Error::read_only);
    bool joined = false;
    {
        auto state = j.state_.lock();
        if (state->blocks >= j.max_blocks_) return fail(Error::no_space);
    }
    BlockEdit edit = TRY(j.cache_.edit_metadata(BlockNo(block), content, joined));
    ++edits_;
    if (joined) {
        auto state = j.state_.lock();
        ++state->blocks;
        if (credits_ != 0) {
            --credits_;
            --state->reserved;
        }
    }
    return edit;
}

Result<> Handle::revoke(u64 block) {
    Journal& j = *journal_;
    ++edits_;
    if (!j.has_log()) return {};
    auto state = j.state_.lock();
    if (state->revokes >= j.max_revokes_) return fail(Error::corrupt);
    j.revoked_[state->revokes++] = block;
    ++state->stats.revokes;
    return {};
}

Result<Handle> Journal::begin(u32 credits) {
    ASSERT(credits <= most_credits());
    for (;;) {
        u32 full = 0;
        bool fits = false;
        {
            auto state = state_.lock();
            changed_.wait(state, [&] { return !state->gate_closed || state->closed || is_aborted(); });
            if (state->closed || is_aborted()) return fail(Error::read_only);
            const u32 all = state->blocks + state->reserved + credits + kCompleteCredits;
            fits = all <= max_blocks_ && state->revokes + (state->handles + 1) * kRevokesPerHandle <= max_revokes_;
            if (fits && cache_.promise(all)) {
                ++state->handles;
                state->reserved += credits;
                return Handle(*this, credits);
            }
            full = state->running;
        }
        if (fits && cache_.grow()) continue;
        ++state_.lock()->stats.forced;
        if (auto r = commit(full); !r) return fail(Error::read_only);
    }
}

void Journal::end(Handle& handle) {
    bool last;
    {
        auto state = state_.lock();
        state->reserved -= handle.credits_;
        last = --state->handles == 0;
    }
    if (last) changed_.wake_all();
}

u32 Journal::running() {
    return state_.lock()->running;
}

bool Journal::is_committed(u32 transaction) {
    return reached(state_.lock()->committed, transaction);
}

Result<> Journal::commit_all() {
    return commit(running());
}

Result<> Journal::commit(u32 transaction) {
    for (;;) {
        {
            auto state = state_.lock();
            changed_.wait(state,
                          [&] { return reached(state->committed, transaction) || is_aborted() || !state->committing; });
            if (reached(state->committed, transaction)) return {};
            if (is_aborted()) return fail(why_);
            state->committing = true;
        }
        const Outcome outcome = TRY(commit_running(0));
        if (outcome == Outcome::nothing_to_log) return {};
    }
}

Result<bool> Journal::commit_with(u32 transaction, u32 inode) {
    {
        auto state = state_.lock();
        if (state->running != transaction || state->committing || is_aborted()) return false;
        state->committing = true;
    }
    TRY(commit_running(inode));
    return true;
}

/// The caller has said that it is `committing`.
Result<Journal::Outcome> Journal::commit_running(u32 inode) {
    const auto done = lead(inode);
    if (!done) abort(done.error());
    {
        auto state = state_.lock();
        state->committing = false;
    }
    changed_.wake_all();
    return done;
}

/// Commits what is running now, and writes what is dirty of `inode`'s data, unless that is 0.
Result<Journal::Outcome> Journal::lead(u32 inode) {
    Frozen frozen;
    {
        auto state = state_.lock();
        state->gate_closed = true;
        changed_.wait(state, [&] { return state->handles == 0; });
    }
    const auto done = freeze(frozen);
    {
        auto state = state_.lock();
        state->blocks = state->revokes = 0;
        (void)cache_.promise(0);
        // Numbers in the log are consecutive: a transaction without blocks takes none.
        if (frozen.blocks != 0) state->running = frozen.transaction + 1;
        state->gate_closed = false;
    }
    changed_.wake_all();
    if (!done) return fail(done.error());
    // The new transaction may have begun; its ordered data is written too, which does no harm.
    const BlockCache::Selection data{.kind = BlockCache::Selection::Kind::ordered, .inode = inode};
    const bool logs = has_log() && frozen.blocks != 0;
    if (auto r = logs ? write_log(frozen, data) : cache_.write_back(data); !r) return fail(r.error());
    if (frozen.blocks == 0) {
        if (auto r = flush(); !r) return fail(r.error());
        if (has_log() && is_log_crowded())
            if (auto r = checkpoint(); !r) return fail(r.error());
        return Outcome::nothing_to_log;
    }
    {
        auto state = state_.lock();
        state->committed = frozen.transaction;
        ++state->stats.commits;
        state->stats.logged_blocks += frozen.blocks;
    }
    client_.transaction_committed();
    if (!has_log() || is_log_crowded())
        if (auto r = checkpoint(); !r) return fail(r.error());
    return Outcome::committed;
}

/// With the gate closed: completes and copies the running transaction.
Result<> Journal::freeze(Frozen& frozen) {
    {
        // Not through begin(), which would wait for the gate.
        Handle handle(*this, 0);
        {
            auto state = state_.lock();
            frozen.transaction = state->running;
            ++state->handles;
        }
        if (auto r = client_.complete_transaction(handle); !r) return r;
    }
    {
        auto state = state_.lock();
        frozen.revokes = state->revokes;
        std::copy_n(revoked_.get(), frozen.revokes, frozen_revoked_.get());
    }
    cache_.freeze(frozen.transaction, [&](BlockNo number, Bytes bytes) {
        const u32 index = frozen.blocks++;
        if (!has_log()) return;
        ASSERT(index < max_blocks_);
        std::memcpy(slot(position_of(index)).data(), bytes.data(), bytes.size());
        numbers_[index] = number.raw;
    });
    return {};
}

void Journal::abort(Error why) {
    {
        auto state = state_.lock();
        if (is_aborted()) return;
        why_ = why;
        aborted_.store(true, std::memory_order_release);
    }
    changed_.wake_all();
    client_.journal_aborted(why);
}

Result<> Journal::flush() {
    u64 mine;
    {
        auto state = state_.lock();
        // One that has begun may have passed over what was written since.
        const u64 wanted = state->flushes_begun + 1;
        flushed_.wait(state, [&] { return state->flushes_done >= wanted || !state->flushing; });
        if (state->flushes_done >= wanted) return state->flush_error ? fail(*state->flush_error) : Result<>{};
        mine = ++state->flushes_begun;
        state->flushing = true;
    }
    BlockRequest request;
    request.op = BlockRequest::Op::flush;
    auto done = device_.run(request);
    {
        auto state = state_.lock();
        state->flushing = false;
        state->flushes_done = mine;
        if (!done && !state->flush_error) state->flush_error = done.error();
    }
    flushed_.wake_all();
    return done;
}

}  // namespace ringlet::fs::ext4
