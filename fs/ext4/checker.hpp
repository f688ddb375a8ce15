// The inside of check_ext4(), in passes:
//
//   check_open.cpp         which superblock
//   check.cpp              superblock, group descriptors, orphans, journal
//   check_inodes.cpp       pass 1: every inode in use, and what it owns: check_map.cpp, check_attributes.cpp
//   check_directories.cpp  pass 2: every directory, with check_index.cpp; pass 3: all are reached from the root
//   check_counts.cpp       pass 4: links; pass 5: bitmaps and counts
//
// What is wrong is told and the work goes on; what stops it is kept in `fatal_`, and then every loop ends soon.
// The cache belongs to this thread alone, so a few blocks (a path down a tree, and one more) are pinned together.
// Every loop is bounded by what fits on the disk, and a damaged map is left after kMostTroubles.
#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <optional>

#include "fs/block_cache.hpp"
#include "fs/ext4/check.hpp"
#include "fs/ext4/dir_block.hpp"
#include "fs/ext4/groups.hpp"
#include "lib/format.hpp"

namespace ringlet::fs::ext4 {

/// What is known of an inode.
struct InodeRow {
    enum Mark : u8 {
        used = 1,
        orphan = 2,    ///< waits to be deleted or truncated
        damaged = 4,   ///< its blocks cannot be gone through again
        unlisted = 8,  ///< no directory has to have it
        value = 16,    ///< it holds an attribute's value
        wanted = 32    ///< an attribute has its value in it
    };
    u16 said = 0, found = 0;  ///< links
    u8 type = 0;              ///< as directory entries have it; 0: none known
    u8 marks = 0;
    bool is(u8 mark) const { return (marks & mark) != 0; }
};

struct DirectoryRow {
    u32 inode = 0, parent = 0, dotdot = 0;
    u32 walk = 0;  ///< when somebody came through, on the way to the root
};

/// A copy of an inode.
struct InodeView {
    u32 number = 0;
    Bytes raw;
    DiskInode d;
    u32 seed = 0;  ///< for the checksums of what it owns
    u64 size = 0;
    u8 type = 0;

    bool has(u32 flag) const { return (d.flags & flag) != 0; }
    u64 attribute_block() const { return d.file_acl_lo | u64{d.file_acl_high} << 32; }
    Bytes root() const { return raw.subspan(offsetof(DiskInode, block), sizeof(d.block)); }
    bool is_fast_symlink() const {
        return type == 7 && size < sizeof(d.block) && !has(kInodeExtents | kInodeInlineData);
    }
    /// Its 60 bytes say where its blocks are.
    bool has_map() const {
        return !has(kInodeInlineData) && !is_fast_symlink() && (type == 1 || type == 2 || type == 7);
    }
};

/// Consecutive blocks of the disk that belong to an inode.
struct Piece {
    enum class Kind : u8 { data, unwritten, node } kind;
    u64 logical;
    u64 physical;
    u32 length;
};

/// One way through the blocks of an inode. `visit` says false of a piece that cannot be right: that is one more
/// trouble, and a node is not gone into.
struct Walk {
    static constexpr u32 kMostTroubles = 8;
    const InodeView& inode;
    FunctionRef<bool(const Piece&)> visit;
    bool quiet;  ///< a second time: nothing is told
    u32 troubles = 0;
    u64 next = 0;  ///< extents: the first block that may be mapped
};

/// A descriptor. The checksums are those of its bitmaps.
struct GroupState : GroupInfo {
    bool intact = false;           ///< its checksum is right
    bool misplaced_flags = false;  ///< they have no meaning here
    bool placed = false;           ///< its blocks lie inside the filesystem
    u32 block_checksum = 0, inode_checksum = 0;
};

/// Words of the disk; zero outside of `bytes`.
u32 word_at(Bytes bytes, usize at);
u16 half_at(Bytes bytes, usize at);
/// What lies inside of `bytes`, by whoever calls.
template <class T> const T& overlay(Bytes bytes, usize at = 0) {
    static_assert(alignof(T) == 1);
    return *reinterpret_cast<const T*>(bytes.subspan(at, sizeof(T)).data());
}

/// A table: of rows that are right as zeros.
struct Memory {
    std::unique_ptr<std::byte[]> start;
    usize size = 0;
    MutableBytes bytes() const { return {start.get(), size}; }
};
template <class T> struct Table : Memory {
    T* rows() const { return reinterpret_cast<T*>(start.get()); }
    T& operator[](u64 i) const { return rows()[i]; }
};

/// The attributes of an inode or a block.
struct FoundAttributes {
    u64 value_blocks = 0;  ///< in inodes of their own
    bool has_inline_data = false;
    Bytes inline_data;
};

class Checker {
public:
    using Tell = FunctionRef<void(std::string_view)>;
    Checker(BlockDevice& device, const CheckOptions& options, Tell tell)
        : device_(device), options_(options), tell_(tell), memory_left_(options.memory_bytes) {}
    Result<CheckReport> run();

private:
    static constexpr u32 kBadBlocks = 1, kResize = 7;
    static constexpr u32 kFetchesBetween = 64;  ///< two looks whether it is to end
    /// A block of the directory at hand.
    struct DirBlockRow {
        u32 physical = 0;
        bool indexed = false;  ///< the index leads here: then its names' hashes lie in
        bool node = false;
        bool chained = false;   ///< `high` itself too
        u32 low = 0, high = 0;  ///< [low, high)
    };
    /// The directory at hand.
    struct Directory {
        const InodeView& inode;
        DirectoryRow& row;
        std::span<DirBlockRow> blocks;
        u8 hash_version = 1;
    };

    // ---- check_open.cpp
    Result<> open();
    Result<> find_superblock();
    Result<Superblock> read_copy(u64 at);
    bool take_copy(u32 shift, u64 blocks_per_group, u32 group);
    bool find_copy();

    // ---- check.cpp
    void check_superblock(const Superblock& s);
    void check_groups();
    void check_group_placement(u32 group, const GroupState& state);
    void follow_orphans();
    void note_orphan(u32 number);
    void read_orphan_file(u32 number);
    void check_orphan_block(const InodeView& v, u64 block);
    void check_journal();
    /// Tells and counts. Few signatures, for many short calls: numbers only, or a name behind the first number.
    void problem(std::string_view text, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0);
    void problem(std::string_view text, u64 a, std::string_view name, u64 b = 0, u64 c = 0);
    void count_problem(std::string_view text);
    /// The block, which is `contains`ed; none: it cannot be read, which was told.
    std::optional<BlockRef> fetch(u64 block);
    /// Says of blocks that they are in use; the first of them that was already. Inside the filesystem.
    std::optional<u64> claim(u64 first, u64 count);
    std::optional<GroupState> read_group(u32 group);
    u64 group_start(u32 group) const { return geometry_.first_data_block + u64{group} * geometry_.blocks_per_group; }
    u32 blocks_in(u32 group) const {
        return static_cast<u32>(std::min<u64>(geometry_.blocks_per_group, geometry_.blocks - group_start(group)));
    }
    u64 table_blocks() const {
        const u64 bytes = u64{geometry_.inodes_per_group} * geometry_.inode_size;
        return (bytes + geometry_.block_size - 1) >> geometry_.block_shift;
    }
    InodeRow& row(u32 number) { return inodes_[number - 1]; }
    /// Zeros for `count` rows, counted against the bound; nothing, and fatal_, when there is no more.
    void allot(Memory& memory, u64 count, usize row);
    void give_back(Memory& memory);

    // ---- check_inodes.cpp
    void check_inodes();
    /// A copy of an inode, valid until the next call. Nothing is told of what is in it.
    std::optional<InodeView> load_inode(u32 number, const GroupState& group);
    std::optional<InodeView> load_inode(u32 number);
    void check_inode(const InodeView& v);
    bool claim_for(u32 inode, const Piece& p);
    void check_fields(const InodeView& v);
    void check_blocks(const InodeView& v);
    void check_size(const InodeView& v, u64 mapped, u64 written);
    void check_block_count(const InodeView& v, u64 blocks);
    void check_special(const InodeView& v);
    void check_symlink(const InodeView& v, u64 block);
    bool is_reserved_descriptor(u64 block) const;
    u64 backup_descriptors() const;
    void check_checksum(const InodeView& v);

    // ---- check_map.cpp
    void walk(Walk& w);
    bool is_over(const Walk& w) const { return fatal_ || w.troubles >= Walk::kMostTroubles; }
    /// A problem whose first number is the inode.
    void trouble(Walk& w, std::string_view text, u64 a = 0, u64 b = 0);
    void walk_extents(Walk& w, Bytes node, u16 depth, u64 limit, std::optional<u32> start);
    void walk_leaf(Walk& w, const Extent& e, u64 limit);
    void walk_pointer(Walk& w, u32 block, unsigned height, u64 logical);

    // ---- check_attributes.cpp
    FoundAttributes check_inode_attributes(const InodeView& v);
    FoundAttributes peek_attribute_block(u64 block);
    void note_attribute_block(const InodeView& v);
    void check_attribute_blocks();
    void check_attribute_block(u64 block, u32 references);
    std::optional<FoundAttributes> read_attributes(Bytes region, usize first);

    // ---- check_directories.cpp
    void check_directories();
    void check_directory(const InodeView& v, DirectoryRow& row);
    void check_inline_directory(const InodeView& v, DirectoryRow& row);
    bool find_blocks(Directory& d);
    void check_leaf(Directory& d, u32 logical, Bytes block);
    void check_entries(Directory& d, u32 logical, Bytes region);
    void check_name(const DirectoryRow& from, const Slot& slot);
    void check_dots(DirectoryRow& row, const Slot& slot, unsigned number);
    void count_link(u32 inode);
    void compare_names(Directory& d, u32 logical, Bytes region, u32 names);
    void check_connections();
    DirectoryRow* find_directory(u32 inode);

    // ---- check_index.cpp
    bool check_index(Directory& d);
    bool check_index_node(Directory& d, u32 logical, unsigned levels, const DirBlockRow& range);

    // ---- check_counts.cpp
    void check_links();
    void check_link(u32 number);
    void check_bitmaps();
    void check_block_bitmap(u32 group, const GroupState& state, Bytes found);
    void check_inode_bitmap(u32 group, const GroupState& state, Bytes found);
    bool read_bitmap(u32 group, std::string_view what, u64 block, u32 bits, u32 checksum);
    void check_padding(u32 group, std::string_view what, u32 from);
    void make_unused_bitmap(u32 group, const GroupState& state);
    void compare_bitmaps(u32 group, std::string_view what, Bytes found, u32 bits, u64 first);
    void check_totals();
    void check_count(u32 group, std::string_view what, u64 said, u64 found);
    static void sort(u64* rows, u64 count);

    BlockDevice& device_;
    const CheckOptions& options_;
    Tell tell_;
    u64 memory_left_;
    std::optional<Error> fatal_;
    CheckReport report_;
    Superblock super_{};
    u64 copy_ = 0;  ///< the block whose copy of the superblock is used instead of the first
    u32 fetches_ = 0;
    Geometry geometry_;
    std::unique_ptr<BlockCache> cache_;
    Memory used_;                      ///< a bit per block, from first_data_block on
    Table<InodeRow> inodes_;           ///< of inode 1 and so on
    Table<DirectoryRow> directories_;  ///< in the order of their numbers
    Memory inode_bytes_;               ///< one inode
    Memory bitmap_;                    ///< one block, as the disk has it
    Memory found_;                     ///< one block: inodes of a group that are in use
    Table<u64> names_;                 ///< of one block: hash << 32 | where it is
    Table<u64> attribute_blocks_;      ///< one per inode that has one
    u64 attribute_count_ = 0;
    u64 free_blocks_ = 0, free_inodes_ = 0;
};

}  // namespace ringlet::fs::ext4
