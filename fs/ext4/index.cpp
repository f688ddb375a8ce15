// One name in a large directory, by its hash: §"Hash Tree Directories". A root block, up to three levels of
// index blocks, leaves of ordinary entries. Names of equal hash may continue in the next leaf, whose index
// entry then has bit 0 set.
#include "fs/ext4/index.hpp"

#include "fs/ext4/hash.hpp"
#include "fs/ext4/volume.hpp"

namespace ringlet::fs::ext4 {

Result<> Ext4Inode::load_root(IndexDescent& d, std::string_view name) {
    const auto got = directory_block(0, Check::index);
    if (!got) return fail(got.error());
    const Bytes block = got->block.bytes();
    const DxRootInfo info = *ringlet::read_at<DxRootInfo>(block, kDxRootInfo);
    const unsigned most = geometry().has(kIncompatLargedir) ? 2 : 1;
    if (info.reserved_zero != 0 || info.info_length != sizeof(info) || info.indirect_levels > most)
        return fail(Error::corrupt);
    d.levels = info.indirect_levels;
    d.version = static_cast<u8>(info.hash_version + (info.hash_version < 3 && geometry().hash_unsigned ? 3 : 0));
    const auto hash = name_hash(d.version, geometry().hash_seed, name);
    if (!hash) return fail(Error::unsupported);
    d.hash = *hash;
    const u32 count = entry_count(block, kDxRootEntries, geometry().checksums() ? 8 : 0);
    if (count == 0) return fail(Error::corrupt);
    d.frames[0] = {0, choose(block, kDxRootEntries, count, d.hash), count};
    d.child = entry_of(block, kDxRootEntries, d.frames[0].at).block & kIndexBlockMask;
    return {};
}

/// Enters index block `block` as `level`; which of its entries depends on the hash, or is the first after
/// advance().
Result<> Ext4Inode::load_node(IndexDescent& d, unsigned level, u32 block) {
    const auto got = directory_block(block, Check::index);
    if (!got) return fail(got.error());
    const u32 count = entry_count(got->block.bytes(), kDxNodeEntries, geometry().checksums() ? 8 : 0);
    if (count == 0) return fail(Error::corrupt);
    const u32 at = choose(got->block.bytes(), kDxNodeEntries, count, d.hash);
    d.frames[level] = {block, at, count};
    d.child = entry_of(got->block.bytes(), kDxNodeEntries, at).block & kIndexBlockMask;
    return {};
}

/// Goes on to the next leaf if names with this hash continue there; false when they do not.
Result<bool> Ext4Inode::advance(IndexDescent& d) {
    unsigned level = d.levels;
    while (d.frames[level].at + 1 >= d.frames[level].count) {
        if (level == 0) return false;
        --level;
    }
    {
        IndexFrame& f = d.frames[level];
        const DirectoryBlock node = TRY(directory_block(f.block, Check::index));
        const usize entries_at = level == 0 ? kDxRootEntries : kDxNodeEntries;
        const DxEntry e = entry_of(node.block.bytes(), entries_at, ++f.at);
        if ((e.hash & ~1u) != d.hash) return false;
        d.child = e.block & kIndexBlockMask;
    }
    while (level < d.levels) {
        if (auto r = load_node(d, ++level, d.child); !r) return fail(r.error());
        // A continuation begins in the first entry of the blocks below, whatever its hash.
        if (d.frames[level].at != 0) {
            d.frames[level].at = 0;
            const DirectoryBlock node = TRY(directory_block(d.frames[level].block, Check::index));
            d.child = entry_of(node.block.bytes(), kDxNodeEntries, 0).block & kIndexBlockMask;
        }
    }
    return true;
}

/// Down to the first leaf that may have names with this hash.
Result<> Ext4Inode::descend(IndexDescent& d, std::string_view name) {
    TRY(load_root(d, name));
    for (unsigned level = 1; level <= d.levels; ++level) TRY(load_node(d, level, d.child));
    return {};
}

Result<std::optional<Ext4Inode::Place>> Ext4Inode::find_indexed(std::string_view name) {
    IndexDescent d;
    TRY(descend(d, name));
    // A collision chain visits each leaf at most once; an index that goes on for longer is a lie.
    for (u64 visited = 0; visited < file_blocks(); ++visited) {
        {
            const DirectoryBlock leaf = TRY(directory_block(d.child, Check::directory));
            const auto found = TRY(find_in(leaf.block.bytes(), 0, leaf.physical, name));
            if (found) return found;
        }
        const bool more = TRY(advance(d));
        if (!more) return std::optional<Place>();
    }
    return fail(Error::corrupt);
}

}  // namespace ringlet::fs::ext4
