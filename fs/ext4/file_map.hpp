// The map of one file while it is changed: a copy of what stands in the inode, and the extent tree or the block map
// below it. apply() puts it back. Context: thread; the file's contents (a directory: the tree) are held alone.
#pragma once

#include <variant>

#include "fs/ext4/block_map.hpp"
#include "fs/ext4/volume.hpp"

namespace ringlet::fs::ext4 {

class FileMap {
public:
    explicit FileMap(Ext4Inode& inode);
    FileMap(const FileMap&) = delete;

    /// Levels of nodes below the inode.
    u32 depth() const { return depth_; }
    /// Blocks that one insertion may take for nodes.
    u32 nodes() const { return extents() ? depth_ + 1 : 5; }
    /// Blocks that one insertion may change, with the bitmaps and descriptors of its nodes and of one run of data.
    u32 credits() const { return extents() ? depth_ + nodes() * 3 + 2 : BlockMap::kInsertCredits; }
    /// The most blocks for one insert().
    u32 longest() const { return extents() ? ExtentTree::kLongestUnwritten : BlockMap::kMostBlocks; }
    bool extents() const { return std::holds_alternative<ExtentTree>(map_); }

    /// As ExtentTree has them; a block map knows no unwritten blocks.
    Result<> insert(Handle& handle, const Mapping& m);
    Result<std::optional<Mapping>> last_before(u64 before);
    Result<> cut_tail(Handle& handle, const Mapping& m, u32 from);
    Result<> cut_head(Handle& handle, const Mapping& m, u32 to);
    /// The inode's fields take over; `blocks`: of data, that came or went. store() must follow.
    void apply(i64 blocks);

private:
    static u32 depth_of(Ext4Inode& inode);

    Ext4Inode& inode_;
    RootBytes root_;
    u32 depth_;
    std::variant<std::monostate, ExtentTree, BlockMap> map_;
};

}  // namespace ringlet::fs::ext4
