// One name in a large directory, by its hash: §"Hash Tree Directories". A root block, up to three levels of
// index blocks, leaves of ordinary entries. Names of equal hash may continue in the next leaf, whose index
// entry then has bit 0 set.
#include "fs/ext4/hash.hpp"
#include "fs/ext4/volume.hpp"

namespace ringlet::fs::ext4 {

/// One level on the way down. Blocks are read again when needed: the cache has them, and nothing stays
/// pinned.
struct Ext4Inode::Frame {
    u32 block = 0;          ///< of the directory
    u32 at = 0, count = 0;  ///< the entry followed, of how many
};

struct Ext4Inode::Descent {
    static constexpr unsigned kMaxLevels = 4;
    Frame frames[kMaxLevels];
    unsigned levels = 0;  ///< index levels below the root
    u32 hash = 0;
    u32 child = 0;  ///< the block that the deepest frame leads to
};

namespace {

constexpr u32 kBlockMask = 0x0fff'ffff;

DxEntry entry_of(Bytes block, usize entries_at, u32 index) {
    return *ringlet::read_at<DxEntry>(block, entries_at + usize{index} * sizeof(DxEntry));
}

/// The number of entries; 0 when the two counts cannot be right for a block of this size.
u32 entry_count(Bytes block, usize entries_at, usize tail) {
    const DxCountLimit c = *ringlet::read_at<DxCountLimit>(block, entries_at);
    const usize fits = (block.size() - entries_at - tail) / sizeof(DxEntry);
    return c.limit == fits && c.count <= c.limit ? u32{c.count} : 0;
}

/// The last entry whose hash is not above `hash`. Entry 0 has no hash: it covers everything below entry 1.
u32 choose(Bytes block, usize entries_at, u32 count, u32 hash) {
    u32 low = 1, high = count;
    while (low < high) {
        const u32 middle = (low + high) / 2;
        if (entry_of(block, entries_at, middle).hash <= hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

}  // namespace

Result<> Ext4Inode::load_root(Descent& d, std::string_view name) {
    const auto got = directory_block(0, Check::index);
    if (!got) return fail(got.error());
    const Bytes block = got->bytes();
    const DxRootInfo info = *ringlet::read_at<DxRootInfo>(block, kDxRootInfo);
    const unsigned most = geometry().has(kIncompatLargedir) ? 2 : 1;
    if (info.reserved_zero != 0 || info.info_length != sizeof(info) || info.indirect_levels > most)
        return fail(Error::corrupt);
    d.levels = info.indirect_levels;
    const u8 version = static_cast<u8>(info.hash_version + (info.hash_version < 3 && geometry().hash_unsigned ? 3 : 0));
    const auto hash = name_hash(version, geometry().hash_seed, name);
    if (!hash) return fail(Error::unsupported);
    d.hash = *hash;
    const u32 count = entry_count(block, kDxRootEntries, geometry().checksums() ? 8 : 0);
    if (count == 0) return fail(Error::corrupt);
    d.frames[0] = {0, choose(block, kDxRootEntries, count, d.hash), count};
    d.child = entry_of(block, kDxRootEntries, d.frames[0].at).block & kBlockMask;
    return {};
}

/// Enters index block `block` as `level`; which of its entries depends on the hash, or is the first after
/// advance().
Result<> Ext4Inode::load_node(Descent& d, unsigned level, u32 block) {
    const auto got = directory_block(block, Check::index);
    if (!got) return fail(got.error());
    const u32 count = entry_count(got->bytes(), kDxNodeEntries, geometry().checksums() ? 8 : 0);
    if (count == 0) return fail(Error::corrupt);
    const u32 at = choose(got->bytes(), kDxNodeEntries, count, d.hash);
    d.frames[level] = {block, at, count};
    d.child = entry_of(got->bytes(), kDxNodeEntries, at).block & kBlockMask;
    return {};
}

/// Goes on to the next leaf if names with this hash continue there; false when they do not.
Result<bool> Ext4Inode::advance(Descent& d) {
    unsigned level = d.levels;
    while (d.frames[level].at + 1 >= d.frames[level].count) {
        if (level == 0) return false;
        --level;
    }
    {
        Frame& f = d.frames[level];
        const BlockRef block = TRY(directory_block(f.block, Check::index));
        const usize entries_at = level == 0 ? kDxRootEntries : kDxNodeEntries;
        const DxEntry e = entry_of(block.bytes(), entries_at, ++f.at);
        if ((e.hash & ~1u) != d.hash) return false;
        d.child = e.block & kBlockMask;
    }
    while (level < d.levels) {
        if (auto r = load_node(d, ++level, d.child); !r) return fail(r.error());
        // A continuation begins in the first entry of the blocks below, whatever its hash.
        if (d.frames[level].at != 0) {
            d.frames[level].at = 0;
            const BlockRef block = TRY(directory_block(d.frames[level].block, Check::index));
            d.child = entry_of(block.bytes(), kDxNodeEntries, 0).block & kBlockMask;
        }
    }
    return true;
}

Result<u32> Ext4Inode::find_indexed(std::string_view name) {
    Descent d;
    if (auto r = load_root(d, name); !r) return fail(r.error());
    for (unsigned level = 1; level <= d.levels; ++level)
        if (auto r = load_node(d, level, d.child); !r) return fail(r.error());
    // A collision chain visits each leaf at most once; an index that goes on for longer is a lie.
    for (u64 visited = 0; visited < file_blocks(); ++visited) {
        {
            const BlockRef leaf = TRY(directory_block(d.child, Check::directory));
            const u32 found = TRY(find_in(leaf.bytes(), 0, name));
            if (found != 0) return found;
        }
        const bool more = TRY(advance(d));
        if (!more) return 0;
    }
    return fail(Error::corrupt);
}

}  // namespace ringlet::fs::ext4
