// The log: what a transaction looks like in it, and how its space comes back.
//
//   descriptor, up to n copies, descriptor, copies, ... , revoke block, | flush | commit block | flush
//
// The data that belongs to it goes before the first flush, in the same batch.
// `copies_` holds a transaction in just this order, then one slot for the commit block and one for the superblock.
#include <algorithm>
#include <new>

#include "fs/ext4/journal.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr usize kUuid = 16;

template <class T> T& overlay(MutableBytes bytes, usize at = 0) {
    static_assert(alignof(T) == 1);
    ASSERT(at + sizeof(T) <= bytes.size());
    return *reinterpret_cast<T*>(bytes.data() + at);
}

JournalHeader& start_block(MutableBytes block, u32 type, u32 sequence) {
    std::memset(block.data(), 0, block.size());
    auto& h = overlay<JournalHeader>(block);
    h.magic = kJournalMagic;
    h.blocktype = type;
    h.sequence = sequence;
    return h;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(BlockDevice& device, BlockCache& cache, JournalClient& client,
                                               const LogMap* log, const Geometry& geometry) {
    std::unique_ptr<Journal> j(new (std::nothrow) Journal(device, cache, client, geometry));
    if (!j) return fail(Error::no_memory);
    j->max_blocks_ = std::min<u32>(cache.capacity() / 6, 256);
    j->format_.block_size = geometry.block_size;
    j->max_revokes_ = static_cast<u32>((geometry.block_size - sizeof(JournalRevokeHeader) - kJournalTail) / 8);
    j->batch_ = TRY(BatchWriter::create(device));
    if (log != nullptr) {
        if (auto r = j->open_log(*log); !r) return fail(r.error());
    }
    if (j->max_blocks_ < kMinimumBlocks) return fail(Error::unsupported);
    if (auto r = cache.keep(kSmallestCache); !r) return fail(r.error());
    j->revoked_.reset(new (std::nothrow) u64[j->max_revokes_]);
    j->frozen_revoked_.reset(new (std::nothrow) u64[j->max_revokes_]);
    j->numbers_.reset(new (std::nothrow) u64[j->max_blocks_]);
    if (!j->revoked_ || !j->frozen_revoked_ || !j->numbers_) return fail(Error::no_memory);
    if (!j->has_log()) return j;
    const usize slots = j->position_of(j->max_blocks_) + 3;
    j->copies_ = TRY(kernel::DmaRegion::allocate(slots * geometry.block_size));
    if (auto r = j->write_superblock(0, j->format_.sequence); !r) return fail(r.error());
    return j;
}

Result<> Journal::open_log(const LogMap& log) {
    {
        const BlockRef super = TRY(cache_.get(BlockNo(log.at(0).physical)));
        format_ = TRY(read_journal_superblock(super.bytes(), geometry_.block_size, log.blocks()));
    }
    if (format_.start != 0) return fail(Error::corrupt);  // it was replayed
    log_ = log;
    // The log is empty, so its format is ours to choose: what Linux would choose.
    format_.incompat = kJournalIncompatRevoke | (geometry_.has(kIncompat64bit) ? kJournalIncompat64bit : 0) |
                       (geometry_.checksums() ? kJournalIncompatCsumV3 : 0);
    if (format_.sequence == 0) format_.sequence = 1;
    head_ = format_.first;
    tag_bytes_ = format_.checksums() ? sizeof(JournalTag3) : format_.has(kJournalIncompat64bit) ? 12 : 8;
    tags_per_descriptor_ =
        static_cast<u32>((format_.block_size - sizeof(JournalHeader) - kUuid - kJournalTail) / tag_bytes_);
    const u32 usable = format_.length - format_.first;
    max_blocks_ = std::min(max_blocks_, usable / 4 - 8);
    auto state = state_.lock();
    state->running = format_.sequence;
    state->committed = format_.sequence - 1;
    return {};
}

u32 Journal::used_log() const {
    if (marks_.empty()) return 0;
    const u32 usable = format_.length - format_.first;
    return (head_ + usable - marks_[0].start) % usable;
}

void Journal::add_to_batch(BatchWriter& batch, u32 log_block, usize index) const {
    const u32 sectors = format_.block_size / kSectorSize;
    batch.add(Lba(log_.at(log_block).physical * sectors), {slot(index), copies_.addr(index * format_.block_size)});
}

void Journal::build_descriptors(u32 transaction, u32 blocks) {
    const be32 sequence = transaction;
    const u32 seed = crc32c(format_.seed, std::as_bytes(std::span(&sequence, 1)));
    for (u32 index = 0; index < blocks;) {
        const MutableBytes block = slot(position_of(index) - 1);
        start_block(block, kJournalDescriptor, transaction);
        usize at = sizeof(JournalHeader);
        for (u32 n = 0; n < tags_per_descriptor_ && index < blocks; ++n, ++index) {
            const MutableBytes copy = slot(position_of(index));
            u32 flags = n == 0 ? 0 : kTagSameUuid;
            if (overlay<be32>(copy) == be32(kJournalMagic)) {
                overlay<be32>(copy) = 0u;
                flags |= kTagEscape;
            }
            if (n + 1 == tags_per_descriptor_ || index + 1 == blocks) flags |= kTagLast;
            const u64 number = numbers_[index];
            if (format_.checksums()) {
                auto& tag = overlay<JournalTag3>(block, at);
                tag.blocknr = static_cast<u32>(number);
                tag.blocknr_high = static_cast<u32>(number >> 32);
                tag.flags = flags;
                tag.checksum = crc32c(seed, copy);
            } else {
                overlay<be32>(block, at) = static_cast<u32>(number);
                overlay<be16>(block, at + 6) = static_cast<u16>(flags);
                if (tag_bytes_ == 12) overlay<be32>(block, at + 8) = static_cast<u32>(number >> 32);
            }
            at += tag_bytes_ + (n == 0 ? kUuid : 0);
        }
        const usize tail = block.size() - kJournalTail;
        if (format_.checksums()) overlay<be32>(block, tail) = journal_checksum(format_.seed, block, tail);
    }
}

void Journal::build_revoke_block(MutableBytes block, u32 transaction, u32 count) {
    start_block(block, kJournalRevoke, transaction);
    const usize width = format_.has(kJournalIncompat64bit) ? 8 : 4;
    usize at = sizeof(JournalRevokeHeader);
    for (u32 i = 0; i < count; ++i, at += width) {
        if (width == 8)
            overlay<be64>(block, at) = frozen_revoked_[i];
        else
            overlay<be32>(block, at) = static_cast<u32>(frozen_revoked_[i]);
    }
    overlay<JournalRevokeHeader>(block).count = static_cast<u32>(at);
    const usize tail = block.size() - kJournalTail;
    if (format_.checksums()) overlay<be32>(block, tail) = journal_checksum(format_.seed, block, tail);
}

Result<> Journal::write_log(const Frozen& frozen, const BlockCache::Selection& data) {
    const auto [transaction, blocks, revokes] = frozen;
    build_descriptors(transaction, blocks);
    u32 slots = blocks == 0 ? 0 : position_of(blocks - 1) + 1;
    if (revokes != 0) build_revoke_block(slot(slots++), transaction, revokes);
    const u32 usable = format_.length - format_.first;
    if (used_log() + slots + 1 >= usable || marks_.size() == kMarks) return fail(Error::no_space);

    const u32 start = head_;
    if (format_.start == 0)  // the first since the log was empty
        if (auto r = write_superblock(start, transaction); !r) return r;
    const auto copies = [&](BatchWriter& batch) {
        for (u32 i = 0; i < slots; ++i) add_to_batch(batch, format_.after(start, i), i);
    };
    const FunctionRef<void(BatchWriter&)> along(copies);
    if (auto r = cache_.write_back(data, &along); !r) return r;
    if (auto r = flush(); !r) return r;
    if (auto r = write_commit_block(transaction, format_.after(start, slots)); !r) return r;
    ASSERT(marks_.try_push_back({transaction, start}));
    head_ = format_.after(start, slots + 1);
    return {};
}

Result<> Journal::write_commit_block(u32 transaction, u32 at) {
    const usize index = position_of(max_blocks_) + 1;
    const MutableBytes block = slot(index);
    start_block(block, kJournalCommit, transaction);
    auto& commit = overlay<JournalCommitBlock>(block);
    const u64 now = kernel::wall_clock_ns();
    commit.commit_sec = now / 1'000'000'000;
    commit.commit_nsec = static_cast<u32>(now % 1'000'000'000);
    if (format_.checksums())
        commit.chksum[0] = journal_checksum(format_.seed, block, offsetof(JournalCommitBlock, chksum));
    add_to_batch(*batch_, at, index);
    return batch_->finish_and_flush();
}

/// Durable when it returns, with everything that is in the batch.
Result<> Journal::write_superblock(u32 start, u32 sequence) {
    const usize index = position_of(max_blocks_) + 2;
    const MutableBytes block = slot(index);
    const u64 home = log_.at(0).physical;
    {
        const BlockRef old = TRY(cache_.get(BlockNo(home)));
        std::memcpy(block.data(), old.bytes().data(), block.size());
    }
    auto& s = overlay<JournalSuperblock>(block);
    s.header.blocktype = kJournalSuperV2;
    s.start = start;
    s.sequence = sequence;
    s.feature_incompat = format_.incompat;
    if (format_.checksums()) {
        s.checksum_type = kJournalCrc32c;
        s.checksum = 0u;
        s.checksum = journal_checksum(~0u, Bytes(block).first(sizeof(s)), offsetof(JournalSuperblock, checksum));
    }
    add_to_batch(*batch_, 0, index);
    if (auto r = batch_->finish_and_flush(); !r) return r;
    format_.start = start;
    return {};
}

/// Twice the largest transaction stays free after a commit: blocks that the running one has changed again cannot be
/// written home, and keep what they have in the log until it is committed too.
bool Journal::is_log_crowded() {
    const u32 usable = format_.length - format_.first;
    return used_log() + 2 * (position_of(max_blocks_) + 3) > usable || marks_.size() + 2 > kMarks ||
           cache_.has_many_logged();
}

/// Writes home what only the log has, and gives back the log's space. Called by the leader, right after a commit: only
/// then is the newest copy of every block in the log a committed one.
Result<> Journal::checkpoint() {
    u32 committed;
    {
        auto state = state_.lock();
        committed = state->committed;
        ++state->stats.checkpoints;
    }
    if (auto r = cache_.write_back({.kind = BlockCache::Selection::Kind::logged, .up_to = committed}); !r) return r;
    if (auto r = flush(); !r) return r;
    if (!has_log()) return {};
    const u32 oldest = cache_.oldest_logged(committed + 1);
    usize dead = 0;
    while (dead < marks_.size() && static_cast<i32>(marks_[dead].transaction - oldest) < 0) ++dead;
    if (dead == 0) return {};
    FixedVector<Mark, kMarks> left;
    for (usize i = dead; i < marks_.size(); ++i) ASSERT(left.try_push_back(marks_[i]));
    marks_ = std::move(left);
    // Durable before the space is used again: a recovery that began at an overwritten place would find nothing.
    return marks_.empty() ? write_superblock(head_, committed + 1)
                          : write_superblock(marks_[0].start, marks_[0].transaction);
}

Result<> Journal::close() {
    if (is_aborted()) return fail(why_);
    {
        auto state = state_.lock();
        state->closed = true;
        changed_.wait(state, [&] { return state->handles == 0; });
    }
    changed_.wake_all();
    if (auto r = cache_.write_back({}); !r) return r;
    if (auto r = commit_all(); !r) return r;
    if (auto r = checkpoint(); !r) return r;
    if (!has_log()) return {};
    u32 next;
    {
        auto state = state_.lock();
        next = state->running;
    }
    marks_.clear();
    return write_superblock(0, next);
}

}  // namespace ringlet::fs::ext4
