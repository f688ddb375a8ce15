// What a filesystem that is written has beyond one that is read: a journal, orphans, an end.
#include <algorithm>
#include <new>

#include "fs/ext4/volume.hpp"
#include "lib/format.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr u32 kRoKnown = kRoSparseSuper | kRoLargeFile | kRoHugeFile | kRoGdtCsum | kRoDirNlink | kRoExtraIsize |
                         kRoMetadataCsum | kRoOrphanPresent;

}  // namespace

// ---- beginning and ending

std::string_view Volume::reason_against_writing() const {
    const Geometry& g = geometry_;
    if (device_.read_only()) return "the device cannot be written";
    if ((g.ro_compat & kRoBigalloc) != 0) return "bigalloc is not written";
    if ((g.ro_compat & ~kRoKnown) != 0) return "it has features that only reading is known of";
    if (g.has(kIncompatMmp)) return "multiple mount protection is not kept up";
    if (g.has(kIncompatEaInode)) return "attributes in inodes are not written";
    if ((g.compat & kCompatHasJournal) != 0 && g.journal_inode == 0) return "its journal is on another device";
    if (g.needs_recovery) return "its journal was not replayed";
    if ((g.state & kStateErrors) != 0) return "it is marked as having errors: run e2fsck";
    return {};
}

void Volume::say(std::string_view text, Error error) {
    failure_.length = format_to(failure_.text, "read-only: {} ({})", text, error).size();
}

Result<> Volume::remount(bool read_only) {
    if (read_only) return is_writable() ? stop_writing() : Result<>{};
    if (is_writable()) return {};
    if (failed_.load(std::memory_order_acquire)) return fail(Error::read_only);
    if (const std::string_view why = reason_against_writing(); !why.empty()) {
        failure_.length = format_to(failure_.text, "read-only: {}", why).size();
        return fail(Error::unsupported);
    }
    const auto started = start_writing();
    if (started) return {};
    if (journal_) journal_->abort(started.error());
    writable_.store(false, std::memory_order_release);
    (void)cache_->keep(0);
    say(started.error() == Error::unsupported ? "cache or journal too small" : "cannot be written", started.error());
    return started;
}

Result<> Volume::start_writing() {
    const u32 block = geometry_.block_size;
    if (cache_->capacity() < Journal::kSmallestCache) return fail(Error::unsupported);
    scratch_block_.reset(new (std::nothrow) std::byte[block]);
    scratch_entries_.reset(new (std::nothrow) u64[block / entry_bytes(1)]);
    if (!scratch_block_ || !scratch_entries_) return fail(Error::no_memory);
    TRY(count_free());
    if (geometry_.journal_inode != 0) {
        log_.reset(new (std::nothrow) LogMap);
        if (!log_) return fail(Error::no_memory);
        *log_ = TRY(LogMap::read(*this, geometry_.journal_inode));
    }
    TRY(set_recovery(device_, Recovery::needed));
    cache_->forget(BlockNo(groups_->superblock()));  // it was changed behind the cache's back
    journal_ = TRY(Journal::open(device_, *cache_, *this, log_.get(), geometry_));
    writable_.store(true, std::memory_order_release);
    return clean_up_orphans();
}

/// From the descriptors: the superblock's own counts are not kept up by everybody.
Result<> Volume::count_free() {
    u64 blocks = 0, inodes = 0;
    for (u32 i = 0; i < geometry_.groups; ++i) {
        const GroupInfo group = TRY(groups_->read(i));
        blocks += group.free_blocks;
        inodes += group.free_inodes;
    }
    if (blocks > geometry_.blocks || inodes > geometry_.inodes) return fail(Error::corrupt);
    return groups_->start(blocks, static_cast<u32>(inodes));
}

Result<> Volume::stop_writing() {
    const bool was_writable = writable_.exchange(false, std::memory_order_acq_rel);
    auto done = was_writable ? journal_->close() : Result<>(fail(Error::read_only));
    // What nobody has checked since a crash stays marked as not clean.
    if (done && !geometry_.was_cut_off()) done = set_recovery(device_, Recovery::none);
    if (done) {
        geometry_.free_blocks = groups_->free_blocks();
        geometry_.free_inodes = groups_->free_inodes();
        cache_->forget(BlockNo(groups_->superblock()));
    } else {
        cache_->discard_changes();
    }
    (void)cache_->keep(0);
    return done;
}

void Volume::journal_aborted(Error why) {
    say("an error in writing, what was not synced is lost", why);
    failed_.store(true, std::memory_order_release);
    writable_.store(false, std::memory_order_release);
    if (on_failure_ != nullptr) on_failure_(device_.name(), failure_.view());
}

std::string_view Volume::warning() const {
    return failed_.load(std::memory_order_acquire) || failure_.length != 0 ? failure_.view() : warning_.view();
}

// ---- transactions

Result<> Volume::transact(u32 credits, u32 blocks, FunctionRef<Result<>(Handle&)> change) {
    if (!is_writable()) return fail(Error::read_only);
    if (groups_->is_crowded()) TRY(journal_->commit_all());
    auto promised = groups_->reserve(blocks);
    if (!promised && groups_->has_pending()) {
        // What was freed lately can be had after a commit.
        TRY(journal_->commit_all());
        promised = groups_->reserve(blocks);
    }
    TRY(promised);
    Result<> done;
    bool torn = false;
    u32 left = blocks;
    {
        auto handle = journal_->begin(std::min(credits, most_credits()));
        if (handle) {
            handle->promise(blocks);
            done = change(*handle);
            torn = !done && handle->has_edited();
            left = handle->promised();
        } else {
            done = fail(handle.error());
        }
    }
    groups_->unreserve(left);
    if (torn) journal_->abort(done.error());
    return done;
}

Result<> Volume::write_data(const BlockCache::Selection& what) {
    auto done = cache_->write_back(what);
    // Somebody may have been told that it is written, or will be: nothing more is promised.
    if (!done) journal_->abort(done.error());
    return done;
}

Result<> Volume::throttle() {
    return cache_->is_crowded() ? write_data({}) : Result<>{};
}

Result<> Volume::make_durable(u32 transaction, u32 inode) {
    if (failed_.load(std::memory_order_acquire)) return fail(Error::io);
    if (!is_writable()) return {};
    const bool done = TRY(journal_->commit_with(transaction, inode));
    if (done) return {};
    // Otherwise before the commit: the next leader would not know of it.
    if (inode != 0) TRY(write_data({.kind = BlockCache::Selection::Kind::inode, .inode = inode}));
    if (transaction != 0 && !journal_->is_committed(transaction)) {
        const bool running = transaction == journal_->running();
        TRY(journal_->commit(transaction));
        // One that had ended before did not wait for data written since.
        if (running) return {};
    }
    auto flushed = journal_->flush();
    if (!flushed) journal_->abort(flushed.error());
    return flushed;
}

Result<> Volume::sync() {
    if (failed_.load(std::memory_order_acquire)) return fail(Error::io);
    if (!is_writable()) return {};
    TRY(write_data({}));
    return journal_->commit_all();
}

void Volume::write_back() {
    // An idle disk is left in peace.
    const BlockCacheStats now = cache_->stats();
    const bool in_the_way = now.is_short && now.logged_blocks != 0;  // written home they can be given back
    if (is_writable() && (now.dirty_blocks != 0 || now.running_blocks != 0 || in_the_way))
        (void)sync();  // who syncs is told
}

// ---- inodes in memory

Ref<Ext4Inode> Volume::adopt(std::unique_ptr<Ext4Inode> fresh) {
    std::unique_ptr<Ext4Inode> victim;  // freed after the lock
    auto inodes = inodes_.lock();
    victim.reset(inodes->evict());
    inodes->insert(*fresh);
    return Ref<Ext4Inode>::share(*fresh.release());
}

void Volume::discard(Ext4Inode& inode) {
    {
        auto orphans = orphans_.lock();
        if (static_cast<ListNode<OrphanList>&>(inode).linked()) List<Ext4Inode, OrphanList>::remove(inode);
    }
    std::unique_ptr<Ext4Inode> gone;
    auto inodes = inodes_.lock();
    inodes->remove(inode);
    gone.reset(&inode);
}

Volume::Scratch Volume::scratch() {
    const usize size = geometry_.block_size;
    return {{scratch_block_.get(), size}, {scratch_entries_.get(), size / entry_bytes(1)}};
}

// ---- orphans

Result<> Volume::edit_superblock(Handle& handle, FunctionRef<void(Superblock&)> change) {
    const BlockEdit edit = TRY(groups_->edit_superblock(handle));
    change(superblock_in(edit.bytes()));
    return {};
}

/// The caller stores the inode afterwards.
Result<> Volume::add_orphan(Handle& handle, Ext4Inode& inode) {
    auto orphans = orphans_.lock();
    if (static_cast<ListNode<OrphanList>&>(inode).linked()) return {};
    u32 next = 0;
    TRY(edit_superblock(handle, [&](Superblock& s) {
        next = s.last_orphan;
        s.last_orphan = inode.number();
    }));
    inode.fields_.lock()->deleted_or_next = next;
    orphans->inodes.push_front(inode);
    return {};
}

/// The caller stores the inode afterwards.
Result<> Volume::remove_orphan(Handle& handle, Ext4Inode& inode) {
    auto orphans = orphans_.lock();
    auto& node = static_cast<ListNode<OrphanList>&>(inode);
    if (!node.linked()) return {};
    const u32 next = inode.fields_.lock()->deleted_or_next;
    if (&orphans->inodes.front() == &inode) {
        TRY(edit_superblock(handle, [&](Superblock& s) { s.last_orphan = next; }));
    } else {
        auto& before = static_cast<Ext4Inode&>(*node.prev);
        before.fields_.lock()->deleted_or_next = next;
        TRY(before.store(handle));
    }
    List<Ext4Inode, OrphanList>::remove(inode);
    inode.fields_.lock()->deleted_or_next = 0;
    return {};
}

Result<Superblock> Volume::read_superblock_block() {
    const BlockRef block = TRY(cache_->get(BlockNo(groups_->superblock())));
    return *ringlet::read_at<Superblock>(block.bytes(), geometry_.block_size == 1024 ? 0 : kSuperblockOffset);
}

Result<> Volume::clean_up_orphans() {
    const Superblock s = TRY(read_superblock_block());
    TRY(clean_up_orphan_list(s.last_orphan));
    if ((geometry_.ro_compat & kRoOrphanPresent) == 0) return {};
    if ((geometry_.compat & kCompatOrphanFile) != 0) TRY(clean_up_orphan_file(s.orphan_file_inum));
    geometry_.ro_compat &= ~kRoOrphanPresent;
    return transact(1, 0, [&](Handle& handle) {
        return edit_superblock(handle,
                               [](Superblock& to) { to.feature_ro_compat = to.feature_ro_compat & ~kRoOrphanPresent; });
    });
}

/// One after the other from the front: each is gone from the list before the next is looked at.
Result<> Volume::clean_up_orphan_list(u32 first) {
    for (u32 number = first, count = 0; number != 0; ++count) {
        if (number < geometry_.first_inode || number > geometry_.inodes || count > geometry_.inodes)
            return fail(Error::corrupt);
        Ref<Inode> found = TRY(load(number, Unlinked::welcome));
        auto& inode = static_cast<Ext4Inode&>(*found);
        {
            auto orphans = orphans_.lock();
            if (static_cast<ListNode<OrphanList>&>(inode).linked()) return fail(Error::corrupt);
            orphans->inodes.push_front(inode);
        }
        const u32 next = inode.fields_.lock()->deleted_or_next;
        TRY(inode.clean_up_orphan());
        found = Ref<Inode>();  // deletes it, when it has no name
        const Superblock s = TRY(read_superblock_block());
        if (s.last_orphan != next) return fail(Error::io);  // that did not work
        number = next;
    }
    return {};
}

Result<> Volume::clean_up_orphan(u32 number) {
    if (number < geometry_.first_inode || number > geometry_.inodes) return fail(Error::corrupt);
    Ref<Inode> found = TRY(load(number, Unlinked::welcome));
    return static_cast<Ext4Inode&>(*found).clean_up_orphan();
}

/// A file of inode numbers (§"Orphan file"), which Linux uses instead of the list.
Result<> Volume::clean_up_orphan_file(u32 number) {
    const Ref<Inode> held = TRY(load(number, Unlinked::refused));
    auto& file = static_cast<Ext4Inode&>(*held);
    const u32 count = geometry_.block_size / 4 - 2;
    for (u64 logical = 0; logical < file.file_blocks(); ++logical) {
        const Run run = TRY(file.map(logical));
        if (run.reads_zeros()) return fail(Error::corrupt);
        for (u32 i = 0; i < count; ++i) {
            u32 orphan;
            {
                const BlockRef block = TRY(cache_->get(BlockNo(run.physical)));
                const auto tail = ringlet::read_at<OrphanTail>(block.bytes(), usize{count} * 4);
                if (tail->magic != kOrphanMagic) return fail(Error::corrupt);
                orphan = *ringlet::read_at<le32>(block.bytes(), usize{i} * 4);
            }
            if (orphan != 0) TRY(clean_up_orphan(orphan));
        }
        const auto done = transact(1, 0, [&](Handle& handle) -> Result<> {
            const BlockEdit edit = TRY(handle.edit(run.physical));
            std::memset(edit.bytes().data(), 0, usize{count} * 4);
            if (!geometry_.checksums()) return {};
            const le64 place = run.physical;
            OrphanTail tail{kOrphanMagic, 0u};
            tail.checksum = crc32c(crc32c(file.seed_, std::as_bytes(std::span(&place, 1))),
                                   Bytes(edit.bytes()).first(usize{count} * 4));
            std::memcpy(edit.bytes().data() + usize{count} * 4, &tail, sizeof(tail));
            return {};
        });
        if (!done) return fail(done.error());
    }
    return {};
}

Result<u64> Volume::trim(u64 least) {
    if (!is_writable()) return fail(Error::read_only);
    // What the running transaction freed is given up after its commit only.
    TRY(journal_->commit_all());
    return groups_->trim(device_, least);
}

}  // namespace ringlet::fs::ext4
