// One mounted ext4 filesystem and its inodes. Context: thread. No function holds a block pinned while it asks the cache
// for another. Mounting is volume.cpp, what only a writable one needs is volume_write.cpp.
#pragma once

#include <memory>
#include <optional>

#include "fs/ext4/inode_table.hpp"
#include "kernel/sched/mutex.hpp"
#include "lib/function_ref.hpp"

namespace ringlet::fs::ext4 {

class Volume;

/// Whether the log may hold something: a filesystem that is `needed` is replayed before anybody uses it.
enum class Recovery : u8 { none, needed };
/// Changes the superblock on the disk, past any cache; durable when it returns.
Result<> set_recovery(BlockDevice& device, Recovery recovery);

/// The inodes that are to be deleted or cut when the last user has gone, as the disk has them: a list that begins in
/// the superblock and goes on in their dtime fields. Its lock is taken inside a handle.
struct OrphanList {
    List<Ext4Inode, OrphanList> inodes;  ///< the newest first
};

class Volume final : public FileSystem, private JournalClient {
public:
    static Result<std::unique_ptr<FileSystem>> mount(BlockDevice& device, const Ext4Options& options, MountText& why);
    ~Volume() override;

    Result<Ref<Inode>> root() override { return inode(kRootInode); }
    Result<StatFs> statfs() override;
    std::string_view warning() const override;
    Result<> sync() override;
    void write_back() override;
    Result<> remount(bool read_only) override;
    Result<u64> trim(u64 least) override;
    usize users() override;
    void for_each_value(FunctionRef<void(std::string_view, u64)> visit) override;

    /// The inode `number`, which may come from the disk: corrupt when it cannot be one, or is not in use.
    Result<Ref<Inode>> inode(u32 number);
    /// What `directory` calls `name`, if that is known without looking: nothing else may be concluded.
    Ref<Inode> known(u32 directory, std::string_view name);
    /// For known(): `inode` is called so. The caller shares the tree, or has it alone.
    void remember_name(Ext4Inode& inode, u32 directory, std::string_view name);
    /// `name` is about to go, or to mean something else. The caller has the tree alone.
    void forget_name(u32 directory, std::string_view name);
    /// The same for one of the reserved inodes, for ourselves: the journal.
    Result<Ref<Inode>> system_inode(u32 number) { return load(number, Unlinked::refused); }
    const Geometry& geometry() const { return geometry_; }
    BlockCache& cache() { return *cache_; }
    Groups& groups() { return *groups_; }
    RwLock& tree() { return tree_; }

    struct RawInode {
        BlockRef block;
        u64 number = 0;    ///< of the block
        usize offset = 0;  ///< inside the block
        Bytes bytes;       ///< inode_size of them, checksum verified
    };
    Result<RawInode> raw_inode(u32 number);

    // ---- changing: volume_write.cpp

    bool is_writable() const { return writable_.load(std::memory_order_acquire); }
    /// Runs `change` in a handle that may change `credits` blocks of metadata (or as many as there are for anybody,
    /// which only a tree that lies about its depth does not find enough) and take `blocks` blocks. An error of `change`
    /// after it changed something aborts the journal: what can go wrong must go wrong before. no_space comes before
    /// `change` is called. The caller holds no handle.
    Result<> transact(u32 credits, u32 blocks, FunctionRef<Result<>(Handle&)> change);
    u32 most_credits() const { return journal_->most_credits(); }
    /// Makes what `transaction` changed, and the data of `inode` (0: none), durable.
    Result<> make_durable(u32 transaction, u32 inode);
    /// Writes data back. An error makes the filesystem read-only.
    Result<> write_data(const BlockCache::Selection& what);
    /// Lets the flusher's work be done by a writer when there is much of it. No handle is open.
    Result<> throttle();
    Result<> add_orphan(Handle& handle, Ext4Inode& inode);
    Result<> remove_orphan(Handle& handle, Ext4Inode& inode);
    /// Credits of either.
    static constexpr u32 kOrphanCredits = 2;
    /// An inode that was just allocated, into the table of those in memory. `fresh` has its number.
    Ref<Ext4Inode> adopt(std::unique_ptr<Ext4Inode> fresh);
    /// The last reference to an inode without a name has gone.
    void discard(Ext4Inode& inode);
    Timestamp now() const;
    /// Room for one block and the places of its entries, for whoever holds the tree alone.
    struct Scratch {
        MutableBytes block;
        std::span<u64> entries;
    };
    Scratch scratch();

private:
    explicit Volume(BlockDevice& device) : device_(device) {}
    static Result<std::unique_ptr<Volume>> open(BlockDevice& device, const Geometry& geometry,
                                                const Ext4Options& options);
    static Result<> recover(BlockDevice& device, const Geometry& geometry, MountText& why);
    enum class Unlinked : u8 { refused, welcome };
    Result<Ref<Inode>> load(u32 number, Unlinked unlinked);

    // JournalClient
    Result<> complete_transaction(Handle& handle) override { return groups_->complete(handle); }
    void transaction_committed() override { groups_->committed(); }
    void journal_aborted(Error why) override;

    /// Why this filesystem is not to be written; empty when it may be.
    std::string_view reason_against_writing() const;
    Result<> start_writing();
    Result<> count_free();
    Result<> stop_writing();
    Result<> edit_superblock(Handle& handle, FunctionRef<void(Superblock&)> change);
    Result<Superblock> read_superblock_block();
    Result<> clean_up_orphans();
    Result<> clean_up_orphan_list(u32 first);
    Result<> clean_up_orphan_file(u32 file);
    Result<> clean_up_orphan(u32 number);
    void say(std::string_view text, Error error);

    BlockDevice& device_;
    Geometry geometry_;
    MountText warning_;
    MountText failure_;  ///< written once, before failed_
    std::atomic<bool> writable_{false}, failed_{false};
    void (*on_failure_)(std::string_view, std::string_view) = nullptr;
    std::unique_ptr<BlockCache> cache_;
    std::optional<Groups> groups_;
    std::unique_ptr<LogMap> log_;
    std::unique_ptr<Journal> journal_;
    std::unique_ptr<std::byte[]> scratch_block_;
    std::unique_ptr<u64[]> scratch_entries_;
    RwLock tree_;
    kernel::Guarded<InodeTable, kernel::Rank::inode, kernel::Spinlock> inodes_;
    kernel::Guarded<OrphanList, kernel::Rank::fs, kernel::Mutex> orphans_;
};

inline Ext4Inode::Ext4Inode(Volume& volume, u32 number) : Inode(volume), volume_(volume), number_(number) {}
inline const Geometry& Ext4Inode::geometry() const {
    return volume_.geometry();
}

}  // namespace ringlet::fs::ext4
