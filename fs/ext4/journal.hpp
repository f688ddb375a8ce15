// The journal: changes of metadata reach the disk together or not at all (jbd2, ordered mode).
//
// An operation opens a Handle, edits blocks through it and drops it. All handles share the running transaction. To
// commit, one thread (the leader; others wait for it) closes the gate: no new handle, wait for the open ones. It
// completes the blocks (checksums), copies them and opens the gate again: the next transaction runs while this one goes
// to the log. Data that must not come later than the metadata ("ordered") is written together with the copies; flush;
// the commit block; flush. Blocks reach their homes later (checkpoint), when the log fills up or nobody needs it any
// more.
//
// Order of locks: an operation takes the tree's and the inode's lock first, then a handle; with a handle open it waits
// for no such lock, since their holders may be waiting for the gate. Context: thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>

#include "fs/block_cache.hpp"
#include "fs/ext4/geometry.hpp"
#include "fs/ext4/replay.hpp"
#include "kernel/sched/wait_queue.hpp"

namespace ringlet::fs::ext4 {

class Journal;

/// An operation's part in the running transaction. Everything edited through it becomes durable together.
class Handle {
public:
    Handle(Handle&& o) noexcept
        : journal_(std::exchange(o.journal_, nullptr)), credits_(o.credits_), edits_(o.edits_), promised_(o.promised_) {
    }
    ~Handle();

    /// A block of metadata to change. The errors of BlockCache::get(); no_space when the transaction cannot take
    /// another block, which the credits of begin() rule out.
    Result<BlockEdit> edit(u64 block, Content content = Content::read);
    /// A block of metadata was freed: a copy of it that the log has must not be replayed over what comes next. At most
    /// Journal::kRevokesPerHandle times per handle. corrupt: more than fit, which no filesystem that is right needs.
    Result<> revoke(u64 block);
    /// Whether something was changed, so that giving up half-way would leave a torn operation.
    bool has_edited() const { return edits_ != 0; }
    u32 transaction() const;

    /// Blocks that it may allocate: see Groups::reserve(). Without a promise, as many as there are.
    void promise(u32 blocks) { promised_ = blocks; }
    u32 promised() const { return promised_; }
    /// How much of the promise was used for `count` more.
    u32 use_promise(u32 count) {
        if (promised_ == kNoPromise) return 0;
        promised_ -= count;
        return count;
    }

private:
    friend class Journal;
    static constexpr u32 kNoPromise = ~0u;
    Handle(Journal& journal, u32 credits) : journal_(&journal), credits_(credits) {}
    Journal* journal_;
    u32 credits_;  ///< blocks that it may still add to the transaction
    u32 edits_ = 0;
    u32 promised_ = kNoPromise;
};

/// What the owner of the metadata has to do with a transaction.
class JournalClient {
public:
    virtual ~JournalClient() = default;
    /// The transaction ends: last edits (counts, checksums of bitmaps) through `handle`. No other handle is open.
    virtual Result<> complete_transaction(Handle& handle) = 0;
    /// What the transaction freed may be used again.
    virtual void transaction_committed() = 0;
    /// Nothing can be written any more.
    virtual void journal_aborted(Error why) = 0;
};

struct JournalStats {
    u64 commits = 0, logged_blocks = 0, checkpoints = 0, revokes = 0, forced = 0;
};

class Journal {
public:
    /// Credits that complete_transaction() may use.
    static constexpr u32 kCompleteCredits = 1;
    static constexpr u32 kRevokesPerHandle = 16;
    static constexpr u32 kMinimumBlocks = 40;  ///< of a transaction: a smaller cache or log cannot be written with
    /// Blocks of the cache that the journal keeps for itself and its client: a handle of most_credits() fits when
    /// nothing else is running or logged.
    static constexpr u32 kSmallestCache = 6 * kMinimumBlocks;

    /// `log` empty: no journal; a commit then writes everything home, in no particular order. The log was replayed.
    /// Everything outlives the journal. unsupported: cache or log too small; io, corrupt, no_memory.
    static Result<std::unique_ptr<Journal>> open(BlockDevice& device, BlockCache& cache, JournalClient& client,
                                                 const LogMap* log, const Geometry& geometry);

    /// Waits for the gate; commits first when the transaction is full. read_only: aborted.
    Result<Handle> begin(u32 credits);
    /// Until `transaction` is durable. io and the like: it will never be.
    Result<> commit(u32 transaction);
    /// Commits `transaction` with whatever was written to `inode`, data and log in one batch, if that transaction is
    /// the running one and nobody else is committing. False: it is not so, and nothing was done. The errors of
    /// commit().
    Result<bool> commit_with(u32 transaction, u32 inode);
    /// Everything up to now.
    Result<> commit_all();
    /// Commits, writes all home and marks the log empty. Nobody uses the filesystem meanwhile.
    Result<> close();
    /// What was written up to now is on the medium. Several who ask meanwhile share the next flush.
    Result<> flush();
    /// After an error in the middle of an operation: what was not committed never happens.
    void abort(Error why);
    bool is_aborted() const { return aborted_.load(std::memory_order_acquire); }
    u32 running();
    bool is_committed(u32 transaction);
    u32 most_credits() const { return std::min(max_blocks_, kSmallestCache / 2) - kCompleteCredits; }
    JournalStats stats() { return state_.lock()->stats; }

private:
    friend class Handle;
    struct State {
        u32 running = 1, committed = 0;
        u32 handles = 0;
        u32 blocks = 0;    ///< in the running transaction
        u32 reserved = 0;  ///< credits of open handles
        u32 revokes = 0;
        bool gate_closed = false, committing = false, closed = false;
        u64 flushes_begun = 0, flushes_done = 0;
        bool flushing = false;
        std::optional<Error> flush_error;  ///< for ever: who knows what was lost then
        JournalStats stats;
    };
    /// Where a transaction that may still be needed begins in the log.
    struct Mark {
        u32 transaction = 0, start = 0;
    };
    static constexpr u32 kMarks = 128;

    Journal(BlockDevice& device, BlockCache& cache, JournalClient& client, const Geometry& geometry)
        : device_(device), cache_(cache), client_(client), geometry_(geometry) {}
    Result<> open_log(const LogMap& log);
    bool has_log() const { return log_.blocks() != 0; }
    void end(Handle& handle);
    enum class Outcome : u8 { committed, nothing_to_log };
    Result<Outcome> lead(u32 inode);
    Result<Outcome> commit_running(u32 inode);
    /// A transaction that has ended. Fewer blocks than joined it: some were freed again.
    struct Frozen {
        u32 transaction = 0, blocks = 0, revokes = 0;
    };
    Result<> freeze(Frozen& frozen);
    Result<> write_log(const Frozen& frozen, const BlockCache::Selection& data);
    void build_descriptors(u32 transaction, u32 blocks);
    void build_revoke_block(MutableBytes block, u32 transaction, u32 count);
    Result<> write_commit_block(u32 transaction, u32 at);
    void add_to_batch(BatchWriter& batch, u32 log_block, usize slot) const;
    Result<> write_superblock(u32 start, u32 sequence);
    Result<> checkpoint();
    u32 used_log() const;
    bool is_log_crowded();
    u32 position_of(u32 index) const { return index + index / tags_per_descriptor_ + 1; }
    MutableBytes slot(usize index) const {
        return copies_.bytes().subspan(index * format_.block_size, format_.block_size);
    }

    BlockDevice& device_;
    BlockCache& cache_;
    JournalClient& client_;
    const Geometry& geometry_;
    LogMap log_;
    JournalFormat format_;
    u32 max_blocks_ = 0;  ///< of one transaction
    u32 max_revokes_ = 0;
    u32 tags_per_descriptor_ = 0, tag_bytes_ = 0;
    std::atomic<bool> aborted_{false};
    Error why_ = Error::io;
    kernel::Guarded<State, kernel::Rank::inode, kernel::Spinlock> state_;
    kernel::WaitQueue changed_;
    kernel::WaitQueue flushed_;
    std::unique_ptr<u64[]> revoked_;  ///< of the running transaction; state_'s lock

    // The leader's:
    kernel::DmaRegion copies_;  ///< the transaction as it lies in the log, then the commit block and the superblock
    std::unique_ptr<u64[]> numbers_, frozen_revoked_;
    std::unique_ptr<BatchWriter> batch_;
    u32 head_ = 0;  ///< the next block of the log
    FixedVector<Mark, kMarks> marks_;
};

inline u32 Handle::transaction() const {
    return journal_->running();
}

}  // namespace ringlet::fs::ext4
