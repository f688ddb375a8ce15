// Free blocks and inodes.
#include "fs/ext4/groups.hpp"

#include <algorithm>
#include <new>

#include "fs/ext4/bits.hpp"
#include "fs/ext4/volume.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr u16 upper(u32 v) {
    return static_cast<u16>(v >> 16);
}

/// CRC-16 (ANSI, reflected), for the descriptors of filesystems without metadata_csum.
u16 crc16(u16 crc, Bytes bytes) {
    for (std::byte b : bytes) {
        crc = static_cast<u16>(crc ^ static_cast<u8>(b));
        for (int bit = 0; bit < 8; ++bit) crc = static_cast<u16>((crc >> 1) ^ ((crc & 1) != 0 ? 0xa001 : 0));
    }
    return crc;
}

}  // namespace

u16 descriptor_checksum(const Geometry& geometry, u32 group, Bytes bytes) {
    constexpr usize kAt = offsetof(GroupDesc, checksum);
    constexpr std::byte kZero[2] = {};
    const le32 number = group;
    const Bytes number_bytes = std::as_bytes(std::span(&number, 1));
    if (!geometry.checksums()) {
        u16 crc = crc16(0xffff, std::as_bytes(std::span(geometry.uuid)));
        crc = crc16(crc, number_bytes);
        crc = crc16(crc, bytes.first(kAt));
        return crc16(crc, bytes.subspan(kAt + 2));
    }
    u32 crc = crc32c(geometry.checksum_seed, number_bytes);
    crc = crc32c(crc, bytes.first(kAt));
    crc = crc32c(crc, kZero);
    return static_cast<u16>(crc32c(crc, bytes.subspan(kAt + 2)));
}

Result<> Groups::start(u64 free_blocks, u32 free_inodes) {
    auto state = state_.lock();
    state->free_blocks = free_blocks;
    state->free_inodes = free_inodes;
    state->pending_ranges.reset(new (std::nothrow) Pending[kPending]);
    state->stale_bitmaps.reset(new (std::nothrow) Stale[kStale]);
    state->made_up_bitmap.reset(new (std::nothrow) std::byte[geometry_.block_size]);
    if (!state->pending_ranges || !state->stale_bitmaps || !state->made_up_bitmap) return fail(Error::no_memory);
    return {};
}

u32 Groups::blocks_in(u32 group) const {
    return static_cast<u32>(std::min<u64>(geometry_.blocks_per_group, geometry_.blocks - group_start(group)));
}

// ---- descriptors

GroupInfo group_info(const Geometry& geometry, const GroupDesc& d) {
    GroupInfo info;
    info.block_bitmap = both(d.block_bitmap_lo, d.block_bitmap_hi);
    info.inode_bitmap = both(d.inode_bitmap_lo, d.inode_bitmap_hi);
    info.inode_table = both(d.inode_table_lo, d.inode_table_hi);
    info.free_blocks = both(d.free_blocks_count_lo, d.free_blocks_count_hi);
    info.free_inodes = both(d.free_inodes_count_lo, d.free_inodes_count_hi);
    info.directories = both(d.used_dirs_count_lo, d.used_dirs_count_hi);
    if (geometry.has_descriptor_checksums()) {
        info.unused_inodes = both(d.itable_unused_lo, d.itable_unused_hi);
        info.flags = d.flags;
    }
    return info;
}

Result<GroupDesc> Groups::load(u32 group, bool& checksum_is_right) {
    const DescriptorPlace place = descriptor_place(group);
    if (!geometry_.contains(place.block)) return fail(Error::corrupt);
    const BlockRef ref = TRY(cache_.get(BlockNo(place.block)));
    const Bytes bytes = ref.bytes().subspan(place.offset, geometry_.descriptor_size);
    std::byte copy[1024];  // the largest descriptor that a superblock may claim
    {
        auto lock = descriptors_.lock();
        std::memcpy(copy, bytes.data(), bytes.size());
    }
    GroupDesc d;
    std::memcpy(&d, copy, std::min<usize>(bytes.size(), sizeof(d)));
    checksum_is_right = !geometry_.has_descriptor_checksums() ||
                        d.checksum == descriptor_checksum(geometry_, group, Bytes(copy).first(bytes.size()));
    return d;
}

Result<> Groups::change(Handle& handle, u32 group, FunctionRef<void(GroupDesc&)> edit) {
    const DescriptorPlace place = descriptor_place(group);
    const BlockEdit block = TRY(handle.edit(place.block));
    const MutableBytes bytes = block.bytes().subspan(place.offset, geometry_.descriptor_size);
    std::byte copy[1024];
    const MutableBytes whole = MutableBytes(copy).first(bytes.size());
    std::memcpy(copy, bytes.data(), bytes.size());
    GroupDesc d;
    const usize length = std::min<usize>(bytes.size(), sizeof(d));
    std::memcpy(&d, copy, length);
    edit(d);
    std::memcpy(copy, &d, length);
    if (geometry_.has_descriptor_checksums()) {
        d.checksum = descriptor_checksum(geometry_, group, whole);
        std::memcpy(copy, &d, length);
    }
    auto lock = descriptors_.lock();
    std::memcpy(bytes.data(), copy, bytes.size());
    return {};
}

Result<GroupInfo> Groups::read(u32 group) {
    bool good = false;
    const GroupDesc d = TRY(load(group, good));
    if (!good) return fail(Error::corrupt);
    const GroupInfo info = group_info(geometry_, d);
    const u64 table_bytes = u64{geometry_.inodes_per_group} * geometry_.inode_size;
    if (!geometry_.contains(info.inode_table, (table_bytes + geometry_.block_size - 1) >> geometry_.block_shift))
        return fail(Error::corrupt);
    return info;
}

Result<> Groups::write(Handle& handle, u32 group, const GroupInfo& info) {
    return change(handle, group, [&](GroupDesc& d) {
        d.free_blocks_count_lo = static_cast<u16>(info.free_blocks);
        d.free_inodes_count_lo = static_cast<u16>(info.free_inodes);
        d.used_dirs_count_lo = static_cast<u16>(info.directories);
        d.free_blocks_count_hi = upper(info.free_blocks);
        d.free_inodes_count_hi = upper(info.free_inodes);
        d.used_dirs_count_hi = upper(info.directories);
        if (!geometry_.has_descriptor_checksums()) return;
        d.itable_unused_lo = static_cast<u16>(info.unused_inodes);
        d.itable_unused_hi = upper(info.unused_inodes);
        d.flags = info.flags;
    });
}

// ---- bitmaps

u32 Groups::bitmap_checksum(Bitmap kind, Bytes bytes) const {
    const u32 bits = kind == Bitmap::blocks ? geometry_.blocks_per_group : geometry_.inodes_per_group;
    return crc32c(geometry_.checksum_seed, bytes.first(bits / 8));
}

/// Reads a bitmap and checks it, once.
Result<> Groups::verify(u32 group, Bitmap kind, const GroupInfo& info) {
    const u64 at = kind == Bitmap::blocks ? info.block_bitmap : info.inode_bitmap;
    if (!geometry_.contains(at)) return fail(Error::corrupt);
    u32 actual;
    {
        const BlockRef block = TRY(cache_.get(BlockNo(at)));
        constexpr u8 kBit = static_cast<u8>(Check::bitmap);
        if (!geometry_.checksums() || block.verified(kBit)) return {};
        actual = bitmap_checksum(kind, block.bytes());
        block.mark_verified(kBit);
    }
    bool good = false;
    const GroupDesc d = TRY(load(group, good));
    const bool wide = geometry_.descriptor_size >= sizeof(d);
    const u32 stored = kind == Bitmap::blocks ? both(d.block_bitmap_csum_lo, d.block_bitmap_csum_hi)
                                              : both(d.inode_bitmap_csum_lo, d.inode_bitmap_csum_hi);
    if ((wide ? actual : actual & 0xffff) != stored) return fail(Error::corrupt);
    return {};
}

/// The bitmap to be changed; one that was never written is made up. `info` is to be written afterwards.
Result<BlockEdit> Groups::edit_bitmap(State& state, Handle& handle, u32 group, Bitmap kind, GroupInfo& info) {
    const u16 unused = kind == Bitmap::blocks ? kGroupBlocksUnused : kGroupInodesUnused;
    const u64 at = kind == Bitmap::blocks ? info.block_bitmap : info.inode_bitmap;
    const bool fresh = (info.flags & unused) != 0;
    if (!geometry_.contains(at)) return fail(Error::corrupt);
    if (!fresh) {
        if (auto r = verify(group, kind, info); !r) return fail(r.error());
    }
    BlockEdit edit = TRY(handle.edit(at, fresh ? Content::zeros : Content::read));
    if (fresh) {
        if (kind == Bitmap::blocks)
            make_block_bitmap(group, info, edit.bytes());
        else
            set_bits(edit.bytes(), geometry_.inodes_per_group,
                     u32(edit.bytes().size() * 8) - geometry_.inodes_per_group);
        info.flags = static_cast<u16>(info.flags & ~unused);
        edit.mark_verified(static_cast<u8>(Check::bitmap));
    }
    if (!geometry_.checksums()) return edit;
    const Stale mine{group, kind};
    for (u32 i = 0; i < state.stale; ++i)
        if (state.stale_bitmaps[i].group == group && state.stale_bitmaps[i].kind == kind) return edit;
    if (state.stale == kStale) return fail(Error::no_space);  // more than blocks in a transaction: cannot be
    state.stale_bitmaps[state.stale++] = mine;
    return edit;
}

/// What Linux and e2fsprogs take a group to hold whose bitmap was never written: its copy of the superblock and of the
/// descriptors, and its own bitmaps and inode table as far as they lie in it.
void Groups::make_block_bitmap(u32 group, const GroupInfo& info, MutableBytes bytes) const {
    const u64 start = group_start(group);
    const u32 bits = blocks_in(group);
    const auto mark = [&](u64 block, u64 count) {
        if (block < start || block >= start + bits) return;
        set_bits(bytes, static_cast<u32>(block - start), static_cast<u32>(std::min(count, start + bits - block)));
    };
    mark(start, geometry_.reserved_at_start(group));
    mark(info.block_bitmap, 1);
    mark(info.inode_bitmap, 1);
    const u64 table_bytes = u64{geometry_.inodes_per_group} * geometry_.inode_size;
    mark(info.inode_table, (table_bytes + geometry_.block_size - 1) >> geometry_.block_shift);
    set_bits(bytes, bits, static_cast<u32>(bytes.size() * 8) - bits);
}

Result<> Groups::complete_bitmap(Handle& handle, Stale what) {
    const GroupInfo info = TRY(read(what.group));
    const u64 at = what.kind == Bitmap::blocks ? info.block_bitmap : info.inode_bitmap;
    u32 crc;
    {
        const BlockRef block = TRY(cache_.get(BlockNo(at)));
        crc = bitmap_checksum(what.kind, block.bytes());
    }
    return change(handle, what.group, [&](GroupDesc& d) {
        (what.kind == Bitmap::blocks ? d.block_bitmap_csum_lo : d.inode_bitmap_csum_lo) = static_cast<u16>(crc);
        (what.kind == Bitmap::blocks ? d.block_bitmap_csum_hi : d.inode_bitmap_csum_hi) = upper(crc);
    });
}

Result<> Groups::complete(Handle& handle) {
    auto state = state_.lock();
    for (u32 i = 0; i < state->stale; ++i)
        if (auto r = complete_bitmap(handle, state->stale_bitmaps[i]); !r) return r;
    state->stale = 0;
    for (u32 i = 0; i < state->pending; ++i) state->pending_ranges[i].committing = true;
    if (!std::exchange(state->totals_changed, false)) return {};
    const BlockEdit edit = TRY(edit_superblock(handle));
    Superblock& s = superblock_in(edit.bytes());
    s.free_blocks_count_lo = static_cast<u32>(state->free_blocks);
    if (geometry_.has(kIncompat64bit)) s.free_blocks_count_hi = static_cast<u32>(state->free_blocks >> 32);
    s.free_inodes_count = state->free_inodes;
    return {};
}

Superblock& superblock_in(MutableBytes block) {
    const usize at = block.size() == 1024 ? 0 : kSuperblockOffset;
    return *reinterpret_cast<Superblock*>(block.subspan(at, kSuperblockBytes).data());
}

Result<BlockEdit> Groups::edit_superblock(Handle& handle) {
    BlockEdit edit = TRY(handle.edit(superblock()));
    edit.seal_with(
        [](MutableBytes block, u32) {
            seal_superblock({reinterpret_cast<std::byte*>(&superblock_in(block)), kSuperblockBytes});
        },
        0);
    return edit;
}

void Groups::committed() {
    auto state = state_.lock();
    u32 left = 0;
    state->pending_blocks = 0;
    for (u32 i = 0; i < state->pending; ++i) {
        const Pending& p = state->pending_ranges[i];
        if (p.committing) continue;
        state->pending_blocks += p.end - p.first;
        state->pending_ranges[left++] = p;
    }
    state->pending = left;
}

// ---- blocks

void Groups::note_pending(State& state, BlockRange blocks) {
    const u64 end = blocks.first + blocks.count;
    state.pending_blocks += blocks.count;
    for (u32 i = state.pending; i-- > 0;) {
        Pending& p = state.pending_ranges[i];
        if (p.committing || (p.end != blocks.first && p.first != end)) continue;
        p.first = std::min(p.first, blocks.first);
        p.end = std::max(p.end, end);
        return;
    }
    if (state.pending < kPending) {
        state.pending_ranges[state.pending++] = {blocks.first, end, false};
        return;
    }
    // No row left: a wider range is as good, it only keeps more from being given out for a while.
    Pending& p = state.pending_ranges[kPending - 1];
    state.pending_blocks -= p.end - p.first + blocks.count;
    p = {std::min(p.first, blocks.first), std::max(p.end, end), false};
    state.pending_blocks += p.end - p.first;
}

/// The first part of `run` that is not pending; count 0: nothing of it.
BlockRange Groups::clip(const State& state, BlockRange run) const {
    for (bool again = true; again && run.count != 0;) {
        again = false;
        for (u32 i = 0; i < state.pending; ++i) {
            const Pending& p = state.pending_ranges[i];
            if (p.end <= run.first || p.first >= run.first + run.count) continue;
            if (p.first > run.first) {
                run.count = static_cast<u32>(p.first - run.first);
            } else {
                const u64 cut = std::min<u64>(p.end - run.first, run.count);
                run = {run.first + cut, run.count - static_cast<u32>(cut)};
                again = true;
            }
            if (run.count == 0) break;
        }
    }
    return run;
}

/// At least `least` free blocks of `group` at or behind `from`, then before it.
Result<BlockRange> Groups::search(State& state, u32 group, u64 from, u32 wanted, u32 least, const GroupInfo& info) {
    const u64 start = group_start(group);
    const u32 bits = blocks_in(group);
    if ((info.flags & kGroupBlocksUnused) != 0) {
        // The made-up bitmap is free behind its fixed part: ask for it where the real one is made.
        const MutableBytes bitmap(state.made_up_bitmap.get(), geometry_.block_size);
        std::memset(bitmap.data(), 0, bitmap.size());
        make_block_bitmap(group, info, bitmap);
        for (u32 at = next_clear(bitmap, 0, bits); at < bits;) {
            const u32 end = next_set(bitmap, at, bits);
            const BlockRange run = clip(state, {start + at, std::min(end - at, wanted)});
            if (run.count >= least) return run;
            at = next_clear(bitmap, end, bits);
        }
        return BlockRange{};
    }
    if (auto r = verify(group, Bitmap::blocks, info); !r) return fail(r.error());
    const BlockRef block = TRY(cache_.get(BlockNo(info.block_bitmap)));
    const u32 first = from > start && from < start + bits ? static_cast<u32>(from - start) : 0;
    const auto look = [&](u32 at, u32 end) -> BlockRange {
        for (at = next_clear(block.bytes(), at, end); at < end;) {
            const u32 stop = next_set(block.bytes(), at, std::min(bits, at + std::max(wanted, least)));
            const BlockRange run = clip(state, {start + at, std::min(stop - at, wanted)});
            if (run.count >= least) return run;
            at = next_clear(block.bytes(), std::max(stop, at + 1), end);
        }
        return {};
    };
    const BlockRange behind = look(first, bits);
    if (behind.count != 0 || first == 0) return behind;
    return look(0, first);
}

Result<> Groups::take(State& state, Handle& handle, u32 group, BlockRange range) {
    GroupInfo info = TRY(read(group));
    {
        const BlockEdit edit = TRY(edit_bitmap(state, handle, group, Bitmap::blocks, info));
        set_bits(edit.bytes(), static_cast<u32>(range.first - group_start(group)), range.count);
    }
    info.free_blocks -= std::min(info.free_blocks, range.count);
    state.free_blocks -= std::min<u64>(state.free_blocks, range.count);
    state.totals_changed = true;
    return write(handle, group, info);
}

Result<> Groups::reserve(u32 blocks) {
    auto state = state_.lock();
    const u64 kept_back = state->reserved + state->pending_blocks;
    if (state->free_blocks < kept_back || state->free_blocks - kept_back < blocks) return fail(Error::no_space);
    state->reserved += blocks;
    return {};
}

void Groups::unreserve(u32 blocks) {
    auto state = state_.lock();
    state->reserved -= blocks;
}

Result<BlockRange> Groups::allocate(Handle& handle, u64 goal, u32 wanted) {
    auto state = state_.lock();
    wanted = std::min(wanted, handle.promised());
    if (wanted == 0) return fail(Error::no_space);
    if (!geometry_.contains(goal)) goal = geometry_.first_data_block + 1;
    const u32 home = group_of(goal);
    // At the goal itself whatever is there, however little: it continues the file.
    const u32 leasts[] = {std::min<u32>(wanted, 64), std::min<u32>(wanted, 8), 1};
    for (u32 pass = 0; pass < std::size(leasts); ++pass) {
        const u32 least = leasts[pass];
        for (u32 i = 0; i < geometry_.groups; ++i) {
            const u32 group = static_cast<u32>((u64{home} + i) % geometry_.groups);
            const GroupInfo info = TRY(read(group));
            if (info.free_blocks == 0) continue;
            BlockRange run;
            if (i == 0 && pass == 0) {
                run = TRY(search(*state, group, goal, wanted, 1, info));
                if (run.first != goal) run = {};
            }
            if (run.count == 0 && info.free_blocks >= least)
                run = TRY(search(*state, group, i == 0 ? goal : 0, wanted, least, info));
            if (run.count == 0) continue;
            TRY(take(*state, handle, group, run));
            state->reserved -= handle.use_promise(run.count);
            return run;
        }
    }
    return fail(Error::no_space);
}

Result<> Groups::release(Handle& handle, BlockRange blocks) {
    if (!geometry_.contains(blocks.first, blocks.count)) return fail(Error::corrupt);
    auto state = state_.lock();
    while (blocks.count != 0) {
        const u32 group = group_of(blocks.first);
        const u32 bit = static_cast<u32>(blocks.first - group_start(group));
        const u32 count = std::min(blocks.count, blocks_in(group) - bit);
        GroupInfo info = TRY(read(group));
        {
            const BlockEdit edit = TRY(edit_bitmap(*state, handle, group, Bitmap::blocks, info));
            if (next_clear(edit.bytes(), bit, bit + count) != bit + count) return fail(Error::corrupt);
            clear_bits(edit.bytes(), bit, count);
        }
        info.free_blocks += count;
        state->free_blocks += count;
        state->totals_changed = true;
        if (auto r = write(handle, group, info); !r) return r;
        note_pending(*state, {blocks.first, count});
        blocks.first += count;
        blocks.count -= count;
    }
    return {};
}

// ---- inodes

/// A directory goes where there is most room among the next groups, a file into its directory's group.
Result<u32> Groups::choose_group(u32 parent, NodeType type) {
    const u32 home = (parent - 1) / geometry_.inodes_per_group;
    if (type != NodeType::directory) return home;
    u32 best = home, most = 0;
    for (u32 i = 0; i < std::min<u32>(geometry_.groups, 32); ++i) {
        const u32 group = (home + i) % geometry_.groups;
        const GroupInfo info = TRY(read(group));
        if (info.free_inodes == 0 || info.free_blocks <= most) continue;
        most = info.free_blocks;
        best = group;
    }
    return best;
}

Result<u32> Groups::allocate_inode(Handle& handle, u32 parent, NodeType type) {
    auto state = state_.lock();
    const u32 first = TRY(choose_group(parent, type));
    for (u32 i = 0; i < geometry_.groups; ++i) {
        const u32 group = static_cast<u32>((u64{first} + i) % geometry_.groups);
        GroupInfo info = TRY(read(group));
        if (info.free_inodes == 0) continue;
        u32 bit;
        {
            // A group without free ones does not join the transaction for nothing.
            const BlockEdit edit = TRY(edit_bitmap(*state, handle, group, Bitmap::inodes, info));
            const u32 from = group == 0 ? geometry_.first_inode - 1 : 0;
            bit = next_clear(edit.bytes(), from, geometry_.inodes_per_group);
            if (bit < geometry_.inodes_per_group) set_bits(edit.bytes(), bit, 1);
        }
        if (bit >= geometry_.inodes_per_group) return fail(Error::corrupt);  // the count says otherwise
        --info.free_inodes;
        state->free_inodes -= std::min(state->free_inodes, 1u);
        state->totals_changed = true;
        if (type == NodeType::directory) ++info.directories;
        info.unused_inodes = std::min(info.unused_inodes, geometry_.inodes_per_group - bit - 1);
        if (auto r = write(handle, group, info); !r) return fail(r.error());
        return group * geometry_.inodes_per_group + bit + 1;
    }
    return fail(Error::no_space);
}

Result<> Groups::release_inode(Handle& handle, u32 number, NodeType type) {
    auto state = state_.lock();
    const u32 group = (number - 1) / geometry_.inodes_per_group, bit = (number - 1) % geometry_.inodes_per_group;
    GroupInfo info = TRY(read(group));
    {
        const BlockEdit edit = TRY(edit_bitmap(*state, handle, group, Bitmap::inodes, info));
        if (next_clear(edit.bytes(), bit, bit + 1) == bit) return fail(Error::corrupt);
        clear_bits(edit.bytes(), bit, 1);
    }
    ++info.free_inodes;
    ++state->free_inodes;
    state->totals_changed = true;
    if (type == NodeType::directory && info.directories != 0) --info.directories;
    return write(handle, group, info);
}

}  // namespace ringlet::fs::ext4
