// Mounting, group descriptors, and the inode cache.
#include "fs/ext4/volume.hpp"

#include <algorithm>
#include <new>

#include "fs/ext4/replay.hpp"
#include "kernel/mm/dma.hpp"
#include "lib/crc32c.hpp"
#include "lib/format.hpp"

namespace ringlet::fs {
namespace {

/// The superblock's place on the device, read without a cache: its size of block is not known yet.
struct RawSuperblock {
    kernel::DmaRegion memory;
    IoSegment whole;  ///< the logical blocks around bytes 1024..2047
    Lba lba;
    MutableBytes bytes;

    static Result<RawSuperblock> read(BlockDevice& device) {
        const u32 block = device.limits().block_size;
        if (block < kSectorSize || block > kPageSize || kPageSize % block != 0) return fail(Error::unsupported);
        const usize from = align_down<usize>(ext4::kSuperblockOffset, block);
        const usize length = align_up<usize>(ext4::kSuperblockOffset + ext4::kSuperblockBytes, block) - from;
        if (device.sectors() < (from + length) / kSectorSize) return fail(Error::not_found);
        RawSuperblock s;
        s.memory = TRY(kernel::DmaRegion::allocate(kPageSize));
        s.whole = {s.memory.bytes().first(length), s.memory.addr()};
        s.lba = Lba(from / kSectorSize);
        s.bytes = s.whole.bytes.subspan(ext4::kSuperblockOffset - from, ext4::kSuperblockBytes);
        if (auto done = s.transfer(device, BlockRequest::Op::read); !done) return fail(done.error());
        return s;
    }
    Result<> transfer(BlockDevice& device, BlockRequest::Op op) {
        BlockRequest request;
        request.op = op;
        request.lba = lba;
        request.data = {&whole, 1};
        const auto done = device.run(request);
        if (request.quarantined) memory.abandon();
        return done;
    }
};

Result<> read_raw_superblock(BlockDevice& device, std::span<std::byte, ext4::kSuperblockBytes> to) {
    const RawSuperblock s = TRY(RawSuperblock::read(device));
    std::memcpy(to.data(), s.bytes.data(), to.size());
    return {};
}

}  // namespace

Result<bool> looks_like_ext4(BlockDevice& device) {
    std::byte bytes[ext4::kSuperblockBytes];
    if (auto r = read_raw_superblock(device, bytes); !r) {
        if (r.error() == Error::not_found) return false;
        return fail(r.error());
    }
    return read_at<le16>(bytes, offsetof(ext4::Superblock, magic)) == le16(ext4::kMagic);
}

Result<std::unique_ptr<FileSystem>> mount_ext4(BlockDevice& device, const Ext4Options& options, MountText& why) {
    why.length = 0;
    auto mounted = ext4::Volume::mount(device, options, why);
    if (!mounted && why.length == 0) why.length = format_to(why.text, "{}", mounted.error()).size();
    return mounted;
}

Result<> ext4::set_recovery(BlockDevice& device, Recovery recovery) {
    RawSuperblock raw = TRY(RawSuperblock::read(device));
    auto& s = *reinterpret_cast<Superblock*>(raw.bytes.data());
    s.feature_incompat =
        recovery == Recovery::needed ? s.feature_incompat | kIncompatRecover : s.feature_incompat & ~kIncompatRecover;
    seal_superblock(raw.bytes);
    if (auto done = raw.transfer(device, BlockRequest::Op::write); !done) return done;
    BlockRequest flush;
    flush.op = BlockRequest::Op::flush;
    return device.run(flush);
}

namespace ext4 {
namespace {

template <class T> Bytes bytes_of(const T& v) {
    return std::as_bytes(std::span(&v, 1));
}

}  // namespace

Result<std::unique_ptr<FileSystem>> Volume::mount(BlockDevice& device, const Ext4Options& options, MountText& why) {
    std::byte bytes[kSuperblockBytes];
    if (auto r = read_raw_superblock(device, bytes); !r) return fail(r.error());
    Geometry geometry = TRY(read_superblock(bytes, device.sectors() * kSectorSize, why));
    if (geometry.block_size < device.limits().block_size) {
        why.length = format_to(why.text, "blocks of {} bytes on a device with blocks of {}", geometry.block_size,
                               device.limits().block_size)
                         .size();
        return fail(Error::unsupported);
    }
    if (geometry.needs_recovery && recover(device, geometry, why)) {
        const usize told = why.length;
        if (auto r = read_raw_superblock(device, bytes); !r) return fail(r.error());
        geometry = TRY(read_superblock(bytes, device.sectors() * kSectorSize, why));
        why.length = told;
    }
    auto volume = TRY(open(device, geometry, options));
    volume->warning_ = why;
    const auto root = volume->root();
    if (!root || (*root)->type() != NodeType::directory) {
        why.length = format_to(why.text, "no usable root directory").size();
        return fail(root ? Error::corrupt : root.error());
    }
    return std::unique_ptr<FileSystem>(std::move(volume));
}

Result<std::unique_ptr<Volume>> Volume::open(BlockDevice& device, const Geometry& geometry,
                                             const Ext4Options& options) {
    std::unique_ptr<Volume> volume(new (std::nothrow) Volume);
    if (!volume) return fail(Error::no_memory);
    volume->geometry_ = geometry;
    volume->max_inodes_ = std::max<u32>(options.inode_cache, 8);
    volume->cache_ = TRY(BlockCache::create(device, geometry.block_size, options.cache_bytes));
    volume->groups_.emplace(*volume->cache_, volume->geometry_);
    return volume;
}

/// Replays the journal, through a small cache of its own that is forgotten afterwards. When it cannot be done the disk
/// is as it was, and readable: `why` says that the last changes are missing.
Result<> Volume::recover(BlockDevice& device, const Geometry& geometry, MountText& why) {
    const auto attempt = [&]() -> Result<ReplayResult> {
        if (device.read_only() || geometry.journal_inode == 0) return fail(Error::read_only);
        LogMap log;
        {
            auto volume = TRY(open(device, geometry, {.cache_bytes = 64_KiB, .inode_cache = 8}));
            log = TRY(LogMap::read(*volume, geometry.journal_inode));
        }
        const ReplayResult done = TRY(replay_journal(device, log, geometry.blocks));
        if (auto r = set_recovery(device, Recovery::none); !r) return fail(r.error());
        return done;
    };
    const auto done = attempt();
    if (!done) {
        why.length =
            format_to(why.text, "journal not replayed ({}): the last changes before a crash are missing", done.error())
                .size();
        return fail(done.error());
    }
    why.length =
        format_to(why.text, "journal replayed: {} transactions, {} blocks", done->transactions, done->blocks).size();
    return {};
}

Volume::~Volume() {
    auto inodes = inodes_.lock();
    while (Ext4Inode* i = inodes->lru.pop_front()) delete i;
}

Result<StatFs> Volume::statfs() {
    StatFs s;
    s.type = "ext4";
    s.block_size = geometry_.block_size;
    s.blocks = geometry_.blocks;
    s.free_blocks = geometry_.free_blocks;
    s.files = geometry_.inodes;
    s.free_files = geometry_.free_inodes;
    s.read_only = true;
    return s;
}

// ---- inodes
// -----------------------------------------------------------------------------------------------------

Result<Volume::RawInode> Volume::raw_inode(u32 number) {
    if (number == 0 || number > geometry_.inodes) return fail(Error::corrupt);
    const u32 index = (number - 1) % geometry_.inodes_per_group;
    const GroupInfo group = TRY(groups_->read((number - 1) / geometry_.inodes_per_group));
    // Its table was never written: nothing may refer to it.
    if ((group.flags & kGroupInodesUnused) != 0) return fail(Error::corrupt);
    const u64 byte = u64{index} * geometry_.inode_size;
    RawInode raw;
    raw.block = TRY(cache_->get(BlockNo(group.inode_table + (byte >> geometry_.block_shift))));
    raw.offset = static_cast<usize>(byte & (geometry_.block_size - 1));
    raw.bytes = raw.block.bytes().subspan(raw.offset, geometry_.inode_size);
    if (!geometry_.checksums()) return raw;

    // §"Inode checksum": the number, the generation, the inode with its two checksum fields zero.
    const DiskInode inode = *ringlet::read_at<DiskInode>(raw.bytes, 0);
    constexpr usize kLow = offsetof(DiskInode, checksum_lo), kHigh = 128 + offsetof(DiskInodeExtra, checksum_hi);
    constexpr std::byte kZero[2] = {};
    const le32 disk_number = number;
    u32 crc = crc32c(geometry_.checksum_seed, bytes_of(disk_number));
    crc = crc32c(crc, bytes_of(inode.generation));
    crc = crc32c(crc, raw.bytes.first(kLow));
    crc = crc32c(crc, kZero);
    crc = crc32c(crc, raw.bytes.subspan(kLow + 2, 128 - kLow - 2));
    u32 stored = inode.checksum_lo, mask = 0xffff;
    if (geometry_.inode_size > 128) {
        const u16 extra = *ringlet::read_at<le16>(raw.bytes, 128);
        crc = crc32c(crc, raw.bytes.subspan(128, kHigh - 128));
        if (extra >= 4) {
            stored |= u32{*ringlet::read_at<le16>(raw.bytes, kHigh)} << 16;
            mask = ~0u;
            crc = crc32c(crc, kZero);
        } else {
            crc = crc32c(crc, raw.bytes.subspan(kHigh, 2));
        }
        crc = crc32c(crc, raw.bytes.subspan(kHigh + 2));
    }
    if ((crc & mask) != stored) return fail(Error::corrupt);
    return raw;
}

Ext4Inode* Volume::find(Inodes& inodes, u32 number) const {
    for (Ext4Inode* i = inodes.buckets[number % kBuckets]; i != nullptr; i = i->hash_next_)
        if (i->number_ == number) return i;
    return nullptr;
}

Ext4Inode* Volume::evict(Inodes& inodes) const {
    if (inodes.count < max_inodes_) return nullptr;
    for (Ext4Inode& i : inodes.lru) {
        if (i.references() != 0) continue;
        Ext4Inode** at = &inodes.buckets[i.number_ % kBuckets];
        while (*at != &i) at = &(*at)->hash_next_;
        *at = i.hash_next_;
        List<Ext4Inode>::remove(i);
        --inodes.count;
        return &i;
    }
    return nullptr;
}

Result<Ref<Inode>> Volume::inode(u32 number) {
    if (number == 0 || number > geometry_.inodes || (number < geometry_.first_inode && number != kRootInode))
        return fail(Error::corrupt);
    return load(number);
}

Result<Ref<Inode>> Volume::load(u32 number) {
    {
        auto inodes = inodes_.lock();
        if (Ext4Inode* i = find(*inodes, number)) {
            List<Ext4Inode>::remove(*i);
            inodes->lru.push_back(*i);
            return Ref<Inode>::share(*i);
        }
    }
    std::unique_ptr<Ext4Inode> fresh(new (std::nothrow) Ext4Inode(*this, number));
    if (!fresh) return fail(Error::no_memory);
    {
        const RawInode raw = TRY(raw_inode(number));
        if (auto r = fresh->parse(raw.bytes); !r) return fail(r.error());
    }
    std::unique_ptr<Ext4Inode> victim;  // freed after the lock
    auto inodes = inodes_.lock();
    if (Ext4Inode* i = find(*inodes, number)) return Ref<Inode>::share(*i);  // another thread was faster
    victim.reset(evict(*inodes));
    Ext4Inode*& head = inodes->buckets[number % kBuckets];
    fresh->hash_next_ = head;
    head = fresh.get();
    inodes->lru.push_back(*fresh);
    ++inodes->count;
    return Ref<Inode>::share(*fresh.release());
}

}  // namespace ext4
}  // namespace ringlet::fs
