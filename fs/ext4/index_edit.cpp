// Adding to an indexed directory (§"Hash Tree Directories"). A leaf that is full is split by hash; its new half is
// entered in the index node above, which is split in turn, and the root's entries move down a level when even the root
// is full. One split, then the way down again: so nothing on it is older than it looks.
#include <algorithm>

#include "fs/ext4/file_map.hpp"
#include "fs/ext4/hash.hpp"
#include "fs/ext4/index.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr usize kIndexTail = 8;  ///< a reserved word and the checksum

usize entries_at(unsigned level) {
    return level == 0 ? kDxRootEntries : kDxNodeEntries;
}

void put_entry(MutableBytes block, usize at, u32 i, u32 hash, u32 logical) {
    const DxEntry e{hash, logical};
    std::memcpy(block.data() + at + usize{i} * sizeof(e), &e, sizeof(e));
}

/// Entry 0's hash is where the counts are.
void put_counts(MutableBytes block, usize at, u32 limit, u32 count) {
    const DxCountLimit c{static_cast<u16>(limit), static_cast<u16>(count)};
    std::memcpy(block.data() + at, &c, sizeof(c));
}

void put_child(MutableBytes block, usize at, u32 i, u32 logical) {
    const le32 v = logical;
    std::memcpy(block.data() + at + usize{i} * sizeof(DxEntry) + 4, &v, sizeof(v));
}

void seal_index(MutableBytes block, usize at, u32 seed) {
    const auto counts = *ringlet::read_at<DxCountLimit>(block, at);
    const usize used = at + usize{counts.count} * sizeof(DxEntry), tail = at + usize{counts.limit} * sizeof(DxEntry);
    if (used > tail || tail + kIndexTail > block.size()) return;
    std::memset(block.data() + tail, 0, kIndexTail);
    const le32 crc = index_checksum(block, at, counts, seed);
    std::memcpy(block.data() + tail + 4, &crc, sizeof(crc));
}

void seal_index_node(MutableBytes block, u32 seed) {
    seal_index(block, kDxNodeEntries, seed);
}

/// An index node looks like one unused entry to who reads the directory from front to back.
void make_node(MutableBytes block) {
    DirEntryHeader h;
    h.rec_len = static_cast<u16>(block.size() == 65536 ? 0xffff : block.size());
    std::memcpy(block.data(), &h, sizeof(h));
}

}  // namespace

void seal_index_root(MutableBytes block, u32 seed) {
    seal_index(block, kDxRootEntries, seed);
}

/// Whether another leaf can be entered: some node on the way has room, or there may be one more level.
Result<bool> Ext4Inode::index_has_room(IndexDescent& d) {
    const usize tail = geometry().checksums() ? kIndexTail : 0;
    for (unsigned level = 0; level <= d.levels; ++level)
        if (d.frames[level].count < entry_limit(geometry().block_size, entries_at(level), tail)) return true;
    return d.levels < (geometry().has(kIncompatLargedir) ? 2u : 1u);
}

/// The one full block of a linear directory becomes the index's root; its entries move to a leaf.
Result<> Ext4Inode::make_index(Handle& handle) {
    const Volume::Scratch scratch = volume_.scratch();
    u64 root;
    u32 parent;
    usize first = 0;  ///< where the entries behind "." and ".." begin
    {
        const DirectoryBlock at = TRY(directory_block(0, Check::directory));
        root = at.physical;
        std::memcpy(scratch.block.data(), at.block.bytes().data(), scratch.block.size());
        const Slot self = TRY(read_slot(geometry(), scratch.block, 0));
        const Slot above = TRY(read_slot(geometry(), scratch.block, self.next));
        if (self.name != "." || above.name != "..") return fail(Error::corrupt);
        parent = above.inode;
        first = above.next;
    }
    const u64 leaf = TRY(append_block(handle));
    const usize end = scratch.block.size() - (geometry().checksums() ? sizeof(DirTail) : 0);
    {
        const BlockEdit edit = TRY(edit_directory(handle, leaf, Content::zeros, seal_entries));
        DirBlock to(geometry(), edit.bytes());
        to.clear();
        for (usize at = first; at < end;) {
            const Slot slot = TRY(read_slot(geometry(), scratch.block.first(end), at));
            at = slot.next;
            if (slot.inode == 0) continue;
            const bool fits = TRY(to.insert(slot.name, slot.inode, slot.file_type));
            if (!fits) return fail(Error::corrupt);
        }
    }
    const BlockEdit edit = TRY(edit_directory(handle, root, Content::zeros, seal_index_root));
    DirBlock(geometry(), edit.bytes()).make_first(number_, parent);
    const MutableBytes block = edit.bytes();
    // ".." reaches to the end of the block: the index hides in it.
    const le16 rest = static_cast<u16>(block.size() == 65536 ? 65536 - 12 : block.size() - 12);
    std::memcpy(block.data() + 12 + offsetof(DirEntryHeader, rec_len), &rest, sizeof(rest));
    std::memset(block.data() + kDxRootInfo, 0, block.size() - kDxRootInfo);
    const DxRootInfo info{0u, geometry().hash_version, sizeof(DxRootInfo), 0, 0};
    std::memcpy(block.data() + kDxRootInfo, &info, sizeof(info));
    const usize tail = geometry().checksums() ? kIndexTail : 0;
    put_counts(block, kDxRootEntries, entry_limit(block.size(), kDxRootEntries, tail), 1);
    put_child(block, kDxRootEntries, 0, 1);
    flags_.store(flags() | kInodeIndex, std::memory_order_relaxed);
    return {};
}

Result<> Ext4Inode::add_indexed(Handle& handle, std::string_view name, u32 inode, u8 file_type) {
    const usize tail = geometry().checksums() ? kIndexTail : 0;
    // At worst: a level more, a node split, a leaf split, and the entry.
    for (int step = 0; step < 6; ++step) {
        IndexDescent d;
        TRY(descend(d, name));
        u64 leaf;
        {
            const DirectoryBlock at = TRY(directory_block(d.child, Check::directory));
            leaf = at.physical;
        }
        const bool done = TRY(insert_in_block(handle, leaf, name, inode, file_type));
        if (done) return {};
        // The highest node that must be split so that the one below it can be.
        unsigned level = d.levels;
        const auto is_full = [&](unsigned n) {
            return d.frames[n].count >= entry_limit(geometry().block_size, entries_at(n), tail);
        };
        if (!is_full(level)) {
            TRY(split_leaf(handle, d));
            continue;
        }
        while (level > 0 && is_full(level - 1)) --level;
        if (level == 0)
            TRY(grow_index(handle, d));
        else
            TRY(split_node(handle, d, level));
    }
    return fail(Error::corrupt);
}

/// A new entry behind the one that was followed at `level`, which has room.
Result<> Ext4Inode::add_index_entry(Handle& handle, IndexDescent& d, unsigned level, u32 hash, u32 block) {
    const IndexFrame& f = d.frames[level];
    u64 physical;
    {
        const DirectoryBlock at = TRY(directory_block(f.block, Check::index));
        physical = at.physical;
    }
    const BlockEdit edit =
        TRY(edit_directory(handle, physical, Content::read, level == 0 ? seal_index_root : seal_index_node));
    const usize at = entries_at(level);
    std::byte* const gap = edit.bytes().data() + at + usize{f.at + 1} * sizeof(DxEntry);
    std::memmove(gap + sizeof(DxEntry), gap, usize{f.count - f.at - 1} * sizeof(DxEntry));
    put_entry(edit.bytes(), at, f.at + 1, hash, block);
    const auto counts = *ringlet::read_at<DxCountLimit>(edit.bytes(), at);
    put_counts(edit.bytes(), at, counts.limit, f.count + 1);
    return {};
}

/// The root's entries move into a node of their own.
Result<> Ext4Inode::grow_index(Handle& handle, IndexDescent& d) {
    const Volume::Scratch scratch = volume_.scratch();
    const usize tail = geometry().checksums() ? kIndexTail : 0;
    u64 root;
    {
        const DirectoryBlock at = TRY(directory_block(0, Check::index));
        root = at.physical;
        std::memcpy(scratch.block.data(), at.block.bytes().data(), scratch.block.size());
    }
    const u32 node = static_cast<u32>(file_blocks());
    const u64 physical = TRY(append_block(handle));
    const u32 count = d.frames[0].count;
    {
        const BlockEdit edit = TRY(edit_directory(handle, physical, Content::zeros, seal_index_node));
        make_node(edit.bytes());
        std::memcpy(edit.bytes().data() + kDxNodeEntries, scratch.block.data() + kDxRootEntries,
                    usize{count} * sizeof(DxEntry));
        put_counts(edit.bytes(), kDxNodeEntries, entry_limit(edit.bytes().size(), kDxNodeEntries, tail), count);
    }
    const BlockEdit edit = TRY(edit_directory(handle, root, Content::read, seal_index_root));
    auto info = *ringlet::read_at<DxRootInfo>(edit.bytes(), kDxRootInfo);
    ++info.indirect_levels;
    std::memcpy(edit.bytes().data() + kDxRootInfo, &info, sizeof(info));
    put_counts(edit.bytes(), kDxRootEntries, entry_limit(edit.bytes().size(), kDxRootEntries, tail), 1);
    put_child(edit.bytes(), kDxRootEntries, 0, node);
    return {};
}

/// The upper half of a full node moves to a new one; the node above has room.
Result<> Ext4Inode::split_node(Handle& handle, IndexDescent& d, unsigned level) {
    const Volume::Scratch scratch = volume_.scratch();
    const usize tail = geometry().checksums() ? kIndexTail : 0;
    const IndexFrame& f = d.frames[level];
    u64 old;
    {
        const DirectoryBlock at = TRY(directory_block(f.block, Check::index));
        old = at.physical;
        std::memcpy(scratch.block.data(), at.block.bytes().data(), scratch.block.size());
    }
    const u32 keep = f.count / 2, moved = f.count - keep;
    const u32 limit = entry_limit(scratch.block.size(), kDxNodeEntries, tail);
    const u32 hash = entry_of(scratch.block, kDxNodeEntries, keep).hash;
    const u32 node = static_cast<u32>(file_blocks());
    const u64 physical = TRY(append_block(handle));
    {
        const BlockEdit edit = TRY(edit_directory(handle, physical, Content::zeros, seal_index_node));
        make_node(edit.bytes());
        std::memcpy(edit.bytes().data() + kDxNodeEntries,
                    scratch.block.data() + kDxNodeEntries + usize{keep} * sizeof(DxEntry),
                    usize{moved} * sizeof(DxEntry));
        put_counts(edit.bytes(), kDxNodeEntries, limit, moved);
    }
    {
        const BlockEdit edit = TRY(edit_directory(handle, old, Content::read, seal_index_node));
        put_counts(edit.bytes(), kDxNodeEntries, limit, keep);
    }
    return add_index_entry(handle, d, level - 1, hash, node);
}

/// The entries of a full leaf, by hash: the upper half of its bytes moves to a new leaf. Equal hashes may fall on both
/// sides; then the new one's hash has bit 0 set.
Result<> Ext4Inode::split_leaf(Handle& handle, IndexDescent& d) {
    const Volume::Scratch scratch = volume_.scratch();
    u64 old;
    {
        const DirectoryBlock at = TRY(directory_block(d.child, Check::directory));
        old = at.physical;
        std::memcpy(scratch.block.data(), at.block.bytes().data(), scratch.block.size());
    }
    const MutableBytes region =
        scratch.block.first(scratch.block.size() - (geometry().checksums() ? sizeof(DirTail) : 0));
    usize count = 0, bytes = 0;
    for (usize at = 0; at < region.size();) {
        const Slot slot = TRY(read_slot(geometry(), region, at));
        if (slot.inode != 0) {
            const auto hash = name_hash(d.version, geometry().hash_seed, slot.name);
            if (!hash || count == scratch.entries.size()) return fail(Error::corrupt);
            scratch.entries[count++] = u64{*hash} << 32 | at;
            bytes += entry_bytes(slot.name.size());
        }
        at = slot.next;
    }
    if (count < 2) return fail(Error::corrupt);
    const std::span<u64> order = scratch.entries.first(count);
    std::sort(order.begin(), order.end());
    usize keep = 0, kept = 0;
    for (; keep + 1 < count && (keep == 0 || kept < bytes / 2); ++keep)
        kept += entry_bytes(TRY(read_slot(geometry(), region, static_cast<u32>(order[keep]))).name.size());
    const u32 first_moved = static_cast<u32>(order[keep] >> 32), last_kept = static_cast<u32>(order[keep - 1] >> 32);
    const u32 fresh = static_cast<u32>(file_blocks());
    const u64 physical = TRY(append_block(handle));
    const auto put = [&](u64 block, std::span<const u64> which) -> Result<> {
        const BlockEdit edit = TRY(edit_directory(handle, block, Content::zeros, seal_entries));
        DirBlock to(geometry(), edit.bytes());
        to.clear();
        for (const u64 entry : which) {
            const Slot slot = TRY(read_slot(geometry(), region, static_cast<u32>(entry)));
            const bool fits = TRY(to.insert(slot.name, slot.inode, slot.file_type));
            if (!fits) return fail(Error::corrupt);
        }
        return {};
    };
    TRY(put(physical, order.subspan(keep)));
    TRY(put(old, order.first(keep)));
    return add_index_entry(handle, d, d.levels, first_moved | (first_moved == last_kept ? 1 : 0), fresh);
}

}  // namespace ringlet::fs::ext4
