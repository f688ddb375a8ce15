// Writing a file. The bytes go into cached blocks; what was not on the disk before gets blocks, in pieces, each piece
// one handle: allocate, fill the blocks in, put them into the map, store the inode. New blocks are "ordered": they are
// on the disk before the transaction that makes them the file's, so that nobody sees what lay there before.
#include <algorithm>

#include "fs/ext4/file_map.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr u32 kPiece = 64;            ///< blocks that are allocated at once
constexpr i64 kTimeStep = 4'000'000;  ///< ns: times of overwriting are no finer, as everywhere

i64 distance_ns(Timestamp from, Timestamp to) {
    return (to.seconds - from.seconds) * 1'000'000'000 + (i64{to.nanoseconds} - i64{from.nanoseconds});
}

}  // namespace

Result<> Ext4Inode::may_change_file() const {
    if (type_ == NodeType::directory) return fail(Error::is_directory);
    if (type_ != NodeType::file) return fail(Error::unsupported);
    return volume_.is_writable() ? Result<>{} : fail(Error::read_only);
}

u64 Ext4Inode::largest_size() const {
    const Geometry& g = geometry();
    if ((g.ro_compat & kRoLargeFile) == 0) return 0x7fff'ffff;
    if (has_extents()) return ((u64{1} << 32) - 1) << g.block_shift;
    const u64 per_block = g.block_size / 4;
    return (12 + per_block + per_block * per_block + per_block * per_block * per_block) << g.block_shift;
}

Result<usize> Ext4Inode::write_at(u64 offset, Bytes from) {
    TRY(may_change_file());
    if (from.empty()) return 0;
    const RwLock::Exclusive writing(contents_);
    return write_pieces(offset, from);
}

Result<usize> Ext4Inode::append(Bytes from, u64& offset) {
    TRY(may_change_file());
    const RwLock::Exclusive writing(contents_);
    offset = size();
    return write_pieces(offset, from);
}

Result<usize> Ext4Inode::write_pieces(u64 offset, Bytes from) {
    if (offset > largest_size() || from.size() > largest_size() - offset) return fail(Error::too_large);
    if (is_inline()) TRY(leave_inline());
    if (offset > size()) TRY(zero_tail(size(), offset));
    usize done = 0;
    while (done < from.size()) {
        TRY(volume_.throttle());
        const auto n = write_some(offset + done, from.subspan(done));
        if (!n) {
            if (done == 0 || n.error() != Error::no_space) return n;
            break;
        }
        done += *n;
    }
    return done;
}

/// The next piece: what lies in one run.
Result<usize> Ext4Inode::write_some(u64 offset, Bytes from) {
    const u32 shift = geometry().block_shift;
    const u32 first = static_cast<u32>(offset >> shift);
    const u64 blocks = ((offset + from.size() - 1) >> shift) + 1 - first;
    const u32 piece = std::clamp<u32>(volume_.cache().capacity() / 16, 1, kPiece);
    const Run run = TRY(map(first));
    const u32 count = static_cast<u32>(std::min<u64>({run.length, blocks, piece}));
    const usize start = static_cast<usize>(offset & (geometry().block_size - 1));
    const Bytes part = from.first(std::min(from.size(), (usize{count} << shift) - start));
    if (run.physical == 0) return fill_hole(first, count, offset, part);
    if (run.unwritten) return write_unwritten(run, first, offset, part);
    return overwrite(run.physical, offset, part);
}

/// One block. `fresh`: what lies there is not the file's.
Result<> Ext4Inode::put_bytes(u64 physical, u64 offset, Bytes from, bool fresh) {
    const usize size = geometry().block_size, start = static_cast<usize>(offset & (size - 1));
    const Content content = from.size() == size ? Content::junk : fresh ? Content::zeros : Content::read;
    // What becomes visible by a new size or a new mapping must not come after it.
    const bool ordered = fresh || offset + from.size() > this->size();
    const BlockEdit edit =
        TRY(volume_.cache().edit_data(BlockNo(physical), content, number_, ordered ? Ordered::yes : Ordered::no));
    std::memcpy(edit.bytes().data() + start, from.data(), from.size());
    return {};
}

/// Fresh blocks, which `from` fills from `offset` on; what it leaves of them is zero.
Result<> Ext4Inode::put_blocks(BlockRange blocks, u64 offset, Bytes from) {
    const usize size = geometry().block_size;
    for (u32 i = 0; i < blocks.count; ++i) {
        const usize start = static_cast<usize>(offset & (size - 1));
        const Bytes part = from.first(std::min(from.size(), size - start));
        TRY(put_bytes(blocks.first + i, offset, part, true));
        offset += part.size();
        from = from.subspan(part.size());
    }
    return {};
}

Result<usize> Ext4Inode::overwrite(u64 physical, u64 offset, Bytes from) {
    const usize size = geometry().block_size;
    usize done = 0;
    while (done < from.size()) {
        const usize start = static_cast<usize>((offset + done) & (size - 1));
        const Bytes part = from.subspan(done, std::min(from.size() - done, size - start));
        TRY(put_bytes(physical++, offset + done, part, false));
        done += part.size();
    }
    TRY(after_write(offset + done, false));
    return done;
}

/// The inode, after bytes were written in place. Times alone are stored no more often than they differ.
Result<> Ext4Inode::after_write(u64 end, bool always) {
    const bool grows = end > size();
    if (!grows && !always) {
        const Timestamp now = volume_.now();
        const i64 since = distance_ns(fields_.lock()->modified, now);
        if (since >= 0 && since < kTimeStep) return {};
    }
    return volume_.transact(1, 0, [&](Handle& handle) {
        if (grows) size_.store(end, std::memory_order_relaxed);
        note_change(true);
        if (grows || always) fields_.lock()->data_in = handle.transaction();
        return store(handle);
    });
}

/// Where a new block `logical` should be: behind the one before it.
u64 Ext4Inode::goal_for(FileMap& map, u32 logical) {
    const auto left = map.last_before(logical);
    if (!left || !*left) return volume_.groups().home_of(number_);
    return (*left)->physical + (logical - (*left)->logical);
}

Result<usize> Ext4Inode::fill_hole(u32 first, u32 wanted, u64 offset, Bytes from) {
    const u32 shift = geometry().block_shift;
    usize written = 0;
    const FileMap now(*this);
    const u32 nodes = now.nodes(), credits = now.credits() + 1;
    const auto fill = [&](Handle& handle) -> Result<> {
        FileMap map(*this);
        // The nodes' share of the promise is not for data.
        const u32 most = std::min({wanted, map.longest(), handle.promised() - nodes});
        const BlockRange got = TRY(volume_.groups().allocate(handle, goal_for(map, first), most));
        const usize start = static_cast<usize>(offset & (geometry().block_size - 1));
        written = std::min(from.size(), (usize{got.count} << shift) - start);
        TRY(put_blocks(got, offset, from.first(written)));
        TRY(map.insert(handle, {first, got.count, got.first, false}));
        map.apply(got.count);
        size_.store(std::max(size(), offset + written), std::memory_order_relaxed);
        note_change(true);
        fields_.lock()->data_in = handle.transaction();
        return store(handle);
    };
    auto done = volume_.transact(credits, wanted + nodes, fill);
    // Little is left: perhaps one.
    if (!done && done.error() == Error::no_space && wanted > 1) done = volume_.transact(credits, 1 + nodes, fill);
    if (!done) return fail(done.error());
    return written;
}

/// A piece of blocks that are the file's but hold nothing of it.
Result<usize> Ext4Inode::write_unwritten(const Run& run, u32 first, u64 offset, Bytes from) {
    const u32 shift = geometry().block_shift;
    const u32 count = static_cast<u32>(((offset + from.size() - 1) >> shift) + 1 - first);
    const FileMap now(*this);
    const auto done = volume_.transact(now.credits() + now.depth() + 1, now.nodes(), [&](Handle& handle) -> Result<> {
        FileMap map(*this);
        const auto found = TRY(map.last_before(u64{first} + 1));
        if (!found || !found->unwritten || found->end() < u64{first} + count) return fail(Error::corrupt);
        const Mapping m = *found;
        TRY(put_blocks({run.physical, count}, offset, from));
        const u64 end = u64{first} + count;
        if (first != m.logical || end == m.end())
            TRY(map.cut_tail(handle, m, first));
        else
            TRY(map.cut_head(handle, m, static_cast<u32>(end)));
        TRY(map.insert(handle, {first, count, run.physical, false}));
        if (first != m.logical && end != m.end())
            TRY(map.insert(handle, {static_cast<u32>(end), static_cast<u32>(m.end() - end),
                                    m.physical + (end - m.logical), true}));
        map.apply(0);
        size_.store(std::max(size(), offset + from.size()), std::memory_order_relaxed);
        note_change(true);
        fields_.lock()->data_in = handle.transaction();
        return store(handle);
    });
    if (!done) return fail(done.error());
    return from.size();
}

/// Zeros from `from` to the end of its block, or to `to`: what was behind the end of the file is about to be seen.
Result<> Ext4Inode::zero_tail(u64 from, u64 to) {
    const u64 size = geometry().block_size;
    const u64 start = from & (size - 1);
    if (start == 0) return {};
    const Run run = TRY(map(from >> geometry().block_shift));
    if (run.reads_zeros()) return {};
    const usize length = static_cast<usize>(std::min(size - start, to - from));
    const BlockEdit edit = TRY(volume_.cache().edit_data(BlockNo(run.physical), Content::read, number_, Ordered::yes));
    std::memset(edit.bytes().data() + start, 0, length);
    return {};
}

Result<> Ext4Inode::allocate(u64 offset, u64 length, bool grow) {
    TRY(may_change_file());
    if (!has_extents() && !is_inline()) return fail(Error::unsupported);  // no unwritten blocks there
    if (length == 0) return fail(Error::invalid);
    if (offset > largest_size() || length > largest_size() - offset) return fail(Error::too_large);
    const RwLock::Exclusive writing(contents_);
    if (is_inline()) TRY(leave_inline());
    if (grow && offset + length > size()) TRY(zero_tail(size(), offset + length));
    const u64 end = blocks_for(offset + length);
    for (u64 at = offset >> geometry().block_shift; at < end;) {
        const Run run = TRY(map(at));
        const u64 missing = std::min(run.length, end - at);
        if (run.physical != 0) {
            at += missing;
            continue;
        }
        const u32 wanted = static_cast<u32>(std::min<u64>(missing, ExtentTree::kLongestUnwritten));
        const FileMap now(*this);
        u32 got_blocks = 0;
        const auto done = volume_.transact(now.credits() + 1, wanted + now.nodes(), [&](Handle& handle) -> Result<> {
            FileMap map(*this);
            const BlockRange got = TRY(volume_.groups().allocate(handle, goal_for(map, static_cast<u32>(at)), wanted));
            got_blocks = got.count;
            TRY(map.insert(handle, {static_cast<u32>(at), got.count, got.first, true}));
            map.apply(got.count);
            note_change(false);
            return store(handle);
        });
        if (!done) return fail(done.error());
        at += got_blocks;
    }
    return grow ? after_write(offset + length, true) : Result<>{};
}

}  // namespace ringlet::fs::ext4
