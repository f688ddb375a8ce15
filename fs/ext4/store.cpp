// The inode on its way to the disk: fields into the inode table, and the file's way to the medium.
#include <algorithm>

#include "fs/ext4/volume.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr usize kChecksumLow = offsetof(DiskInode, checksum_lo),
                kChecksumHigh = 128 + offsetof(DiskInodeExtra, checksum_hi);

struct InodeChecksum {
    u32 crc = 0;
    bool wide = false;  ///< 32 bits of it are kept
};

/// §"Inode checksum": the number, the generation, the inode with its two checksum fields zero.
InodeChecksum inode_checksum(const Geometry& g, u32 number, Bytes raw) {
    constexpr std::byte kZero[2] = {};
    const le32 disk_number = number;
    u32 crc = crc32c(g.checksum_seed, std::as_bytes(std::span(&disk_number, 1)));
    crc = crc32c(crc, raw.subspan(offsetof(DiskInode, generation), 4));
    crc = crc32c(crc, raw.first(kChecksumLow));
    crc = crc32c(crc, kZero);
    crc = crc32c(crc, raw.subspan(kChecksumLow + 2, 128 - kChecksumLow - 2));
    if (g.inode_size == 128) return {crc, false};
    const bool wide = *ringlet::read_at<le16>(raw, 128) >= 4;
    crc = crc32c(crc, raw.subspan(128, kChecksumHigh - 128));
    crc = crc32c(crc, wide ? Bytes(kZero) : raw.subspan(kChecksumHigh, 2));
    return {crc32c(crc, raw.subspan(kChecksumHigh + 2)), wide};
}

void put16(MutableBytes raw, usize at, u32 value) {
    const le16 v = static_cast<u16>(value);
    std::memcpy(raw.data() + at, &v, sizeof(v));
}

u16 mode_of(NodeType type) {
    switch (type) {
    case NodeType::fifo:
        return 0x1000;
    case NodeType::char_device:
        return 0x2000;
    case NodeType::directory:
        return 0x4000;
    case NodeType::block_device:
        return 0x6000;
    case NodeType::file:
        return 0x8000;
    case NodeType::symlink:
        return 0xa000;
    case NodeType::socket:
        return 0xc000;
    }
    return 0;
}

/// 34 bits of seconds, 30 of nanoseconds.
le32 extra_of(Timestamp t) {
    return static_cast<u32>((static_cast<u64>(t.seconds - i64{static_cast<i32>(t.seconds)}) >> 32 & 3) | t.nanoseconds
                                                                                                             << 2);
}

}  // namespace

bool inode_is_good(const Geometry& g, u32 number, Bytes inode) {
    if (!g.checksums()) return true;
    const InodeChecksum sum = inode_checksum(g, number, inode);
    u32 stored = *ringlet::read_at<le16>(inode, kChecksumLow);
    if (sum.wide) stored |= u32{*ringlet::read_at<le16>(inode, kChecksumHigh)} << 16;
    return (sum.wide ? sum.crc : sum.crc & 0xffff) == stored;
}

void seal_inode(const Geometry& g, u32 number, MutableBytes inode) {
    if (!g.checksums()) return;
    const InodeChecksum sum = inode_checksum(g, number, inode);
    put16(inode, kChecksumLow, sum.crc & 0xffff);
    if (sum.wide) put16(inode, kChecksumHigh, sum.crc >> 16);
}

Timestamp Volume::now() const {
    const u64 ns = kernel::wall_clock_ns();
    return {static_cast<i64>(ns / 1'000'000'000), static_cast<u32>(ns % 1'000'000'000)};
}

void Ext4Inode::put_fields(MutableBytes raw, const Fields& f, const RootBytes& root) const {
    const Geometry& g = geometry();
    DiskInode d = *ringlet::read_at<DiskInode>(raw, 0);
    u32 flags = this->flags();
    // Counted in blocks only where 48 bits of sectors are too few.
    u64 blocks = f.sectors;
    if (blocks >> 48 != 0) {
        flags |= kInodeHugeFile;
        blocks /= g.block_size / kSectorSize;
    } else {
        flags &= ~kInodeHugeFile;
    }
    const u64 size = this->size();
    d.mode = static_cast<u16>(mode_of(type_) | f.mode);
    d.uid = static_cast<u16>(f.uid);
    d.uid_high = static_cast<u16>(f.uid >> 16);
    d.gid = static_cast<u16>(f.gid);
    d.gid_high = static_cast<u16>(f.gid >> 16);
    d.size_lo = static_cast<u32>(size);
    if (type_ == NodeType::file || g.has(kIncompatLargedir)) d.size_high = static_cast<u32>(size >> 32);
    d.atime = static_cast<u32>(f.accessed.seconds);
    d.ctime = static_cast<u32>(f.changed.seconds);
    d.mtime = static_cast<u32>(f.modified.seconds);
    d.dtime = f.deleted_or_next;
    d.links_count = static_cast<u16>(links());
    d.blocks_lo = static_cast<u32>(blocks);
    d.blocks_high = static_cast<u16>(blocks >> 32);
    d.flags = flags;
    d.file_acl_lo = static_cast<u32>(f.attribute_block);
    d.file_acl_high = static_cast<u16>(f.attribute_block >> 32);
    if (!is_inline()) std::memcpy(d.block, root.data(), root.size());
    std::memcpy(raw.data(), &d, sizeof(d));
    if (raw.size() < 128 + sizeof(DiskInodeExtra)) return;
    DiskInodeExtra extra = *ringlet::read_at<DiskInodeExtra>(raw, 128);
    const usize present = std::min<usize>(extra.extra_isize, sizeof(extra));
    extra.ctime_extra = extra_of(f.changed);
    extra.mtime_extra = extra_of(f.modified);
    extra.atime_extra = extra_of(f.accessed);
    extra.crtime = static_cast<u32>(f.created.seconds);
    extra.crtime_extra = extra_of(f.created);
    std::memcpy(raw.data() + 128, &extra, present);
}

Result<> Ext4Inode::store_into(Handle& handle, bool fresh, u32 generation) {
    const BlockEdit edit = TRY(handle.edit(table_block_));
    const MutableBytes raw = edit.bytes().subspan(table_offset_, geometry().inode_size);
    if (fresh) {
        std::memset(raw.data(), 0, raw.size());
        const le32 g = generation;
        std::memcpy(raw.data() + offsetof(DiskInode, generation), &g, sizeof(g));
        if (raw.size() > 128) put16(raw, 128, sizeof(DiskInodeExtra));
    }
    Fields f;
    RootBytes root;
    const u32 transaction = handle.transaction();
    {
        auto fields = fields_.lock();
        fields->changed_in = transaction;
        f = *fields;
        root = root_;
    }
    put_fields(raw, f, root);
    seal_inode(geometry(), number_, raw);
    return {};
}

Result<> Ext4Inode::store(Handle& handle) {
    return store_into(handle, false, 0);
}

Result<> Ext4Inode::store_new(Handle& handle) {
    const u32 index = (number_ - 1) % geometry().inodes_per_group;
    const GroupInfo group = TRY(volume_.groups().read((number_ - 1) / geometry().inodes_per_group));
    const u64 byte = u64{index} * geometry().inode_size;
    table_block_ = group.inode_table + (byte >> geometry().block_shift);
    table_offset_ = static_cast<u32>(byte & (geometry().block_size - 1));
    // Different from that of the inode's last life, so that its blocks' checksums are, too.
    const u32 generation = static_cast<u32>(kernel::wall_clock_ns()) ^ number_ * 0x9e37'79b9u;
    const le32 disk[2] = {number_, generation};
    seed_ = crc32c(geometry().checksum_seed, std::as_bytes(std::span(disk)));
    fields_.lock()->data_in = handle.transaction();
    return store_into(handle, true, generation);
}

/// Times of a change, in memory; store() follows.
void Ext4Inode::note_change(bool matters) {
    const Timestamp now = volume_.now();
    auto f = fields_.lock();
    f->changed = now;
    if (matters) f->modified = now;
}

void Ext4Inode::add_blocks(i64 blocks) {
    auto f = fields_.lock();
    f->sectors += static_cast<u64>(blocks * static_cast<i64>(geometry().block_size / kSectorSize));
}

Result<> Ext4Inode::set_attributes(const Attributes& to) {
    return volume_.transact(1, 0, [&](Handle& handle) {
        {
            const Timestamp now = volume_.now();
            auto f = fields_.lock();
            if (to.mode) f->mode = *to.mode & 07777;
            if (to.uid) f->uid = *to.uid;
            if (to.gid) f->gid = *to.gid;
            if (to.accessed) f->accessed = *to.accessed;
            if (to.modified) f->modified = *to.modified;
            f->changed = now;
        }
        return store(handle);
    });
}

Result<> Ext4Inode::sync(Sync what) {
    if (!volume_.is_writable()) return volume_.make_durable(0, 0);
    u32 transaction;
    {
        auto f = fields_.lock();
        transaction = what == Sync::all ? f->changed_in : f->data_in;
    }
    return volume_.make_durable(transaction, number_);
}

}  // namespace ringlet::fs::ext4
