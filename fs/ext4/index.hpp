// The way down the index of a directory (§"Hash Tree Directories"), for those who look a name up and for those who add
// one. Context: the tree's lock is held.
#pragma once

#include "fs/ext4/layout.hpp"
#include "lib/bytes.hpp"

namespace ringlet::fs::ext4 {

/// One level on the way down. Blocks are read again when needed: the cache has them, and nothing stays pinned.
struct IndexFrame {
    u32 block = 0;          ///< of the directory
    u32 at = 0, count = 0;  ///< the entry followed, of how many
};

struct IndexDescent {
    static constexpr unsigned kMaxLevels = 4;
    IndexFrame frames[kMaxLevels];
    unsigned levels = 0;  ///< index levels below the root
    u8 version = 0;       ///< of the hash, for name_hash()
    u32 hash = 0;
    u32 child = 0;  ///< the block that the deepest frame leads to
};

/// The checksum of an index block, behind its last possible entry: of the entries in use and the tail's reserved word.
/// The caller has seen that the counts fit the block.
u32 index_checksum(Bytes block, usize entries_at, DxCountLimit counts, u32 seed);
/// Seal: the checksum of the root's block.
void seal_index_root(MutableBytes block, u32 seed);

inline constexpr u32 kIndexBlockMask = 0x0fff'ffff;

inline DxEntry entry_of(Bytes block, usize entries_at, u32 index) {
    return *ringlet::read_at<DxEntry>(block, entries_at + usize{index} * sizeof(DxEntry));
}

/// How many entries fit behind `entries_at`; `tail`: bytes of the checksum.
inline u32 entry_limit(usize block_size, usize entries_at, usize tail) {
    return static_cast<u32>((block_size - entries_at - tail) / sizeof(DxEntry));
}

/// The number of entries; 0 when the two counts cannot be right for a block of this size.
inline u32 entry_count(Bytes block, usize entries_at, usize tail) {
    const DxCountLimit c = *ringlet::read_at<DxCountLimit>(block, entries_at);
    return c.limit == entry_limit(block.size(), entries_at, tail) && c.count <= c.limit ? u32{c.count} : 0;
}

/// The last entry whose hash is not above `hash`. Entry 0 has no hash: it covers everything below entry 1.
inline u32 choose(Bytes block, usize entries_at, u32 count, u32 hash) {
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

}  // namespace ringlet::fs::ext4
