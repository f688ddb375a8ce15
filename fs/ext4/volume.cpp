// Mounting, group descriptors, and the inode cache.
#include "fs/ext4/volume.hpp"

#include <algorithm>
#include <new>

#include "fs/ext4/replay.hpp"
#include "kernel/mm/dma.hpp"
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
    const bool needed = recovery == Recovery::needed;
    if ((s.feature_compat & kCompatHasJournal) != 0)
        s.feature_incompat = needed ? s.feature_incompat | kIncompatRecover : s.feature_incompat & ~kIncompatRecover;
    else
        s.state = static_cast<u16>(needed ? s.state & ~kStateValid : s.state | kStateValid);
    seal_superblock(raw.bytes);
    if (auto done = raw.transfer(device, BlockRequest::Op::write); !done) return done;
    BlockRequest flush;
    flush.op = BlockRequest::Op::flush;
    return device.run(flush);
}

namespace ext4 {

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
    if (geometry.was_cut_off())
        why.length = format_to(why.text, "not unmounted in order, and without a journal: run fsck").size();
    auto volume = TRY(open(device, geometry, options));
    volume->warning_ = why;
    {
        const auto root = volume->root();
        if (!root || (*root)->type() != NodeType::directory) {
            why.length = format_to(why.text, "no usable root directory").size();
            return fail(root ? Error::corrupt : root.error());
        }
    }
    if (options.writable)
        if (const auto writable = volume->remount(false); !writable) {
            if (volume->failure_.length == 0) volume->say("cannot be written", writable.error());
            why = volume->failure_;
        }
    return std::unique_ptr<FileSystem>(std::move(volume));
}

Result<std::unique_ptr<Volume>> Volume::open(BlockDevice& device, const Geometry& geometry,
                                             const Ext4Options& options) {
    std::unique_ptr<Volume> volume(new (std::nothrow) Volume(device));
    if (!volume) return fail(Error::no_memory);
    volume->geometry_ = geometry;
    volume->on_failure_ = options.on_failure;
    auto buckets = TRY(InodeTable::Buckets::make(options.inode_cache));
    volume->inodes_.lock()->open(std::move(buckets));
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
    if (is_writable())
        (void)stop_writing();  // errors were said; what was promised is on the disk
    else if (journal_)
        cache_->discard_changes();
    auto inodes = inodes_.lock();
    while (Ext4Inode* i = inodes->take_any()) delete i;
}

Result<StatFs> Volume::statfs() {
    StatFs s;
    s.type = "ext4";
    s.block_size = geometry_.block_size;
    s.blocks = geometry_.blocks;
    s.free_blocks = journal_ ? groups_->free_blocks() : geometry_.free_blocks;
    s.files = geometry_.inodes;
    s.free_files = journal_ ? groups_->free_inodes() : geometry_.free_inodes;
    s.read_only = !is_writable();
    return s;
}

usize Volume::users() {
    return inodes_.lock()->in_use();
}

void Volume::for_each_value(FunctionRef<void(std::string_view, u64)> visit) {
    const BlockCacheStats cache = cache_->stats();
    visit("bytes", cache.memory_bytes);
    visit("most_bytes", cache.capacity_bytes);
    visit("given_back", cache.given_back * geometry_.block_size);
    visit("hits", cache.hits);
    visit("misses", cache.misses);
    visit("prefetched", cache.prefetched);
    visit("evicted", cache.evicted);
    visit("errors", cache.errors);
    visit("written", cache.written);
    visit("dirty", cache.dirty_blocks);
    visit("logged", cache.logged_blocks);
    if (!journal_) return;
    const JournalStats journal = journal_->stats();
    visit("commits", journal.commits);
    visit("checkpoints", journal.checkpoints);
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
    raw.number = group.inode_table + (byte >> geometry_.block_shift);
    if (!inode_is_good(geometry_, number, raw.bytes)) return fail(Error::corrupt);
    return raw;
}

Ref<Inode> Volume::known(u32 directory, std::string_view name) {
    auto inodes = inodes_.lock();
    Ext4Inode* const found = inodes->find_named(directory, name);
    return found != nullptr ? Ref<Inode>::share(*found) : Ref<Inode>();
}

void Volume::remember_name(Ext4Inode& inode, u32 directory, std::string_view name) {
    inodes_.lock()->remember_name(inode, directory, name);
}

void Volume::forget_name(u32 directory, std::string_view name) {
    inodes_.lock()->forget_name(directory, name);
}

Result<Ref<Inode>> Volume::inode(u32 number) {
    if (number == 0 || number > geometry_.inodes || (number < geometry_.first_inode && number != kRootInode))
        return fail(Error::corrupt);
    return load(number, Unlinked::refused);
}

/// An inode without a name is found by the orphan list only: an entry of a directory that leads to it is a lie.
Result<Ref<Inode>> Volume::load(u32 number, Unlinked unlinked) {
    const auto judge = [&](Ext4Inode& i) -> Result<Ref<Inode>> {
        if (i.links() == 0 && unlinked == Unlinked::refused) return fail(Error::corrupt);
        return Ref<Inode>::share(i);
    };
    {
        auto inodes = inodes_.lock();
        if (Ext4Inode* i = inodes->find(number)) return judge(*i);
    }
    std::unique_ptr<Ext4Inode> fresh(new (std::nothrow) Ext4Inode(*this, number));
    if (!fresh) return fail(Error::no_memory);
    {
        const RawInode raw = TRY(raw_inode(number));
        fresh->table_block_ = raw.number;
        fresh->table_offset_ = static_cast<u32>(raw.offset);
        TRY(fresh->parse(raw.bytes));
        // Who syncs it does not know what was changed before it was forgotten.
        if (is_writable()) {
            const u32 running = journal_->running();
            auto f = fresh->fields_.lock();
            f->changed_in = f->data_in = running;
        }
    }
    if (fresh->links() == 0 && unlinked == Unlinked::refused) return fail(Error::corrupt);
    std::unique_ptr<Ext4Inode> victim;  // freed after the lock
    auto inodes = inodes_.lock();
    if (Ext4Inode* i = inodes->find(number)) return judge(*i);  // another thread was faster
    victim.reset(inodes->evict());
    inodes->insert(*fresh);
    return Ref<Inode>::share(*fresh.release());
}

}  // namespace ext4
}  // namespace ringlet::fs
