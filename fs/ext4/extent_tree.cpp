// Insertion finds the leaf, merges or makes room from the top down, one split at a time, and begins again. Removal
// takes empty nodes away. The key of an index entry is always the first block of what is below it, as e2fsck wants it.
#include "fs/ext4/extent_tree.hpp"

#include <algorithm>

#include "fs/ext4/volume.hpp"

namespace ringlet::fs::ext4 {
namespace {

u64 child_of(const ExtentIndex& e) {
    return e.leaf_lo | u64{e.leaf_hi} << 32;
}

void point(ExtentIndex& e, u32 key, u64 block) {
    e.block = key;
    e.leaf_lo = static_cast<u32>(block);
    e.leaf_hi = static_cast<u16>(block >> 32);
    e.unused = 0;
}

Mapping mapping_of(const Extent& e) {
    Mapping m;
    m.logical = e.block;
    m.unwritten = e.len > kUnwrittenBias;
    m.length = m.unwritten ? e.len - kUnwrittenBias : u32{e.len};
    m.physical = e.start_lo | u64{e.start_hi} << 32;
    return m;
}

void put(Extent& e, const Mapping& m) {
    e.block = m.logical;
    e.len = static_cast<u16>(m.unwritten ? m.length + kUnwrittenBias : m.length);
    e.start_lo = static_cast<u32>(m.physical);
    e.start_hi = static_cast<u16>(m.physical >> 32);
}

u32 longest(bool unwritten) {
    return unwritten ? ExtentTree::kLongestUnwritten : ExtentTree::kLongest;
}

bool continues(const Mapping& a, const Mapping& b) {
    return a.end() == b.logical && a.physical + a.length == b.physical && a.unwritten == b.unwritten &&
           a.length + b.length <= longest(a.unwritten);
}

}  // namespace

void seal_extents(MutableBytes node, u32 seed) {
    const auto header = *ringlet::read_at<ExtentHeader>(node, 0);
    const usize tail = sizeof(ExtentHeader) + usize{header.max} * sizeof(Extent);
    if (tail + sizeof(le32) > node.size()) return;
    const le32 crc = crc32c(seed, Bytes(node).first(tail));
    std::memcpy(node.data() + tail, &crc, sizeof(crc));
}

void ExtentTree::Node::open_gap(u32 at) const {
    std::byte* const from = bytes.data() + sizeof(ExtentHeader) + usize{at} * sizeof(Extent);
    std::memmove(from + sizeof(Extent), from, usize{header().entries - at} * sizeof(Extent));
    header().entries = static_cast<u16>(header().entries + 1);
}

void ExtentTree::Node::close_gap(u32 at) const {
    std::byte* const to = bytes.data() + sizeof(ExtentHeader) + usize{at} * sizeof(Extent);
    header().entries = static_cast<u16>(header().entries - 1);
    std::memmove(to, to + sizeof(Extent), usize{header().entries - at} * sizeof(Extent));
}

void ExtentTree::make(Root root) {
    std::memset(root.data(), 0, root.size());
    auto& h = *reinterpret_cast<ExtentHeader*>(root.data());
    h.magic = kExtentMagic;
    h.max = static_cast<u16>((root.size() - sizeof(h)) / sizeof(Extent));
}

/// Down to where the mapping of `logical` is, or belongs. Each step's `at` is the last entry that begins at or before
/// it, or entry 0.
Result<ExtentTree::Path> ExtentTree::descend(u64 logical) {
    Path path;
    u64 block = 0;
    for (unsigned level = 0;; ++level) {
        BlockRef held;
        Bytes node = root_;
        if (level != 0) {
            held = TRY(read_extent_node(cache_, geometry_, seed_, block));
            node = held.bytes();
        }
        const ExtentHeader h = *ringlet::read_at<ExtentHeader>(node, 0);
        if (level == 0) path.depth = h.depth;
        if (h.magic != kExtentMagic || path.depth > kMaxExtentDepth || h.depth != path.depth - level ||
            h.entries > h.max || h.max > room_of(level) || (level < path.depth && h.entries == 0))
            return fail(Error::corrupt);
        const auto at = last_not_after(node, h.entries, logical);
        Step& step = path.steps[level];
        step = {block, at.value_or(0), h.entries};
        if (level == path.depth) {
            path.found = at.has_value();
            return path;
        }
        block = child_of(*ringlet::read_at<ExtentIndex>(node, sizeof(h) + step.at * sizeof(ExtentIndex)));
    }
}

Result<ExtentTree::Node> ExtentTree::edit(Handle& handle, const Step& step) {
    Node node;
    if (step.block == 0) {
        node.bytes = root_;
        return node;
    }
    node.edit = TRY(handle.edit(step.block));
    node.edit.seal_with(geometry_.checksums() ? seal_extents : nullptr, seed_);
    node.bytes = node.edit.bytes();
    return node;
}

Result<Mapping> ExtentTree::read_leaf(const Step& step, u32 at) {
    BlockRef held;
    Bytes node = root_;
    if (step.block != 0) {
        held = TRY(read_extent_node(cache_, geometry_, seed_, step.block));
        node = held.bytes();
    }
    const Mapping m = mapping_of(*ringlet::read_at<Extent>(node, sizeof(ExtentHeader) + usize{at} * sizeof(Extent)));
    if (m.length == 0 || !geometry_.contains(m.physical, m.length)) return fail(Error::corrupt);
    return m;
}

// ---- adding

Result<> ExtentTree::insert(Handle& handle, Mapping m) {
    ASSERT(m.length != 0 && m.length <= longest(m.unwritten));
    // A split in every level, and a new root, at worst: known before anything changes.
    for (unsigned tries = 0; tries <= 2 * (kMaxExtentDepth + 1); ++tries) {
        Path path = TRY(descend(m.logical));
        const bool merged = TRY(merge(handle, path, m));
        if (merged) return {};
        if (path.leaf().count < room_of(path.depth)) {
            const u32 at = path.found ? path.leaf().at + 1 : 0;
            {
                const Node leaf = TRY(edit(handle, path.leaf()));
                leaf.open_gap(at);
                put(leaf.entry<Extent>(at), m);
            }
            path.leaf().at = at;
            return at == 0 ? fix_keys(handle, path, path.depth) : Result<>{};
        }
        if (auto r = make_room(handle, path); !r) return r;
    }
    return fail(Error::corrupt);
}

/// Lengthens a neighbour in the same leaf. False: neither continues it.
Result<bool> ExtentTree::merge(Handle& handle, Path& path, const Mapping& m) {
    const Step leaf = path.leaf();
    std::optional<Mapping> left, right;
    const u32 behind = path.found ? leaf.at + 1 : 0;
    if (path.found) {
        left = TRY(read_leaf(leaf, leaf.at));
        if (left->end() > m.logical) return fail(Error::corrupt);  // mapped already
    }
    if (behind < leaf.count) {
        right = TRY(read_leaf(leaf, behind));
        if (right->logical < m.end()) return fail(Error::corrupt);
    }
    const bool to_left = left && continues(*left, m), to_right = right && continues(m, *right);
    if (!to_left && !to_right) return false;
    const Node node = TRY(edit(handle, leaf));
    if (to_left) {
        Mapping whole = *left;
        whole.length += m.length;
        const bool all = to_right && continues(whole, *right);
        if (all) whole.length += right->length;
        put(node.entry<Extent>(leaf.at), whole);
        if (all) node.close_gap(behind);
        return true;
    }
    Mapping whole = m;
    whole.length += right->length;
    put(node.entry<Extent>(behind), whole);
    path.leaf().at = behind;
    if (behind == 0)
        if (auto r = fix_keys(handle, path, path.depth); !r) return fail(r.error());
    return true;
}

/// One split, of the highest node that must have room for the next, or a new level.
Result<> ExtentTree::make_room(Handle& handle, Path& path) {
    unsigned level = path.depth;
    while (level > 0 && path.steps[level - 1].count >= room_of(level - 1)) --level;
    if (level == 0) return grow(handle);
    return split(handle, path, level);
}

Result<ExtentTree::Node> ExtentTree::add_node(Handle& handle, u64& block, u16 depth) {
    const BlockRange got = TRY(groups_.allocate(handle, goal_, 1));
    block = got.first;
    ++nodes_added_;
    Node node;
    node.edit = TRY(handle.edit(block, Content::zeros));
    node.edit.seal_with(geometry_.checksums() ? seal_extents : nullptr, seed_);
    node.edit.mark_verified(static_cast<u8>(Check::extents));
    node.bytes = node.edit.bytes();
    node.header().magic = kExtentMagic;
    node.header().max = room_of(1);
    node.header().depth = depth;
    return node;
}

/// The root's entries move into a node of their own, which becomes its only child.
Result<> ExtentTree::grow(Handle& handle) {
    auto& root = *reinterpret_cast<ExtentHeader*>(root_.data());
    if (root.depth == kMaxExtentDepth) return fail(Error::too_large);
    u64 block = 0;
    const Node node = TRY(add_node(handle, block, root.depth));
    const usize bytes = usize{root.entries} * sizeof(Extent);
    std::memcpy(node.bytes.data() + sizeof(root), root_.data() + sizeof(root), bytes);
    node.header().entries = root.entries;
    const u32 key = node.entry<Extent>(0).block;
    std::memset(root_.data() + sizeof(root), 0, root_.size() - sizeof(root));
    root.entries = 1;
    root.depth = static_cast<u16>(root.depth + 1);
    point(*reinterpret_cast<ExtentIndex*>(root_.data() + sizeof(root)), key, block);
    return {};
}

/// The upper half of the node at `level` moves to a new one behind it; the parent has room. Who appends leaves full
/// nodes.
Result<> ExtentTree::split(Handle& handle, Path& path, unsigned level) {
    const Step& step = path.steps[level];
    const bool at_end = step.at + 1 == step.count;
    const u32 keep = at_end ? step.count - 1 : step.count / 2;
    u64 block = 0;
    u32 key;
    {
        const Node fresh = TRY(add_node(handle, block, static_cast<u16>(path.depth - level)));
        const Node old = TRY(edit(handle, step));
        std::memcpy(&fresh.entry<Extent>(0), &old.entry<Extent>(keep), usize{step.count - keep} * sizeof(Extent));
        fresh.header().entries = static_cast<u16>(step.count - keep);
        old.header().entries = static_cast<u16>(keep);
        key = fresh.entry<Extent>(0).block;
    }
    const Step& above = path.steps[level - 1];
    const Node parent = TRY(edit(handle, above));
    parent.open_gap(above.at + 1);
    point(parent.entry<ExtentIndex>(above.at + 1), key, block);
    return {};
}

/// The first key of the node at level `changed` is another: so is that of every node it is the first of.
Result<> ExtentTree::fix_keys(Handle& handle, const Path& path, unsigned changed) {
    u32 key;
    {
        const Node node = TRY(edit(handle, path.steps[changed]));
        key = node.entry<Extent>(0).block;
    }
    for (unsigned level = changed; level-- > 0;) {
        const Node node = TRY(edit(handle, path.steps[level]));
        node.entry<ExtentIndex>(path.steps[level].at).block = key;
        if (path.steps[level].at != 0) break;
    }
    return {};
}

// ---- taking away

Result<std::optional<Mapping>> ExtentTree::last_before(u64 before) {
    if (before == 0) return std::optional<Mapping>();
    Path path = TRY(descend(before - 1));
    if (!path.found) return std::optional<Mapping>();
    return std::optional<Mapping>(TRY(read_leaf(path.leaf(), path.leaf().at)));
}

Result<> ExtentTree::cut_tail(Handle& handle, const Mapping& m, u32 from) {
    Path path = TRY(descend(m.logical));
    if (!path.found) return fail(Error::corrupt);
    if (from == m.logical) return remove_entry(handle, path);
    const Node leaf = TRY(edit(handle, path.leaf()));
    Mapping rest = m;
    rest.length = from - m.logical;
    put(leaf.entry<Extent>(path.leaf().at), rest);
    return {};
}

Result<> ExtentTree::cut_head(Handle& handle, const Mapping& m, u32 to) {
    Path path = TRY(descend(m.logical));
    if (!path.found) return fail(Error::corrupt);
    {
        const Node leaf = TRY(edit(handle, path.leaf()));
        Mapping rest = m;
        rest.logical = to;
        rest.length = static_cast<u32>(m.end() - to);
        rest.physical += to - m.logical;
        put(leaf.entry<Extent>(path.leaf().at), rest);
    }
    return path.leaf().at == 0 ? fix_keys(handle, path, path.depth) : Result<>{};
}

Result<> ExtentTree::drop_node(Handle& handle, u64 block) {
    --nodes_added_;
    cache_.forget(BlockNo(block));
    TRY(handle.revoke(block));
    return groups_.release(handle, {block, 1});
}

/// The entry at the end of `path` goes, and every node that is empty then.
Result<> ExtentTree::remove_entry(Handle& handle, Path& path) {
    for (unsigned level = path.depth;; --level) {
        const Step& step = path.steps[level];
        if (step.count == 1 && level != 0) {
            if (auto r = drop_node(handle, step.block); !r) return r;
            continue;
        }
        {
            const Node node = TRY(edit(handle, step));
            node.close_gap(step.at);
        }
        if (level == 0 && step.count == 1) {
            make(root_);
            return {};
        }
        return step.at == 0 ? fix_keys(handle, path, level) : Result<>{};
    }
}

}  // namespace ringlet::fs::ext4
