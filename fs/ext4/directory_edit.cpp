// Entries that come and go, in a directory's blocks. A directory of one block that is full becomes an indexed one,
// where the filesystem has these (index_edit.cpp). Directories never shrink.
#include <algorithm>

#include "fs/ext4/file_map.hpp"
#include "fs/ext4/index.hpp"

namespace ringlet::fs::ext4 {

/// A block of this directory to be changed, whatever kind it is: what is in memory is right, until it is sealed too.
Result<BlockEdit> Ext4Inode::edit_directory(Handle& handle, u64 physical, Content content, Seal seal) {
    BlockEdit edit = TRY(handle.edit(physical, content));
    edit.mark_verified(static_cast<u8>(Check::directory) | static_cast<u8>(Check::index));
    edit.seal_with(geometry().checksums() ? seal : nullptr, seed_);
    return edit;
}

Result<u64> Ext4Inode::append_block(Handle& handle) {
    FileMap map(*this);
    const u32 logical = static_cast<u32>(file_blocks());
    const BlockRange got = TRY(volume_.groups().allocate(handle, goal_for(map, logical), 1));
    TRY(map.insert(handle, {logical, 1, got.first, false}));
    map.apply(1);
    size_.store(size() + geometry().block_size, std::memory_order_relaxed);
    return got.first;
}

Result<> Ext4Inode::make_directory(Handle& handle, u32 parent) {
    const u64 physical = TRY(append_block(handle));
    const BlockEdit edit = TRY(edit_directory(handle, physical, Content::zeros, seal_entries));
    DirBlock(geometry(), edit.bytes()).make_first(number_, parent);
    return {};
}

Result<bool> Ext4Inode::insert_in_block(Handle& handle, u64 physical, std::string_view name, u32 inode, u8 file_type) {
    std::optional<usize> record;
    {
        // Looked at before it joins the transaction for nothing.
        const BlockRef block = TRY(volume_.cache().get(BlockNo(physical)));
        record = TRY(room_in(geometry(), block.bytes(), name.size()));
        if (!record) return false;
    }
    const BlockEdit edit = TRY(edit_directory(handle, physical, Content::read, seal_entries));
    return DirBlock(geometry(), edit.bytes()).insert_at(*record, name, inode, file_type);
}

Result<Ext4Inode::Room> Ext4Inode::room_for(std::string_view name) {
    const FileMap map(*this);
    const u32 depth = map.depth();
    // New blocks: an index node, one above it or a level more, a leaf; and nodes of the tree that maps them.
    const u32 fresh = is_indexed() || (geometry().compat & kCompatDirIndex) != 0 ? 3 : 1;
    const u32 blocks = fresh + map.nodes();
    if (is_indexed()) {
        IndexDescent d;
        TRY(descend(d, name));
        const bool can_grow = TRY(index_has_room(d));
        if (!can_grow) {
            const DirectoryBlock leaf = TRY(directory_block(d.child, Check::directory));
            const auto record = TRY(room_in(geometry(), leaf.block.bytes(), name.size()));
            if (!record) return fail(Error::no_space);
        }
    }
    // The way down in the map, every new block with bitmap and descriptor, the blocks of the index on the way down and
    // the leaf, the inode.
    return Room{depth + 3 * blocks + IndexDescent::kMaxLevels + 1, blocks};
}

Result<> Ext4Inode::add_entry(Handle& handle, std::string_view name, u32 inode, NodeType type) {
    const u8 file_type = file_type_of(type);
    if (is_indexed()) return add_indexed(handle, name, inode, file_type);
    const u64 blocks = file_blocks();
    for (u64 logical = 0; logical < blocks; ++logical) {
        u64 physical;
        {
            const DirectoryBlock at = TRY(directory_block(logical, Check::directory));
            physical = at.physical;
        }
        const bool done = TRY(insert_in_block(handle, physical, name, inode, file_type));
        if (done) return {};
    }
    if (blocks == 1 && (geometry().compat & kCompatDirIndex) != 0) {
        TRY(make_index(handle));
        return add_indexed(handle, name, inode, file_type);
    }
    const u64 physical = TRY(append_block(handle));
    const BlockEdit edit = TRY(edit_directory(handle, physical, Content::zeros, seal_entries));
    DirBlock block(geometry(), edit.bytes());
    block.clear();
    const bool done = TRY(block.insert(name, inode, file_type));
    return done ? Result<>{} : fail(Error::corrupt);
}

Result<> Ext4Inode::remove_entry(Handle& handle, const Place& at) {
    const BlockEdit edit = TRY(edit_directory(handle, at.physical, Content::read, seal_entries));
    return DirBlock(geometry(), edit.bytes()).remove(at.offset);
}

Result<> Ext4Inode::replace_entry(Handle& handle, std::string_view name, u32 inode, NodeType type) {
    const auto at = TRY(find(name));
    if (!at) return fail(Error::not_found);
    // ".." of an indexed directory stands in the root of the index.
    const bool in_root = is_indexed() && name == "..";
    const BlockEdit edit =
        TRY(edit_directory(handle, at->physical, Content::read, in_root ? seal_index_root : seal_entries));
    return DirBlock(geometry(), edit.bytes()).replace(at->offset, inode, file_type_of(type));
}

}  // namespace ringlet::fs::ext4
