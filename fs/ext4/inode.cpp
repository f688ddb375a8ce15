// An inode in memory: its fields, and reading files and links.
#include <algorithm>

#include "fs/ext4/volume.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr std::byte kZeros[512] = {};
constexpr usize kLargestSlice = 128 << 10;  ///< of a large read, is under way before copying begins

std::optional<NodeType> type_of(u16 mode) {
    switch (mode >> 12) {
    case 0x1:
        return NodeType::fifo;
    case 0x2:
        return NodeType::char_device;
    case 0x4:
        return NodeType::directory;
    case 0x6:
        return NodeType::block_device;
    case 0x8:
        return NodeType::file;
    case 0xa:
        return NodeType::symlink;
    case 0xc:
        return NodeType::socket;
    default:
        return std::nullopt;
    }
}

/// Two more bits of seconds and thirty of nanoseconds, when the inode is large enough to have them.
Timestamp time_of(u32 seconds, u32 extra) {
    const u32 ns = extra >> 2;
    return {static_cast<i64>(static_cast<i32>(seconds)) + (i64{extra & 3} << 32), ns < 1'000'000'000 ? ns : 0};
}

}  // namespace

void Ext4Inode::parse_times(Fields& f, Bytes raw) {
    const DiskInode d = *ringlet::read_at<DiskInode>(raw, 0);
    DiskInodeExtra extra;
    if (raw.size() >= 128 + sizeof(extra)) {
        const u16 present = *ringlet::read_at<le16>(raw, 128);
        std::memcpy(&extra, raw.data() + 128, std::min<usize>(present, sizeof(extra)));
    }
    f.accessed = time_of(d.atime, extra.atime_extra);
    f.modified = time_of(d.mtime, extra.mtime_extra);
    f.changed = time_of(d.ctime, extra.ctime_extra);
    f.created = time_of(extra.crtime, extra.crtime_extra);
}

Result<> Ext4Inode::parse(Bytes raw) {
    const Geometry& g = geometry();
    const DiskInode d = *ringlet::read_at<DiskInode>(raw, 0);
    const auto kind = type_of(d.mode);
    if (!kind) return fail(Error::corrupt);
    type_ = *kind;
    const u32 flags = d.flags;
    flags_.store(flags, std::memory_order_relaxed);
    links_.store(d.links_count, std::memory_order_relaxed);
    Fields f;
    f.mode = d.mode & 07777;
    f.uid = d.uid | u32{d.uid_high} << 16;
    f.gid = d.gid | u32{d.gid_high} << 16;
    f.attribute_block = d.file_acl_lo | u64{d.file_acl_high} << 32;
    f.sectors = d.blocks_lo | u64{d.blocks_high} << 32;
    f.deleted_or_next = d.dtime;
    if ((flags & kInodeHugeFile) != 0) f.sectors *= g.block_size / kSectorSize;
    u64 size = d.size_lo;
    if (type_ == NodeType::file || (type_ == NodeType::directory && g.has(kIncompatLargedir)))
        size |= u64{d.size_high} << 32;
    size_.store(size, std::memory_order_relaxed);
    std::memcpy(root_.data(), d.block, root_.size());
    const le32 number = number_;
    seed_ = crc32c(g.checksum_seed, std::as_bytes(std::span(&number, 1)));
    seed_ = crc32c(seed_, std::as_bytes(std::span(&d.generation, 1)));
    parse_times(f, raw);
    *fields_.lock() = f;

    if ((flags & (kInodeEncrypt | kInodeCasefold)) != 0) return fail(Error::unsupported);
    if (has_extents() && !g.has(kIncompatExtents)) return fail(Error::corrupt);
    if (is_inline()) {
        if (!g.has(kIncompatInlineData) || size > g.inode_size) return fail(Error::corrupt);
    } else if (type_ == NodeType::directory) {
        // A directory cannot be sparse, so it cannot be larger than the filesystem: this bounds every scan. One that
        // is being deleted may be empty.
        if ((size == 0 && links() != 0) || size % g.block_size != 0 || file_blocks() > g.blocks)
            return fail(Error::corrupt);
    } else if (size > (u64{1} << 32) * g.block_size) {
        return fail(Error::corrupt);
    }
    if (type_ == NodeType::symlink && ((size == 0 && links() != 0) || size >= kPathMax || size > g.block_size))
        return fail(Error::corrupt);
    return {};
}

Result<Stat> Ext4Inode::stat() {
    Stat s;
    s.filesystem = volume_.id();
    s.inode = number_;
    s.type = type_;
    s.links = links();
    s.size = size();
    s.block_size = geometry().block_size;
    const auto f = fields_.lock();
    s.mode = f->mode;
    s.uid = f->uid;
    s.gid = f->gid;
    s.sectors = f->sectors;
    s.accessed = f->accessed;
    s.modified = f->modified;
    s.changed = f->changed;
    s.created = f->created;
    return s;
}

/// Fills `to` from the blocks at `physical`, of which the first `start` bytes are left out.
Result<> Ext4Inode::copy_blocks(u64 physical, usize start, MutableBytes to) {
    while (!to.empty()) {
        usize n = volume_.cache().copy_present(BlockNo(physical), start, to);
        if (n == 0) {
            const BlockRef block = TRY(volume_.cache().get(BlockNo(physical)));
            n = std::min(block.bytes().size() - start, to.size());
            std::memcpy(to.data(), block.bytes().data() + start, n);
        }
        to = to.subspan(n);
        physical += (start + n) >> geometry().block_shift;
        start = 0;
    }
    return {};
}

Result<usize> Ext4Inode::read_at(u64 offset, MutableBytes to, ReadAhead* hint) {
    if (type_ == NodeType::directory) return fail(Error::is_directory);
    if (type_ != NodeType::file && type_ != NodeType::symlink) return fail(Error::unsupported);
    const RwLock::Shared reading(contents_);
    const u64 end = size();
    if (offset >= end || to.empty()) return 0;
    to = to.first(static_cast<usize>(std::min<u64>(to.size(), end - offset)));
    if (is_inline()) return read_inline(offset, to);
    if (!read_present(offset, to, hint)) TRY(read_pieces(offset, to, hint));
    return to.size();
}

/// What lies in one block of the run that was asked for last, when that block is in memory: no walk, no wait. False:
/// nothing was done.
bool Ext4Inode::read_present(u64 offset, MutableBytes to, ReadAhead* hint) {
    const Geometry& g = geometry();
    const usize start = static_cast<usize>(offset & (g.block_size - 1));
    if (to.size() > g.block_size - start) return false;
    const auto run = last_run_.find(offset >> g.block_shift);
    if (!run || run->reads_zeros() || !volume_.cache().copy_one_present(BlockNo(run->physical), start, to))
        return false;
    read_ahead(offset, to.size(), hint);
    return true;
}

Result<> Ext4Inode::read_pieces(u64 offset, MutableBytes to, ReadAhead* hint) {
    const u32 shift = geometry().block_shift;
    const usize size = geometry().block_size, total = to.size();
    const usize slice = static_cast<usize>(std::clamp<u64>(read_ahead_room(), size, kLargestSlice));
    for (usize done = 0, announced = 0; done < total;) {
        if (done >= announced) {
            const usize n = std::min(slice, total - done);
            read_ahead(offset + done, n, hint);
            announced = done + n;
        }
        const Run run = TRY(map((offset + done) >> shift));
        const u64 wanted = std::min<u64>(announced - done, (run.length << shift) - ((offset + done) & (size - 1)));
        const MutableBytes part = to.subspan(done, static_cast<usize>(wanted));
        if (run.reads_zeros())
            std::memset(part.data(), 0, part.size());
        else
            TRY(copy_blocks(run.physical, (offset + done) & (size - 1), part));
        done += part.size();
    }
    return {};
}

Result<PinnedBytes> Ext4Inode::map_at(u64 offset, ReadAhead* hint) {
    if (type_ == NodeType::directory) return fail(Error::is_directory);
    if (type_ != NodeType::file) return fail(Error::unsupported);
    const RwLock::Shared reading(contents_);
    const u64 end = this->size();
    if (offset >= end) return PinnedBytes();
    if (is_inline()) return map_inline(offset);
    const u32 shift = geometry().block_shift, size = geometry().block_size;
    const usize start = static_cast<usize>(offset & (size - 1));
    const usize length = static_cast<usize>(std::min<u64>(size - start, end - offset));
    read_ahead(offset, length, hint);
    const Run run = TRY(map(offset >> shift));
    if (run.reads_zeros()) return PinnedBytes(Bytes(kZeros).first(std::min(length, sizeof(kZeros))), nullptr, nullptr);
    BlockRef block = TRY(volume_.cache().get(BlockNo(run.physical)));
    return std::move(block).into_view(start, length);
}

bool Ext4Inode::is_fast_symlink() {
    if (size() >= sizeof(RootBytes) || has_extents()) return false;
    const auto f = fields_.lock();
    const u64 attributes = f->attribute_block != 0 ? geometry().block_size / kSectorSize : 0;
    return f->sectors <= attributes;
}

Result<usize> Ext4Inode::read_link(std::span<char> to) {
    if (type_ != NodeType::symlink) return fail(Error::invalid);
    const usize length = static_cast<usize>(size());
    if (to.size() < length) return fail(Error::too_large);
    if (!is_inline() && is_fast_symlink()) {
        std::memcpy(to.data(), root_.data(), length);
    } else {
        const usize n = TRY(read_at(0, std::as_writable_bytes(to.first(length)), nullptr));
        if (n != length) return fail(Error::corrupt);
    }
    if (std::string_view(to.data(), length).find('\0') != std::string_view::npos) return fail(Error::corrupt);
    return length;
}

}  // namespace ringlet::fs::ext4
