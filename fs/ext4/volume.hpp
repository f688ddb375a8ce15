// One mounted ext4 filesystem and its inodes. Context: thread. No function holds a block pinned while it asks
// the cache for another, and no lock is held across a disk wait.
#pragma once

#include <memory>
#include <optional>

#include "fs/block_cache.hpp"
#include "fs/ext4/dir_block.hpp"
#include "fs/ext4/geometry.hpp"
#include "fs/ext4/groups.hpp"
#include "fs/inode.hpp"
#include "lib/list.hpp"

namespace ringlet::fs::ext4 {

class Volume;

/// Whether the log may hold something: a filesystem that is `needed` is replayed before anybody uses it.
enum class Recovery : u8 { none, needed };
/// Changes the superblock on the disk, past any cache; durable when it returns.
Result<> set_recovery(BlockDevice& device, Recovery recovery);

/// The checks a cached block may have passed (BlockRef::verified).
enum class Check : u8 { descriptors = 1, extents = 2, directory = 4, index = 8, bitmap = 16 };

/// The last of `count` 12-byte entries behind the header of `node` whose first word is <= `logical`; none: before all.
std::optional<u32> last_not_after(Bytes node, u32 count, u64 logical);
/// A node of an extent tree, which may come from the disk: its checksum is right. corrupt, io.
Result<BlockRef> read_extent_node(BlockCache& cache, const Geometry& geometry, u32 seed, u64 block);

/// Consecutive file blocks that lie consecutively on the disk, or nowhere (then they read as zeros).
struct Run {
    u64 physical = 0;  ///< 0: a hole or unwritten
    u64 length = 1;    ///< blocks, at least 1
};

class Ext4Inode final : public Inode, public ListNode<> {
public:
    Ext4Inode(Volume& volume, u32 number);

    NodeType type() const override { return type_; }
    u64 size() const override { return size_; }
    Result<Stat> stat() override;
    Result<Ref<Inode>> lookup(std::string_view name) override;
    Result<bool> next_entry(u64& cookie, DirEntry& out) override;
    Result<usize> read_at(u64 offset, MutableBytes to, ReadAhead* hint) override;
    Result<PinnedBytes> map_at(u64 offset, ReadAhead* hint) override;
    Result<usize> read_link(std::span<char> to) override;
    /// Where block `logical` of the file is, and how many follow it. For the journal's map.
    Result<Run> map_for_log(u64 logical) { return map(logical); }

private:
    friend class Volume;
    const Geometry& geometry() const;
    bool is_inline() const { return (flags_ & kInodeInlineData) != 0; }
    bool is_fast_symlink() const;
    u64 file_blocks() const;
    /// Takes the fields over and checks them. `raw` is the whole inode.
    Result<> parse(Bytes raw);
    void parse_times(Bytes raw);

    // map.cpp
    Result<Run> map(u64 logical);
    Result<Run> map_extents(u32 logical);
    Result<Run> map_pointers(u32 logical);
    void read_ahead(u64 offset, usize length, ReadAhead* hint);
    void prefetch(u64 from, u64 to);
    /// How much of a large read to have under way before copying begins.
    usize read_slice() const;
    // directory.cpp
    Result<BlockRef> directory_block(u64 logical, Check kind);
    Result<u32> find_in(Bytes region, usize offset, std::string_view name) const;
    Result<u32> find_linear(std::string_view name);
    Result<bool> entry_in(Bytes region, usize& offset, DirEntry& out) const;
    Result<bool> next_linear(u64& cookie, DirEntry& out);
    // index.cpp
    struct Frame;
    struct Descent;
    Result<u32> find_indexed(std::string_view name);
    Result<> load_root(Descent& d, std::string_view name);
    Result<> load_node(Descent& d, unsigned level, u32 block);
    Result<bool> advance(Descent& d);
    // inline_data.cpp
    struct InlineView;
    Result<InlineView> inline_view();
    Result<usize> read_inline(u64 offset, MutableBytes to);
    Result<PinnedBytes> map_inline(u64 offset);
    Result<u32> find_inline(std::string_view name);
    Result<bool> next_inline(u64& cookie, DirEntry& out);

    Volume& volume_;
    const u32 number_;
    Ext4Inode* hash_next_ = nullptr;  ///< the inode cache's lock
    NodeType type_ = NodeType::file;
    u16 mode_ = 0;
    u32 flags_ = 0, links_ = 0, uid_ = 0, gid_ = 0;
    u32 seed_ = 0;  ///< for the checksums of this inode's blocks
    u64 size_ = 0, sectors_ = 0, attribute_block_ = 0;
    Timestamp accessed_, modified_, changed_, created_;
    u8 block_[60] = {};  ///< extent root, block pointers, link target or inline data
};

class Volume final : public FileSystem {
public:
    static Result<std::unique_ptr<FileSystem>> mount(BlockDevice& device, const Ext4Options& options, MountText& why);
    ~Volume() override;

    Result<Ref<Inode>> root() override { return inode(kRootInode); }
    Result<StatFs> statfs() override;
    std::string_view warning() const override { return warning_.view(); }

    /// The inode `number`, which may come from the disk: corrupt when it cannot be one, or is not in use.
    Result<Ref<Inode>> inode(u32 number);
    /// The same for one of the reserved inodes, for ourselves: the journal.
    Result<Ref<Inode>> system_inode(u32 number) { return load(number); }
    const Geometry& geometry() const { return geometry_; }
    BlockCache& cache() { return *cache_; }

    struct RawInode {
        BlockRef block;
        usize offset = 0;  ///< inside the block
        Bytes bytes;       ///< inode_size of them, checksum verified
    };
    Result<RawInode> raw_inode(u32 number);

private:
    static constexpr usize kBuckets = 64;
    struct Inodes {
        Ext4Inode* buckets[kBuckets] = {};
        List<Ext4Inode> lru;  ///< least recently looked up first
        u32 count = 0;
    };
    Volume() = default;
    static Result<std::unique_ptr<Volume>> open(BlockDevice& device, const Geometry& geometry,
                                                const Ext4Options& options);
    static Result<> recover(BlockDevice& device, const Geometry& geometry, MountText& why);
    Result<Ref<Inode>> load(u32 number);
    Ext4Inode* find(Inodes& inodes, u32 number) const;
    /// Takes one that nobody uses out of the cache; nullptr when there is none (or no need).
    Ext4Inode* evict(Inodes& inodes) const;

    Geometry geometry_;
    MountText warning_;
    u32 max_inodes_ = 0;
    std::unique_ptr<BlockCache> cache_;
    std::optional<Groups> groups_;
    kernel::Guarded<Inodes, kernel::Rank::inode, kernel::Spinlock> inodes_;
};

inline Ext4Inode::Ext4Inode(Volume& volume, u32 number) : Inode(volume), volume_(volume), number_(number) {}
inline const Geometry& Ext4Inode::geometry() const {
    return volume_.geometry();
}
inline u64 Ext4Inode::file_blocks() const {
    return (size_ + geometry().block_size - 1) >> geometry().block_shift;
}

}  // namespace ringlet::fs::ext4
