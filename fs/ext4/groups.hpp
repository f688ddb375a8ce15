// Which blocks and inodes are free: the bitmaps and descriptors of block groups, and the totals of the superblock.
// What a transaction frees is not given out again before it is committed: until then a crash brings the old owner back.
//
// One lock, held while a bitmap is read. Every function but the last four runs inside a handle. Context: thread.
#pragma once

#include "fs/ext4/journal.hpp"
#include "kernel/sched/mutex.hpp"

namespace ringlet::fs::ext4 {

/// A descriptor, with its halves put together.
struct GroupInfo {
    u64 block_bitmap = 0, inode_bitmap = 0, inode_table = 0;
    u32 free_blocks = 0, free_inodes = 0, directories = 0, unused_inodes = 0;
    u16 flags = 0;
};

/// The halves of a number that descriptors have apart.
constexpr u64 both(le32 low, le32 high) {
    return u64{low} | u64{high} << 32;
}
constexpr u32 both(le16 low, le16 high) {
    return u32{low} | u32{high} << 16;
}
/// Flags and unused inodes only where descriptors have checksums: elsewhere they mean nothing.
GroupInfo group_info(const Geometry& geometry, const GroupDesc& d);

/// Consecutive blocks of the disk.
struct BlockRange {
    u64 first = 0;
    u32 count = 0;
};

class Groups {
public:
    Groups(BlockCache& cache, const Geometry& geometry) : cache_(cache), geometry_(geometry) {}
    /// The totals, as the superblock has them. no_memory.
    Result<> start(u64 free_blocks, u32 free_inodes);

    /// The descriptor of `group` (< groups), checked: its blocks lie inside the filesystem. corrupt, io. Any time.
    Result<GroupInfo> read(u32 group);
    /// Promises `blocks` blocks to one handle, before it is opened: what it does will not fail for want of them.
    /// no_space.
    Result<> reserve(u32 blocks);
    /// Ends a promise, as far as it was not used.
    void unreserve(u32 blocks);
    /// 1 to `wanted` consecutive blocks, at `goal` or as near behind it as there are; no more than the handle was
    /// promised. no_space; corrupt, io.
    Result<BlockRange> allocate(Handle& handle, u64 goal, u32 wanted);
    /// Blocks of one group or several. corrupt: they were not all in use.
    Result<> release(Handle& handle, BlockRange blocks);
    /// A free inode, near `parent`, or for a directory where there is room. no_space; corrupt, io.
    Result<u32> allocate_inode(Handle& handle, u32 parent, NodeType type);
    Result<> release_inode(Handle& handle, u32 number, NodeType type);
    /// Discards the free blocks on the device, in runs of at least `least` bytes; how many bytes. Nothing is allocated
    /// meanwhile. unsupported; io, corrupt.
    Result<u64> trim(BlockDevice& device, u64 least);
    /// JournalClient::complete_transaction.
    Result<> complete(Handle& handle);
    /// JournalClient::transaction_committed.
    void committed();

    u64 free_blocks() { return state_.lock()->free_blocks; }
    u32 free_inodes() { return state_.lock()->free_inodes; }
    /// no_space may be untrue until the next commit.
    bool has_pending() { return state_.lock()->pending != 0; }
    /// So many separate ranges wait for a commit that there should be one.
    bool is_crowded() { return state_.lock()->pending > kPending / 2; }
    /// The first block of the group that inode `number` lies in: where its blocks should be.
    u64 home_of(u32 inode) const { return group_start((inode - 1) / geometry_.inodes_per_group); }
    u64 superblock() const { return geometry_.block_size == 1024 ? 1 : 0; }
    /// The superblock's block to be changed (superblock_in()); it gets its checksum when the transaction ends.
    Result<BlockEdit> edit_superblock(Handle& handle);

private:
    enum class Bitmap : u8 { blocks, inodes };
    /// Freed and not yet to be given out. `committing`: its transaction has ended.
    struct Pending {
        u64 first = 0, end = 0;
        bool committing = false;
    };
    struct Stale {
        u32 group = 0;
        Bitmap kind = Bitmap::blocks;
    };
    static constexpr u32 kPending = 512, kStale = 256;
    struct State {
        u64 free_blocks = 0;
        u32 free_inodes = 0;
        u64 reserved = 0;        ///< blocks promised to open handles
        u64 pending_blocks = 0;  ///< freed, not to be given out yet
        u32 pending = 0, stale = 0;
        bool totals_changed = false;
        std::unique_ptr<Pending[]> pending_ranges;
        std::unique_ptr<Stale[]> stale_bitmaps;  ///< whose checksum is to be computed
        std::unique_ptr<std::byte[]> made_up_bitmap;
    };

    /// The place of a descriptor.
    struct DescriptorPlace {
        u64 block = 0;
        usize offset = 0;
    };
    DescriptorPlace descriptor_place(u32 group) const {
        const u32 per_block = geometry_.block_size / geometry_.descriptor_size;
        return {geometry_.descriptor_block(group / per_block), usize{group % per_block} * geometry_.descriptor_size};
    }
    /// One descriptor, as the disk has it; shorter ones leave the upper half zero.
    Result<GroupDesc> load(u32 group, bool& checksum_is_right);
    Result<> change(Handle& handle, u32 group, FunctionRef<void(GroupDesc&)> edit);
    u64 group_start(u32 group) const { return geometry_.first_data_block + u64{group} * geometry_.blocks_per_group; }
    u32 group_of(u64 block) const {
        return static_cast<u32>((block - geometry_.first_data_block) / geometry_.blocks_per_group);
    }
    u32 blocks_in(u32 group) const;
    u32 bits_of(u32 group, Bitmap kind) const {
        return kind == Bitmap::blocks ? blocks_in(group) : geometry_.inodes_per_group;
    }
    Result<> verify(u32 group, Bitmap kind, const GroupInfo& info);
    u32 bitmap_checksum(Bitmap kind, Bytes bytes) const;
    Result<BlockEdit> edit_bitmap(State& state, Handle& handle, u32 group, Bitmap kind, GroupInfo& info);
    void make_block_bitmap(u32 group, const GroupInfo& info, MutableBytes bytes) const;
    /// Puts `info` into the descriptor, with the descriptor's checksum.
    Result<> write(Handle& handle, u32 group, const GroupInfo& info);
    Result<BlockRange> search(State& state, u32 group, u64 from, u32 wanted, u32 least, const GroupInfo& info);
    BlockRange clip(const State& state, BlockRange run) const;
    Result<> take(State& state, Handle& handle, u32 group, BlockRange range);
    void note_pending(State& state, BlockRange blocks);
    Result<u64> trim_group(State& state, BlockDevice& device, u32 group, u32 least);
    Result<u32> choose_group(u32 parent, NodeType type);
    Result<> complete_bitmap(Handle& handle, Stale what);

    BlockCache& cache_;
    const Geometry& geometry_;
    kernel::Guarded<State, kernel::Rank::fs, kernel::Mutex> state_;
    /// Readers of a descriptor see all of a change or nothing of it. Taken under state_ or alone.
    struct Descriptors {};
    kernel::Guarded<Descriptors, kernel::Rank::inode, kernel::Spinlock> descriptors_;
};

/// In the block that Groups::superblock() names.
Superblock& superblock_in(MutableBytes block);
/// The checksum field of descriptor `group`, which is `bytes` long as in the filesystem.
u16 descriptor_checksum(const Geometry& geometry, u32 group, Bytes bytes);

}  // namespace ringlet::fs::ext4
