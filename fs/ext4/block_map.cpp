#include "fs/ext4/block_map.hpp"

#include <algorithm>

namespace ringlet::fs::ext4 {

std::optional<BlockMap::Place> BlockMap::place_of(u64 logical) const {
    Place p;
    if (logical < kDirect) {
        p.index[0] = static_cast<u32>(logical);
        return p;
    }
    u64 rest = logical - kDirect, covers = per_block();
    for (p.depth = 1; rest >= covers; covers *= per_block()) {
        rest -= covers;
        if (++p.depth > kLevels) return std::nullopt;
    }
    p.index[0] = kDirect - 1 + p.depth;
    for (unsigned i = 1; i <= p.depth; ++i) {
        covers /= per_block();
        p.index[i] = static_cast<u32>(rest / covers);
        rest %= covers;
    }
    return p;
}

u32 BlockMap::root_pointer(u32 index) const {
    return *ringlet::read_at<le32>(root_, usize{index} * 4);
}

void BlockMap::set_root_pointer(u32 index, u32 block) {
    const le32 value = block;
    std::memcpy(root_.data() + usize{index} * 4, &value, sizeof(value));
}

/// Pointer `index` of the table in block `table`; 0: the inode's.
Result<u32> BlockMap::pointer(u64 table, u32 index) {
    u32 found;
    if (table == 0) {
        found = root_pointer(index);
    } else {
        const BlockRef block = TRY(cache_.get(BlockNo(table)));
        found = *ringlet::read_at<le32>(block.bytes(), usize{index} * 4);
    }
    if (found != 0 && !geometry_.contains(found)) return fail(Error::corrupt);
    return found;
}

Result<> BlockMap::set_pointer(Handle& handle, u64 table, u32 index, u32 block) {
    if (table == 0) {
        set_root_pointer(index, block);
        return {};
    }
    const BlockEdit edit = TRY(handle.edit(table));
    const le32 value = block;
    std::memcpy(edit.bytes().data() + usize{index} * 4, &value, sizeof(value));
    return {};
}

Result<u32> BlockMap::add_table(Handle& handle) {
    const BlockRange got = TRY(groups_.allocate(handle, goal_, 1));
    ++nodes_added_;
    (void)TRY(handle.edit(got.first, Content::zeros));
    return static_cast<u32>(got.first);
}

Result<> BlockMap::set(Handle& handle, u64 logical, u64 physical) {
    const auto place = place_of(logical);
    if (!place || physical > ~u32{0}) return fail(Error::too_large);
    u64 table = 0;
    for (unsigned i = 0; i < place->depth; ++i) {
        u32 next = TRY(pointer(table, place->index[i]));
        if (next == 0) {
            next = TRY(add_table(handle));
            if (auto r = set_pointer(handle, table, place->index[i], next); !r) return r;
        }
        table = next;
    }
    const u32 old = TRY(pointer(table, place->index[place->depth]));
    if (old != 0) return fail(Error::corrupt);  // mapped already
    return set_pointer(handle, table, place->index[place->depth], static_cast<u32>(physical));
}

Result<> BlockMap::insert(Handle& handle, const Mapping& m) {
    ASSERT(m.length <= kMostBlocks && !m.unwritten);
    for (u32 i = 0; i < m.length; ++i) {
        const auto done = set(handle, u64{m.logical} + i, m.physical + i);
        if (done) continue;
        // What was set goes again, with the tables that were made for it, also for block i.
        if (done.error() == Error::no_space)
            for (u32 n = i + 1; n-- > 0;)
                if (auto r = clear(handle, u64{m.logical} + n); !r) return r;
        return done;
    }
    return {};
}

Result<bool> BlockMap::is_empty(u64 table) {
    const BlockRef block = TRY(cache_.get(BlockNo(table)));
    return std::all_of(block.bytes().begin(), block.bytes().end(), [](std::byte b) { return b == std::byte{0}; });
}

/// Clears a pointer, which may be clear already, and frees the tables above it that are empty then.
Result<> BlockMap::clear(Handle& handle, u64 logical) {
    const auto place = place_of(logical);
    if (!place) return fail(Error::corrupt);
    u64 tables[kLevels + 1] = {};
    unsigned depth = 0;
    while (depth < place->depth) {
        const u32 next = TRY(pointer(tables[depth], place->index[depth]));
        if (next == 0) break;
        tables[++depth] = next;
    }
    if (depth == place->depth)
        if (auto r = set_pointer(handle, tables[depth], place->index[depth], 0); !r) return r;
    for (; depth > 0; --depth) {
        const bool empty = TRY(is_empty(tables[depth]));
        if (!empty) return {};
        --nodes_added_;
        cache_.forget(BlockNo(tables[depth]));
        TRY(handle.revoke(tables[depth]));
        if (auto r = groups_.release(handle, {tables[depth], 1}); !r) return r;
        if (auto r = set_pointer(handle, tables[depth - 1], place->index[depth - 1], 0); !r) return r;
    }
    return {};
}

Result<> BlockMap::cut_tail(Handle& handle, const Mapping& m, u32 from) {
    for (u64 at = m.end(); at-- > from;)
        if (auto r = clear(handle, at); !r) return r;
    return {};
}

/// Below `table`, which maps blocks from `base` on with `height` levels of tables between it and them.
Result<std::optional<Mapping>> BlockMap::last_in(u64 table, unsigned height, u64 base, u64 before) {
    u64 covers = 1;
    for (unsigned i = 0; i < height; ++i) covers *= per_block();
    const u32 count = per_block();
    for (u32 i = static_cast<u32>(std::min<u64>(count, (before - base + covers - 1) / covers)); i-- > 0;) {
        const u32 found = TRY(pointer(table, i));
        if (found == 0) continue;
        if (height != 0) {
            auto below = TRY(last_in(found, height - 1, base + i * covers, before));
            if (below) return below;
            continue;
        }
        Mapping m{static_cast<u32>(base + i), 1, found, false};
        while (i > 0 && m.length < kMostBlocks) {
            const u32 previous = TRY(pointer(table, i - 1));
            if (previous == 0 || previous + 1 != m.physical) break;
            --m.logical, --m.physical, ++m.length, --i;
        }
        return std::optional<Mapping>(m);
    }
    return std::optional<Mapping>();
}

Result<std::optional<Mapping>> BlockMap::last_before(u64 before) {
    u64 base = kDirect, covers = per_block();
    u64 bases[kLevels + 1] = {0};
    for (unsigned level = 1; level <= kLevels; ++level, base += covers, covers *= per_block()) bases[level] = base;
    for (unsigned level = kLevels; level > 0; --level) {
        if (before <= bases[level]) continue;
        const u32 table = TRY(pointer(0, kDirect - 1 + level));
        if (table == 0) continue;
        auto found = TRY(last_in(table, level - 1, bases[level], before));
        if (found) return found;
    }
    for (u64 i = std::min<u64>(before, kDirect); i-- > 0;) {
        const u32 found = TRY(pointer(0, static_cast<u32>(i)));
        if (found != 0) return std::optional<Mapping>(Mapping{static_cast<u32>(i), 1, found, false});
    }
    return std::optional<Mapping>();
}

}  // namespace ringlet::fs::ext4
