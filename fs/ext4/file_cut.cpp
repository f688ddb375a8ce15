// Taking blocks away from a file: truncate, punch, delete. From the end to the front, a few pieces per handle. While
// more than one handle is needed for a file that ends earlier already, the inode stands on the orphan list: whatever a
// crash leaves behind the end is cut at the next mount. A small file needs one handle, with its last name or its new
// size in it, and no list.
#include <algorithm>

#include "fs/ext4/file_map.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr u64 kEnd = u64{1} << 32;
/// Blocks of a directory are metadata: each that is freed is revoked.
constexpr u32 kDirectoryPiece = 8;
constexpr u32 kSmallFile = 256;  ///< blocks

}  // namespace

Result<> Ext4Inode::truncate(u64 wanted) {
    TRY(may_change_file());
    if (wanted > largest_size()) return fail(Error::too_large);
    const RwLock::Exclusive writing(contents_);
    if (is_inline()) TRY(leave_inline());
    const u64 before = size();
    TRY(zero_tail(std::min(before, wanted), ~u64{0} >> 1));
    bool more = wanted < before;
    const bool at_once = more && goes_at_once();
    const u32 credits = 1 + Volume::kOrphanCredits + (at_once ? kMostPieces * kSmallPieceCredits : 0);
    const auto done = volume_.transact(credits, 0, [&](Handle& handle) -> Result<> {
        if (at_once) {
            FileMap map(*this);
            more = TRY(cut_step(handle, map, blocks_for(wanted), kEnd, kMostPieces));
        }
        size_.store(wanted, std::memory_order_relaxed);
        note_change(true);
        fields_.lock()->data_in = handle.transaction();
        if (more) TRY(volume_.add_orphan(handle, *this));
        return store(handle);
    });
    if (!done) return fail(done.error());
    return more ? cut(blocks_for(wanted), kEnd) : Result<>{};
}

Result<> Ext4Inode::punch(u64 offset, u64 length) {
    TRY(may_change_file());
    if (length == 0) return fail(Error::invalid);
    const RwLock::Exclusive writing(contents_);
    if (is_inline()) TRY(leave_inline());
    if (offset >= size()) return {};
    const u64 end = length > size() - offset ? size() : offset + length;
    const u32 shift = geometry().block_shift;
    // Whole blocks go, up to the end of the file's last one; of the others the bytes are cleared.
    const u64 first = blocks_for(offset), last = end == size() ? file_blocks() : end >> shift;
    if (first > last) return zero_tail(offset, end);
    TRY(zero_tail(offset, end));
    if (end != size() && end > last << shift && last << shift >= offset) {
        const Run run = TRY(map(last));
        if (!run.reads_zeros()) {
            const BlockEdit edit =
                TRY(volume_.cache().edit_data(BlockNo(run.physical), Content::read, number_, Ordered::no));
            std::memset(edit.bytes().data(), 0, static_cast<usize>(end - (last << shift)));
        }
    }
    if (first < last) TRY(cut(first, last));
    return after_write(0, true);
}

/// Frees the file's blocks [from, to), and takes the inode off the orphan list when they are gone, unless it has no
/// name.
Result<> Ext4Inode::cut(u64 from, u64 to) {
    for (bool more = true; more;) {
        const u32 depth = FileMap(*this).depth();
        // A piece: the way to it, nodes that become empty, and a run of data that may reach into two groups; at a hole
        // in the middle of an extent, the nodes that the rest may need.
        const u32 each = (depth + 1) + 2 * depth + 4, fixed = 1 + Volume::kOrphanCredits + 3 * (depth + 1);
        const u32 pieces = std::clamp<u32>((volume_.most_credits() - fixed) / each, 1, kMostPieces);
        const auto done =
            volume_.transact(fixed + pieces * each, to < kEnd ? depth + 1 : 0, [&](Handle& handle) -> Result<> {
                FileMap map(*this);
                more = TRY(cut_step(handle, map, from, to, type_ == NodeType::file ? pieces : 1));
                if (!more && links() != 0) TRY(volume_.remove_orphan(handle, *this));
                return store(handle);
            });
        if (!done) return fail(done.error());
    }
    return {};
}

/// Up to `pieces` pieces from the end of [from, to). True: there are more.
Result<bool> Ext4Inode::cut_step(Handle& handle, FileMap& map, u64 from, u64 to, u32 pieces) {
    i64 freed = 0;
    bool more = false;
    for (u32 i = 0; i <= pieces; ++i) {
        const auto found = TRY(map.last_before(to));
        more = found && found->end() > from;
        if (!more || i == pieces) break;
        const Mapping& m = *found;
        const u64 end = std::min(m.end(), to);
        u64 start = std::max<u64>(m.logical, from);
        const u64 most = type_ == NodeType::directory ? kDirectoryPiece : geometry().blocks_per_group;
        if (end - start > most) start = end - most;
        TRY(cut_piece(handle, map, m, start, end));
        freed += static_cast<i64>(end - start);
        to = std::min(to, end);
        if (end != m.end()) {  // a hole in the middle: that took the room for nodes
            more = true;
            break;
        }
    }
    map.apply(-freed);
    return more;
}

/// [from, to) of `m`.
Result<> Ext4Inode::cut_piece(Handle& handle, FileMap& map, const Mapping& m, u64 from, u64 to) {
    if (to == m.end()) {
        TRY(map.cut_tail(handle, m, static_cast<u32>(from)));
    } else if (from == m.logical) {
        TRY(map.cut_head(handle, m, static_cast<u32>(to)));
    } else if (!map.extents()) {
        TRY(map.cut_head(handle, {static_cast<u32>(from), static_cast<u32>(m.end() - from), m.physical, false},
                         static_cast<u32>(to)));
    } else {
        TRY(map.cut_tail(handle, m, static_cast<u32>(from)));
        TRY(map.insert(handle, {static_cast<u32>(to), static_cast<u32>(m.end() - to), m.physical + (to - m.logical),
                                m.unwritten}));
    }
    const BlockRange freed{m.physical + (from - m.logical), static_cast<u32>(to - from)};
    for (u32 i = 0; i < freed.count; ++i)
        if (volume_.cache().forget(BlockNo(freed.first + i)) || type_ == NodeType::directory)
            TRY(handle.revoke(freed.first + i));
    return volume_.groups().release(handle, freed);
}

// ---- deleting

/// The last user of an inode without a name has gone.
void Ext4Inode::release_last() {
    if (deleted_) return volume_.discard(*this);
    if (links() != 0 || !volume_.is_writable()) {
        drop();
        return;
    }
    // Nobody can find it: the count cannot rise any more. What cannot be deleted now stays on the orphan list.
    (void)delete_contents();
    volume_.discard(*this);
}

bool Ext4Inode::owns_blocks() {
    return type_ == NodeType::directory || (type_ == NodeType::file && !is_inline()) ||
           (type_ == NodeType::symlink && !is_inline() && !is_fast_symlink());
}

bool Ext4Inode::goes_at_once() {
    if (type_ == NodeType::directory || fields_.lock()->attribute_block != 0) return false;
    if (!owns_blocks()) return true;
    const ExtentHeader h = *ringlet::read_at<ExtentHeader>(root_, 0);
    if (!has_extents() || h.magic != kExtentMagic || h.depth != 0 || h.entries > kMostPieces) return false;
    u32 blocks = 0;
    for (u32 i = 0; i < h.entries; ++i) {
        const u32 length = ringlet::read_at<Extent>(root_, sizeof(h) + i * sizeof(Extent))->len;
        blocks += length > kUnwrittenBias ? length - kUnwrittenBias : length;
    }
    return blocks <= std::min(kSmallFile, geometry().blocks_per_group);
}

Result<> Ext4Inode::delete_in(Handle& handle) {
    if (owns_blocks()) {
        FileMap map(*this);
        const bool more = TRY(cut_step(handle, map, 0, kEnd, kMostPieces));
        if (more) return fail(Error::corrupt);
    }
    TRY(volume_.remove_orphan(handle, *this));
    TRY(release_attributes(handle));
    // Larger than any inode's number, which the field may also mean.
    const u32 when = static_cast<u32>(std::max<i64>(volume_.now().seconds, i64{geometry().inodes} + 1));
    const u64 old_size = size_.exchange(0, std::memory_order_relaxed);
    const u32 old_links = links_.exchange(0, std::memory_order_relaxed);
    const u32 old_next = std::exchange(fields_.lock()->deleted_or_next, when);
    // Stored before its number is free: whoever gets that stores there, too.
    auto done = store(handle);
    if (done) done = volume_.groups().release_inode(handle, number_, type_);
    if (!done) {
        size_.store(old_size, std::memory_order_relaxed);
        links_.store(old_links, std::memory_order_relaxed);
        fields_.lock()->deleted_or_next = old_next;
    }
    return done;
}

Result<> Ext4Inode::delete_contents() {
    if (owns_blocks() && !goes_at_once()) TRY(cut(0, kEnd));
    return volume_.transact(kDeleteCredits, 0, [&](Handle& handle) { return delete_in(handle); });
}

/// A block of extended attributes may belong to several inodes.
Result<> Ext4Inode::release_attributes(Handle& handle) {
    u64 block;
    {
        auto f = fields_.lock();
        block = std::exchange(f->attribute_block, 0);
    }
    if (block == 0) return {};
    if (!geometry().contains(block)) return fail(Error::corrupt);
    u32 users;
    {
        const BlockEdit edit = TRY(handle.edit(block));
        auto& h = *reinterpret_cast<XattrHeader*>(edit.bytes().data());
        if (h.magic != kXattrMagic || h.refcount == 0) return fail(Error::corrupt);
        users = h.refcount - 1;
        h.refcount = users;
        h.checksum = 0u;
        if (geometry().checksums()) {
            const le64 number = block;
            h.checksum = crc32c(crc32c(geometry().checksum_seed, std::as_bytes(std::span(&number, 1))), edit.bytes());
        }
    }
    if (users != 0) return {};
    add_blocks(-1);
    volume_.cache().forget(BlockNo(block));
    TRY(handle.revoke(block));
    return volume_.groups().release(handle, {block, 1});
}

Result<> Ext4Inode::clean_up_orphan() {
    if (links() == 0) return {};  // deleted when its last reference goes, which is the caller's
    if (type_ != NodeType::file || is_inline())
        return volume_.transact(1 + Volume::kOrphanCredits, 0, [&](Handle& handle) -> Result<> {
            TRY(volume_.remove_orphan(handle, *this));
            return store(handle);
        });
    const RwLock::Exclusive writing(contents_);
    TRY(zero_tail(size(), ~u64{0} >> 1));
    return cut(file_blocks(), kEnd);
}

}  // namespace ringlet::fs::ext4
