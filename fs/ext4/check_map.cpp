// The blocks of one inode, in order: extent trees (§"Extent Tree") and block maps (§"Indirect Blocks"). The recursion
// is as deep as the tree may be: five, or three.
#include "fs/ext4/checker.hpp"

namespace ringlet::fs::ext4 {

namespace {
constexpr u64 kMostBlocks = u64{1} << 32;
constexpr u32 kDirect = 12;
}  // namespace

void Checker::trouble(Walk& w, std::string_view text, u64 a, u64 b) {
    ++w.troubles;
    if (!w.quiet) problem(text, w.inode.number, a, b);
}

void Checker::walk(Walk& w) {
    const Bytes root = w.inode.root();
    if (w.inode.has(kInodeExtents)) {
        const auto& h = overlay<ExtentHeader>(root);
        if (h.depth > kMaxExtentDepth)
            trouble(w, "inode {}: an extent tree of depth {}", u32{h.depth});
        else
            walk_extents(w, root, h.depth, kMostBlocks, std::nullopt);
        return;
    }
    for (u32 i = 0; i < kDirect; ++i) walk_pointer(w, word_at(root, i * 4), 0, i);
    u64 logical = kDirect, span = 1;
    for (unsigned height = 1; height <= 3; ++height) {
        span *= geometry_.block_size / 4;
        walk_pointer(w, word_at(root, (kDirect + height - 1) * 4), height, logical);
        logical += span;
    }
}

/// A node of `depth`, whose entries lie below `limit`; its parent says that it begins at `start`.
void Checker::walk_extents(Walk& w, Bytes node, u16 depth, u64 limit, std::optional<u32> start) {
    const auto& h = overlay<ExtentHeader>(node);
    if (h.magic != kExtentMagic || h.depth != depth || h.entries > h.max ||
        h.max > (node.size() - sizeof(h)) / sizeof(Extent) || (h.entries == 0 && start))
        return trouble(w, "inode {}: a node of its extent tree cannot be right");
    for (u32 i = 0; i < h.entries && !is_over(w); ++i) {
        const usize at = sizeof(h) + i * sizeof(Extent);
        const u32 logical = word_at(node, at);
        const u64 beyond = i + 1u < h.entries ? u64{word_at(node, at + sizeof(Extent))} : limit;
        if (i == 0 && start && logical != *start)
            trouble(w, "inode {}: extents begin at block {} where {} was expected", logical, *start);
        if (logical < w.next || logical >= limit) {
            trouble(w, "inode {}: the extent of block {} is out of order", logical);
            continue;
        }
        if (depth == 0) {
            walk_leaf(w, overlay<Extent>(node, at), std::min(beyond, limit));
            continue;
        }
        const auto& e = overlay<ExtentIndex>(node, at);
        const u64 block = e.leaf_lo | u64{e.leaf_hi} << 32;
        if (!geometry_.contains(block)) {
            trouble(w, "inode {}: block {} of its extent tree does not exist", block);
            continue;
        }
        if (!w.visit({Piece::Kind::node, logical, block, 1})) {
            ++w.troubles;
            continue;
        }
        const auto ref = fetch(block);
        if (!ref) {
            ++w.troubles;
            continue;
        }
        const auto& below = overlay<ExtentHeader>(ref->bytes());
        const usize tail = sizeof(h) + usize{below.max} * sizeof(Extent);
        const bool whole = tail + sizeof(le32) <= geometry_.block_size;
        if (geometry_.checksums() &&
            (!whole || crc32c(w.inode.seed, ref->bytes().first(tail)) != word_at(ref->bytes(), tail)))
            trouble(w, "inode {}: the checksum of block {} of its extent tree is wrong", block);
        walk_extents(w, ref->bytes(), static_cast<u16>(depth - 1), std::min(beyond, limit), logical);
    }
}

void Checker::walk_leaf(Walk& w, const Extent& e, u64 limit) {
    const bool unwritten = e.len > kUnwrittenBias;
    const u32 length = unwritten ? e.len - kUnwrittenBias : u32{e.len};
    const u64 start = e.start_lo | u64{e.start_hi} << 32;
    if (length == 0 || !geometry_.contains(start, length))
        return trouble(w, "inode {}: {} blocks from {} on do not exist", length, start);
    if (u64{e.block} + length > limit)
        return trouble(w, "inode {}: the extent of block {} overlaps the next", u32{e.block});
    w.next = u64{e.block} + length;
    if (!w.visit({unwritten ? Piece::Kind::unwritten : Piece::Kind::data, e.block, start, length})) ++w.troubles;
}

/// `height` tables of pointers lie between `block` and the data.
void Checker::walk_pointer(Walk& w, u32 block, unsigned height, u64 logical) {
    if (block == 0 || is_over(w)) return;
    if (!geometry_.contains(block) || logical >= kMostBlocks)
        return trouble(w, "inode {}: block {} for block {} does not exist", block, logical);
    const bool down = w.visit({height == 0 ? Piece::Kind::data : Piece::Kind::node, logical, block, 1});
    if (!down) ++w.troubles;
    if (height == 0 || !down) return;
    const auto ref = fetch(block);
    if (!ref) {
        ++w.troubles;
        return;
    }
    u64 span = 1;
    for (unsigned i = 1; i < height; ++i) span *= geometry_.block_size / 4;
    for (u32 i = 0; i < geometry_.block_size / 4; ++i)
        walk_pointer(w, word_at(ref->bytes(), i * 4), height - 1, logical + i * span);
}

}  // namespace ringlet::fs::ext4
