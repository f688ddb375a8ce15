// Changing where the blocks of a file are: its extent tree (§"Extent Tree"). Reading is map.cpp.
//
// Every call is part of one handle and leaves a whole tree, with an exception: no_space comes before anything was
// changed, any other error in the middle, and then the caller aborts the journal. Context: thread; the caller holds the
// inode's contents (or the tree of names, for a directory) exclusively.
#pragma once

#include "fs/ext4/groups.hpp"
#include "lib/fixed_vector.hpp"

namespace ringlet::fs::ext4 {

/// Consecutive blocks of a file on consecutive blocks of the disk.
struct Mapping {
    u32 logical = 0;
    u32 length = 0;
    u64 physical = 0;
    bool unwritten = false;  ///< reads as zeros

    u64 end() const { return u64{logical} + length; }
};

class ExtentTree {
public:
    static constexpr u32 kLongest = 32768, kLongestUnwritten = 32767;
    /// Blocks that an insertion may change, or need for new nodes: credits for a handle.
    static constexpr u32 kInsertCredits = 2 * kMaxExtentDepth + 4;
    using Root = std::span<std::byte, 60>;

    /// `root`: the inode's 60 bytes, which the caller stores afterwards. `seed`: the inode's checksum seed. `goal`:
    /// where new nodes should be.
    ExtentTree(BlockCache& cache, Groups& groups, const Geometry& geometry, Root root, u32 seed, u64 goal)
        : cache_(cache), groups_(groups), geometry_(geometry), root_(root), seed_(seed), goal_(goal) {}

    /// An empty tree.
    static void make(Root root);
    /// Adds a mapping where nothing is mapped. no_space, corrupt, io.
    Result<> insert(Handle& handle, Mapping m);
    /// The last mapping that begins before block `before`; none: there is none.
    Result<std::optional<Mapping>> last_before(u64 before);
    /// Takes the blocks [from, m.end()) of `m`, which last_before() gave and from >= m.logical, out of the tree. They
    /// are not freed.
    Result<> cut_tail(Handle& handle, const Mapping& m, u32 from);
    /// Takes the blocks [m.logical, to) out of the tree; to < m.end().
    Result<> cut_head(Handle& handle, const Mapping& m, u32 to);
    /// Nodes that were added, less those that went: blocks.
    i32 nodes_added() const { return nodes_added_; }

private:
    struct Step {
        u64 block = 0;  ///< 0: the root
        u32 at = 0;     ///< the entry that was followed, or found
        u32 count = 0;
    };
    /// From the root down to a leaf.
    struct Path {
        Step steps[kMaxExtentDepth + 1];
        unsigned depth = 0;
        bool found = false;  ///< steps[depth].at is an entry that begins at or before what was looked for
        Step& leaf() { return steps[depth]; }
    };
    /// A node to be changed: the root, or a block of the transaction.
    struct Node {
        BlockEdit edit;
        MutableBytes bytes;
        ExtentHeader& header() const { return *reinterpret_cast<ExtentHeader*>(bytes.data()); }
        template <class T> T& entry(u32 i) const {
            return *reinterpret_cast<T*>(bytes.data() + sizeof(ExtentHeader) + usize{i} * sizeof(T));
        }
        void open_gap(u32 at) const;
        void close_gap(u32 at) const;
    };

    Result<Path> descend(u64 logical);
    Result<Node> edit(Handle& handle, const Step& step);
    Result<Mapping> read_leaf(const Step& step, u32 at);
    Result<bool> merge(Handle& handle, Path& path, const Mapping& m);
    Result<> make_room(Handle& handle, Path& path);
    Result<> grow(Handle& handle);
    Result<> split(Handle& handle, Path& path, unsigned level);
    Result<Node> add_node(Handle& handle, u64& block, u16 depth);
    Result<> drop_node(Handle& handle, u64 block);
    Result<> fix_keys(Handle& handle, const Path& path, unsigned changed);
    Result<> remove_entry(Handle& handle, Path& path);
    u16 room_of(unsigned level) const {
        const usize bytes = level == 0 ? root_.size() : geometry_.block_size;
        return static_cast<u16>((bytes - sizeof(ExtentHeader)) / sizeof(Extent));
    }

    BlockCache& cache_;
    Groups& groups_;
    const Geometry& geometry_;
    Root root_;
    const u32 seed_;
    const u64 goal_;
    i32 nodes_added_ = 0;
};

/// Seal: the checksum behind the last possible entry of a node.
void seal_extents(MutableBytes node, u32 seed);

}  // namespace ringlet::fs::ext4
