// The index of a directory (§"Hash Tree Directories"): every block is in it once, in the order of the hashes. The
// recursion is as deep as an index may be: three.
#include "fs/ext4/checker.hpp"
#include "fs/ext4/index.hpp"

namespace ringlet::fs::ext4 {

namespace {

constexpr u8 kUnsigned = 3;  ///< added to the version of a hash

}  // namespace

/// Notes in `d` what the index says of its blocks. True: of all that it leads to, and it can be right.
bool Checker::check_index(Directory& d) {
    if (d.blocks.empty() || d.blocks[0].physical == 0) return false;
    DxRootInfo info;
    {
        const auto ref = fetch(d.blocks[0].physical);
        if (!ref) return false;
        info = overlay<DxRootInfo>(ref->bytes(), kDxRootInfo);
    }
    const unsigned most = geometry_.has(kIncompatLargedir) ? 2 : 1;
    if (info.reserved_zero != 0 || info.info_length != sizeof(info) || info.indirect_levels > most ||
        info.hash_version >= kUnsigned) {
        problem("directory {}: the root of its index cannot be right", d.inode.number);
        return false;
    }
    d.hash_version = static_cast<u8>(info.hash_version + (geometry_.hash_unsigned ? kUnsigned : 0));
    DirBlockRow all;
    all.high = ~0u;
    return check_index_node(d, 0, info.indirect_levels + 1u, all);
}

/// Block `logical` of the directory, `levels` above the leaves, for names in `range`.
bool Checker::check_index_node(Directory& d, u32 logical, unsigned levels, const DirBlockRow& range) {
    if (logical >= d.blocks.size() || d.blocks[logical].physical == 0 || d.blocks[logical].indexed) {
        problem("directory {}: its index leads to block {}", d.inode.number, logical);
        return false;
    }
    DirBlockRow& self = d.blocks[logical];
    self = {self.physical, true, levels != 0, range.chained, range.low, range.high};
    if (levels == 0) return true;
    const auto ref = fetch(self.physical);
    if (!ref) return false;
    const Bytes block = ref->bytes();
    const usize entries_at = logical == 0 ? kDxRootEntries : kDxNodeEntries;
    const auto& c = overlay<DxCountLimit>(block, entries_at);
    if (c.limit != (block.size() - entries_at - (geometry_.checksums() ? 8 : 0)) / sizeof(DxEntry) || c.count == 0 ||
        c.count > c.limit) {
        problem("directory {}: block {} of its index has {} entries of {}", d.inode.number, logical, c.count, c.limit);
        return false;
    }
    if (geometry_.checksums() && index_checksum(block, entries_at, c, d.inode.seed) !=
                                     word_at(block, entries_at + usize{c.limit} * sizeof(DxEntry) + 4))
        problem("directory {}: the checksum of block {} of its index is wrong", d.inode.number, logical);
    const auto entry = [&](u32 i) -> const DxEntry& {
        return overlay<DxEntry>(block, entries_at + i * sizeof(DxEntry));
    };
    bool good = true;
    DirBlockRow below;
    below.low = range.low;  // the first entry has no hash
    for (u32 i = 0; i < c.count && !fatal_; ++i) {
        const bool last = i + 1u == c.count;
        const u32 next = last ? 0 : u32{entry(i + 1).hash};
        below.high = last ? range.high : next & ~1u;
        below.chained = last ? range.chained : (next & 1) != 0;
        if (below.high < below.low || below.high > range.high) {
            problem("directory {}: block {} of its index is not in order", d.inode.number, logical);
            return false;
        }
        good &= check_index_node(d, entry(i).block & kIndexBlockMask, levels - 1, below);
        below.low = below.high;
    }
    return good;
}

}  // namespace ringlet::fs::ext4
