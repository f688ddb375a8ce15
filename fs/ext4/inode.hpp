// One inode of a mounted ext4 filesystem, in memory. Context: thread.
//
// Locks, in the order in which they are taken, all before a handle of the journal is opened:
//   the volume's tree     names: lookups share it, whoever changes a name has it alone; the contents of directories
//   contents_             one file's bytes and where its blocks are: readers share it, a writer has it alone
// and, held for a few instructions only, inside a handle or not:
//   fields_               what stands in the inode; its root of the map is changed by the owner of the contents only,
//                         who reads the contents reads it without this lock
// Whoever drops a reference holds none of them and has no handle: it may be the last, and then a file that has no name
// any more is deleted.
#pragma once

#include <array>
#include <optional>

#include "fs/block_cache.hpp"
#include "fs/ext4/dir_block.hpp"
#include "fs/ext4/extent_tree.hpp"
#include "fs/ext4/run.hpp"
#include "fs/inode.hpp"
#include "fs/rw_lock.hpp"
#include "lib/list.hpp"

namespace ringlet::fs::ext4 {

class Volume;
class FileMap;
struct IndexDescent;

/// The checks a cached block may have passed (BlockRef::verified).
enum class Check : u8 { descriptors = 1, extents = 2, directory = 4, index = 8, bitmap = 16 };

/// The last of `count` 12-byte entries behind the header of `node` whose first word is <= `logical`; none: before all.
std::optional<u32> last_not_after(Bytes node, u32 count, u64 logical);
/// A node of an extent tree, which may come from the disk: its checksum is right. corrupt, io.
Result<BlockRef> read_extent_node(BlockCache& cache, const Geometry& geometry, u32 seed, u64 block);
/// Puts its checksum into the inode `number`, whose bytes these are.
void seal_inode(const Geometry& geometry, u32 number, MutableBytes inode);
/// The checksum of an inode is right, or it has none.
bool inode_is_good(const Geometry& geometry, u32 number, Bytes inode);

/// What the inode has in place of block pointers: an extent tree's root, pointers, a link target or inline data.
using RootBytes = std::array<std::byte, 60>;

struct OrphanList;

class Ext4Inode final : public Inode, public ListNode<>, public ListNode<OrphanList> {
public:
    Ext4Inode(Volume& volume, u32 number);

    u32 number() const { return number_; }
    NodeType type() const override { return type_; }
    u64 size() const override { return size_.load(std::memory_order_relaxed); }
    Result<Stat> stat() override;
    Result<Ref<Inode>> lookup(std::string_view name) override;
    Result<bool> next_entry(u64& cookie, DirEntry& out) override;
    Result<usize> read_at(u64 offset, MutableBytes to, ReadAhead* hint) override;
    /// The view shows what is written later, too: it is the cached block itself.
    Result<PinnedBytes> map_at(u64 offset, ReadAhead* hint) override;
    Result<usize> read_link(std::span<char> to) override;
    Result<usize> write_at(u64 offset, Bytes from) override;
    Result<usize> append(Bytes from, u64& offset) override;
    Result<> truncate(u64 size) override;
    Result<> allocate(u64 offset, u64 length, bool grow) override;
    Result<> punch(u64 offset, u64 length) override;
    Result<> set_attributes(const Attributes& to) override;
    Result<> sync(Sync what) override;
    Result<Ref<Inode>> create(std::string_view name, NodeType type, u16 mode) override;
    Result<> create_symlink(std::string_view name, std::string_view target) override;
    Result<> link(std::string_view name, Inode& target) override;
    Result<> unlink(std::string_view name) override;
    Result<> remove_directory(std::string_view name) override;
    Result<> rename(std::string_view name, Inode& to, std::string_view new_name) override;

    /// Where block `logical` of the file is, and how many follow it. For the journal's map.
    Result<Run> map_for_log(u64 logical) { return map(logical); }
    /// What the mount finds on the orphan list: deletes it, or ends the truncation that was cut short.
    Result<> clean_up_orphan();

private:
    friend class Volume;
    friend class FileMap;
    friend class InodeTable;
    /// The name under which it was found last: the inode table's lock.
    struct Name {
        Ext4Inode* next = nullptr;  ///< with the same hash
        u32 hash = 0;
        u32 directory = 0;  ///< its inode; 0: none
        u8 length = 0;
        char text[39];
        std::string_view view() const { return {text, length}; }
    };
    struct Fields {
        u16 mode = 0;
        u32 uid = 0, gid = 0;
        u64 sectors = 0, attribute_block = 0;
        Timestamp accessed, modified, changed, created;
        u32 changed_in = 0;       ///< the newest transaction that stored the inode
        u32 data_in = 0;          ///< the newest that matters to whoever reads the data
        u32 deleted_or_next = 0;  ///< as DiskInode::dtime: when it was deleted, or the next orphan
    };

    const Geometry& geometry() const;
    u32 flags() const { return flags_.load(std::memory_order_relaxed); }
    u32 links() const { return links_.load(std::memory_order_relaxed); }
    bool is_inline() const { return (flags() & kInodeInlineData) != 0; }
    bool has_extents() const { return (flags() & kInodeExtents) != 0; }
    bool is_indexed() const { return (flags() & kInodeIndex) != 0; }
    bool is_fast_symlink();
    u64 blocks_for(u64 bytes) const { return (bytes + geometry().block_size - 1) >> geometry().block_shift; }
    u64 file_blocks() const { return blocks_for(size()); }
    /// Takes the fields over and checks them. `raw` is the whole inode.
    Result<> parse(Bytes raw);
    static void parse_times(Fields& f, Bytes raw);
    void release_last() override;

    // map.cpp
    /// Where file block `logical` is. corrupt, io.
    Result<Run> map(u64 logical) {
        if (const auto known = last_run_.find(logical)) return *known;
        return find_run(logical);
    }
    Result<Run> find_run(u64 logical);
    Result<Run> map_extents(u32 logical);
    Result<Run> map_pointers(u32 logical);
    void read_ahead(u64 offset, usize length, ReadAhead* hint);
    void prefetch(u64 from, u64 to);
    bool read_present(u64 offset, MutableBytes to, ReadAhead* hint);
    Result<> read_pieces(u64 offset, MutableBytes to, ReadAhead* hint);
    Result<> copy_blocks(u64 physical, usize start, MutableBytes to);
    /// How many bytes may be read ahead.
    u64 read_ahead_room() const;
    // directory.cpp: the tree's lock is held.
    /// An entry that was found. `physical`: its block on the disk.
    struct Place {
        u32 inode = 0;
        u64 physical = 0;
        usize offset = 0;  ///< of the record in its block
    };
    struct DirectoryBlock {
        BlockRef block;
        u64 physical = 0;
    };
    Result<DirectoryBlock> directory_block(u64 logical, Check kind);
    Result<std::optional<Place>> find_in(Bytes region, usize offset, u64 physical, std::string_view name) const;
    Result<std::optional<Place>> find_linear(std::string_view name);
    /// Not "."; ".." of the root is the root.
    Result<std::optional<Place>> find(std::string_view name);
    Result<bool> entry_in(Bytes region, usize& offset, DirEntry& out) const;
    Result<bool> next_linear(u64& cookie, DirEntry& out);
    Result<bool> next_of(u64& cookie, DirEntry& out);
    Result<bool> is_empty_directory();
    // index.cpp
    Result<std::optional<Place>> find_indexed(std::string_view name);
    Result<> load_root(IndexDescent& d, std::string_view name);
    Result<> load_node(IndexDescent& d, unsigned level, u32 block);
    Result<bool> advance(IndexDescent& d);
    Result<> descend(IndexDescent& d, std::string_view name);
    // inline_data.cpp
    struct InlineView;
    Result<InlineView> inline_view();
    Result<usize> read_inline(u64 offset, MutableBytes to);
    Result<PinnedBytes> map_inline(u64 offset);
    Result<std::optional<Place>> find_inline(std::string_view name);
    Result<bool> next_inline(u64& cookie, DirEntry& out);
    /// Moves inline data into a block. The contents (a directory: the tree) are held alone.
    Result<> leave_inline();
    Result<> copy_inline_entries(DirBlock& to, Bytes head, Bytes tail) const;

    // store.cpp
    /// Writes the fields into the inode table, as part of the handle. One credit.
    Result<> store(Handle& handle);
    /// The same for an inode that was just allocated.
    Result<> store_new(Handle& handle);
    Result<> store_into(Handle& handle, bool fresh, u32 generation);
    void put_fields(MutableBytes raw, const Fields& f, const RootBytes& root) const;
    /// `matters`: to whoever reads the data, not only the times.
    void note_change(bool matters);
    void add_blocks(i64 blocks);

    // file_write.cpp: the contents are held alone.
    Result<usize> write_pieces(u64 offset, Bytes from);
    Result<usize> write_some(u64 offset, Bytes from);
    Result<usize> overwrite(u64 physical, u64 offset, Bytes from);
    Result<usize> fill_hole(u32 first, u32 wanted, u64 offset, Bytes from);
    Result<usize> write_unwritten(const Run& run, u32 first, u64 offset, Bytes from);
    Result<> put_bytes(u64 physical, u64 offset, Bytes from, bool fresh);
    Result<> put_blocks(BlockRange blocks, u64 offset, Bytes from);
    Result<> zero_tail(u64 from, u64 to);
    Result<> after_write(u64 end, bool always);
    u64 goal_for(FileMap& map, u32 logical);
    u64 largest_size() const;
    Result<> may_change_file() const;
    // file_cut.cpp
    bool owns_blocks();
    /// The caller, who has the tree alone, has the only reference: nobody can get another one.
    bool is_used_once() const { return references() == 1; }
    /// One handle is enough to take away all it has.
    bool goes_at_once();
    /// As part of removing its last name, when nobody else uses it. An error before anything was edited: it is left.
    Result<> delete_in(Handle& handle);
    static constexpr u32 kMostPieces = 4;  ///< of a file, cut in one handle
    /// A piece of an extent that stands in the inode: bitmaps and descriptors of two groups, and one to spare.
    static constexpr u32 kSmallPieceCredits = 5;
    /// Of delete_in(): the pieces, attributes, the inode, the orphan list.
    static constexpr u32 kDeleteCredits = kMostPieces * kSmallPieceCredits + 3 + 3 + 1 + 2;
    Result<> cut(u64 from, u64 to);
    Result<bool> cut_step(Handle& handle, FileMap& map, u64 from, u64 to, u32 pieces);
    Result<> cut_piece(Handle& handle, FileMap& map, const Mapping& piece, u64 from, u64 to);
    Result<> delete_contents();
    Result<> release_attributes(Handle& handle);
    // directory_edit.cpp, index_edit.cpp: the tree is held alone.
    struct Room {
        u32 credits = 0, blocks = 0;
    };
    /// What adding `name` may take. no_space: the index cannot have more entries.
    Result<Room> room_for(std::string_view name);
    Result<> add_entry(Handle& handle, std::string_view name, u32 inode, NodeType type);
    /// `at`: found since the tree is held, and nothing was added meanwhile.
    Result<> remove_entry(Handle& handle, const Place& at);
    Result<> replace_entry(Handle& handle, std::string_view name, u32 inode, NodeType type);
    Result<bool> insert_in_block(Handle& handle, u64 physical, std::string_view name, u32 inode, u8 file_type);
    Result<BlockEdit> edit_directory(Handle& handle, u64 physical, Content content, Seal seal);
    /// A new block behind the last; its number on the disk.
    Result<u64> append_block(Handle& handle);
    Result<> make_directory(Handle& handle, u32 parent);
    Result<> make_index(Handle& handle);
    Result<> add_indexed(Handle& handle, std::string_view name, u32 inode, u8 file_type);
    Result<bool> index_has_room(IndexDescent& d);
    Result<> grow_index(Handle& handle, IndexDescent& d);
    Result<> split_node(Handle& handle, IndexDescent& d, unsigned level);
    Result<> split_leaf(Handle& handle, IndexDescent& d);
    Result<> add_index_entry(Handle& handle, IndexDescent& d, unsigned level, u32 hash, u32 block);
    // names.cpp
    Result<Ref<Ext4Inode>> make_child(std::string_view name, NodeType type, u16 mode, std::string_view target);
    Result<> put_target(Handle& handle, std::string_view target);
    Result<> remove(std::string_view name, NodeType wanted);
    Result<> drop_link(Handle& handle, Ext4Inode& child);
    Result<> change_links(Handle& handle, int by);
    Result<> check_new_name(std::string_view name) const;
    Result<bool> lies_in(Ext4Inode& ancestor);

    Volume& volume_;
    u32 number_;
    Ext4Inode* hash_next_ = nullptr;  ///< the inode table's lock
    Name name_;
    NodeType type_ = NodeType::file;
    u32 seed_ = 0;         ///< for the checksums of this inode's blocks
    u64 table_block_ = 0;  ///< where the inode lies
    u32 table_offset_ = 0;
    std::atomic<u64> size_{0};
    std::atomic<u32> flags_{0}, links_{0};
    kernel::Guarded<Fields, kernel::Rank::inode, kernel::Spinlock> fields_;
    RootBytes root_{};      ///< changed with the contents held alone and fields_ locked; read with either
    bool deleted_ = false;  ///< with its last name; set and read by whoever has the last reference
    LastRun last_run_;      ///< kept with the map shared, forgotten whenever it changes
    RwLock contents_;
};

}  // namespace ringlet::fs::ext4
