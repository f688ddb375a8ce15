// Changing the block maps of ext2 and ext3 (§"Indirect Blocks"): twelve pointers in the inode, then one block of
// pointers, one of such blocks, and one of those. The same calls as ExtentTree, for files without extents. Reading is
// map.cpp. Context: as ExtentTree.
#pragma once

#include "fs/ext4/extent_tree.hpp"

namespace ringlet::fs::ext4 {

class BlockMap {
public:
    /// For insert() of at most kMostBlocks: two paths of new pointer blocks, their bitmaps and descriptors.
    static constexpr u32 kInsertCredits = 18, kMostBlocks = 64;
    using Root = std::span<std::byte, 60>;

    BlockMap(BlockCache& cache, Groups& groups, const Geometry& geometry, Root root, u64 goal)
        : cache_(cache), groups_(groups), geometry_(geometry), root_(root), goal_(goal) {}

    /// Adds a mapping where nothing is mapped, written, of at most kMostBlocks. no_space: nothing was added. corrupt,
    /// io; too_large: behind what three levels hold, or beyond 32 bits on the disk.
    Result<> insert(Handle& handle, const Mapping& m);
    /// The last blocks mapped before `before`, as many as lie together in one block of pointers.
    Result<std::optional<Mapping>> last_before(u64 before);
    /// Takes the blocks [from, m.end()) out; they are not freed, blocks of pointers that become empty are.
    Result<> cut_tail(Handle& handle, const Mapping& m, u32 from);
    /// Blocks of pointers that were added, less those that went.
    i32 nodes_added() const { return nodes_added_; }

private:
    static constexpr unsigned kDirect = 12, kLevels = 3;
    /// From the inode to a pointer: `index` in the inode's table, then one in each block of pointers.
    struct Place {
        unsigned depth = 0;  ///< blocks of pointers on the way
        u32 index[kLevels + 1] = {};
    };
    u32 per_block() const { return geometry_.block_size / 4; }
    std::optional<Place> place_of(u64 logical) const;
    u32 root_pointer(u32 index) const;
    void set_root_pointer(u32 index, u32 block);
    Result<u32> pointer(u64 table, u32 index);
    Result<> set_pointer(Handle& handle, u64 table, u32 index, u32 block);
    Result<> set(Handle& handle, u64 logical, u64 physical);
    Result<> clear(Handle& handle, u64 logical);
    Result<u32> add_table(Handle& handle);
    Result<bool> is_empty(u64 table);
    Result<std::optional<Mapping>> last_in(u64 table, unsigned height, u64 base, u64 before);

    BlockCache& cache_;
    Groups& groups_;
    const Geometry& geometry_;
    Root root_;
    const u64 goal_;
    i32 nodes_added_ = 0;
};

}  // namespace ringlet::fs::ext4
