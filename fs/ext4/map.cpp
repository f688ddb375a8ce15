// Where the blocks of a file are: extent trees, the block maps of ext2 and ext3, and reading ahead.
#include <algorithm>

#include "fs/ext4/volume.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr u64 kNoLimit = u64{1} << 32;  ///< file blocks are numbered with 32 bits
constexpr u32 kFirstWindow = 32 << 10, kLargestWindow = 256 << 10;

/// Header plausible for a node of this size at this depth?
bool header_fits(const ExtentHeader& h, usize node_bytes, u16 depth) {
    return h.magic == kExtentMagic && h.depth == depth && h.entries <= h.max &&
           h.max <= (node_bytes - sizeof(ExtentHeader)) / sizeof(Extent);
}

}  // namespace

std::optional<u32> last_not_after(Bytes node, u32 count, u64 logical) {
    u32 low = 0, high = count;
    while (low < high) {
        const u32 middle = (low + high) / 2;
        if (*ringlet::read_at<le32>(node, sizeof(ExtentHeader) + middle * sizeof(Extent)) <= logical)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return std::nullopt;
    return low - 1;
}

Result<Run> Ext4Inode::find_run(u64 logical) {
    if (logical >= kNoLimit) return fail(Error::corrupt);
    const auto n = static_cast<u32>(logical);
    const Run run = TRY(has_extents() ? map_extents(n) : map_pointers(n));
    last_run_.keep(n, run);
    return run;
}

Result<BlockRef> read_extent_node(BlockCache& cache, const Geometry& geometry, u32 seed, u64 block) {
    if (!geometry.contains(block)) return fail(Error::corrupt);
    BlockRef node = TRY(cache.get(BlockNo(block)));
    constexpr u8 kBit = static_cast<u8>(Check::extents);
    if (!geometry.checksums() || node.verified(kBit)) return node;
    const ExtentHeader h = *ringlet::read_at<ExtentHeader>(node.bytes(), 0);
    const usize tail = sizeof(ExtentHeader) + usize{h.max} * sizeof(Extent);
    const auto stored = ringlet::read_at<le32>(node.bytes(), tail);
    if (!stored || crc32c(seed, node.bytes().first(tail)) != *stored) return fail(Error::corrupt);
    node.mark_verified(kBit);
    return node;
}

Result<Run> Ext4Inode::map_extents(u32 logical) {
    Bytes node = root_;
    BlockRef held;
    u64 limit = kNoLimit;  // the first block that the subtree below does not cover
    u16 depth = ringlet::read_at<ExtentHeader>(node, 0)->depth;
    if (depth > kMaxExtentDepth) return fail(Error::corrupt);
    for (;; --depth) {
        const ExtentHeader h = *ringlet::read_at<ExtentHeader>(node, 0);
        if (!header_fits(h, node.size(), depth)) return fail(Error::corrupt);
        const auto at = last_not_after(node, h.entries, logical);
        const u32 following = at ? *at + 1 : 0;
        if (following < h.entries) {
            const u64 beyond = *ringlet::read_at<le32>(node, sizeof(h) + following * sizeof(Extent));
            limit = std::min(limit, beyond);
        }
        if (limit <= logical) return fail(Error::corrupt);  // not in order
        if (!at) return Run{0, limit - logical};
        if (depth == 0) {
            const Extent e = *ringlet::read_at<Extent>(node, sizeof(h) + *at * sizeof(Extent));
            const bool unwritten = e.len > kUnwrittenBias;
            const u32 length = unwritten ? e.len - kUnwrittenBias : u32{e.len};
            const u64 start = e.start_lo | u64{e.start_hi} << 32;
            if (length == 0 || !geometry().contains(start, length)) return fail(Error::corrupt);
            const u64 into = logical - e.block;
            if (into >= length) return Run{0, limit - logical};
            return Run{start + into, std::min<u64>(length - into, limit - logical), unwritten};
        }
        const ExtentIndex index = *ringlet::read_at<ExtentIndex>(node, sizeof(h) + *at * sizeof(ExtentIndex));
        held = BlockRef();  // never two pins
        held = TRY(read_extent_node(volume_.cache(), geometry(), seed_, index.leaf_lo | u64{index.leaf_hi} << 32));
        node = held.bytes();
    }
}

Result<Run> Ext4Inode::map_pointers(u32 logical) {
    // ext2 §"Indirect blocks": 12 pointers, then one block each of pointers, of such blocks, and of those.
    const u32 shift = geometry().block_shift - 2;
    Bytes table = root_;
    BlockRef held;
    u64 index = logical, end = 12, covers = 1;
    if (logical >= 12) {
        u64 rest = logical - 12;
        unsigned level = 1;
        for (covers = u64{1} << shift; rest >= covers; covers <<= shift) {
            rest -= covers;
            if (++level > 3) return fail(Error::corrupt);
        }
        index = 11 + level;
        end = index + 1;
        for (; level > 0; --level) {
            const u64 pointer = *ringlet::read_at<le32>(table, static_cast<usize>(index) * 4);
            if (pointer == 0) return Run{0, covers - rest};
            if (!geometry().contains(pointer)) return fail(Error::corrupt);
            held = BlockRef();
            held = TRY(volume_.cache().get(BlockNo(pointer)));
            table = held.bytes();
            covers >>= shift;
            index = rest / covers;
            rest %= covers;
        }
        end = u64{1} << shift;
    }
    const auto pointer_at = [&](u64 i) { return u64{*ringlet::read_at<le32>(table, static_cast<usize>(i) * 4)}; };
    const u64 first = pointer_at(index);
    u64 length = 1;
    while (index + length < end && pointer_at(index + length) == (first == 0 ? 0 : first + length)) ++length;
    if (first != 0 && !geometry().contains(first, length)) return fail(Error::corrupt);
    return Run{first, length};
}

u64 Ext4Inode::read_ahead_room() const {
    return u64{volume_.cache().prefetch_limit()} << geometry().block_shift;
}

/// Starts reading the file's blocks [from, to), bytes; as far as the map is known without an error.
void Ext4Inode::prefetch(u64 from, u64 to) {
    const u32 shift = geometry().block_shift;
    u64 at = from >> shift;
    const u64 end = (std::min(to, size()) + geometry().block_size - 1) >> shift;
    // A badly fragmented file is not worth an extent walk per block: a few runs, then wait for the next call.
    for (int runs = 0; at < end && runs < 8; ++runs) {
        const auto run = map(at);
        if (!run) return;
        const u64 length = std::min(run->length, end - at);
        if (!run->reads_zeros()) volume_.cache().prefetch(BlockNo(run->physical), static_cast<u32>(length));
        at += length;
    }
}

void Ext4Inode::read_ahead(u64 offset, usize length, ReadAhead* hint) {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const u64 end = offset + length;
    // The rest of the last piece once more: a sender that could not pass on all of it. Nothing new is known.
    if (hint != nullptr && hint->next_offset.load(kRelaxed) == end && offset != end) return;
    if (hint == nullptr || hint->next_offset.load(kRelaxed) != offset) {
        // Not sequential: what was asked for, as one request, and nothing more.
        if (hint != nullptr) {
            hint->window.store(0, kRelaxed);
            hint->ahead_to.store(end, kRelaxed);
            hint->next_offset.store(end, kRelaxed);
        }
        if (length > geometry().block_size) prefetch(offset, std::min(end, offset + read_ahead_room()));
        return;
    }
    u32 window = hint->window.load(kRelaxed);
    const u64 ahead = std::max(hint->ahead_to.load(kRelaxed), offset);
    hint->next_offset.store(end, kRelaxed);
    // Read on when less than half a window is left, so that requests are large and the reader never waits for
    // one that was not under way already.
    if (ahead >= size() || (window != 0 && ahead >= end + window / 2)) return;
    const u64 room = read_ahead_room();
    window = window == 0 ? kFirstWindow : std::min(window * 2, kLargestWindow);
    window = static_cast<u32>(std::min<u64>(window, room));  // what is prefetched must survive until it is read
    const u64 target = std::min({end + window, size(), ahead + room});
    hint->window.store(window, kRelaxed);
    hint->ahead_to.store(std::max(target, ahead), kRelaxed);
    if (target > ahead) prefetch(ahead, target);
}

}  // namespace ringlet::fs::ext4
