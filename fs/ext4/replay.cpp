// Three walks over the log: find its end and check every checksum, collect the revoked blocks, write the rest home.
#include "fs/ext4/replay.hpp"

#include <algorithm>
#include <new>

#include "fs/batch_writer.hpp"
#include "fs/ext4/volume.hpp"

namespace ringlet::fs::ext4 {

Result<LogMap> LogMap::read(Volume& volume, u32 number) {
    LogMap map;
    Ref<Inode> held = TRY(volume.system_inode(number));
    auto& inode = static_cast<Ext4Inode&>(*held);
    map.block_size_ = volume.geometry().block_size;
    const u64 blocks = inode.size() >> volume.geometry().block_shift;
    if (blocks < 16 || blocks > u64{1} << 31) return fail(Error::corrupt);
    while (map.blocks_ < blocks) {
        const Run run = TRY(inode.map_for_log(map.blocks_));
        if (run.physical == 0) return fail(Error::corrupt);
        const u32 length = static_cast<u32>(std::min<u64>(run.length, blocks - map.blocks_));
        Piece* const last = map.pieces_.empty() ? nullptr : &map.pieces_[map.pieces_.size() - 1];
        if (last != nullptr && last->physical + last->length == run.physical)
            last->length += length;
        else if (!map.pieces_.try_push_back({map.blocks_, run.physical, length}))
            return fail(Error::unsupported);
        map.blocks_ += length;
    }
    return map;
}

LogMap::Piece LogMap::at(u32 block) const {
    for (const Piece& p : pieces_) {
        if (block - p.first >= p.length) continue;
        const u32 into = block - p.first;
        return {block, p.physical + into, p.length - into};
    }
    ASSERT(!"inside the log");
    return {};
}

Result<JournalFormat> read_journal_superblock(Bytes block, u32 filesystem_block_size, u32 log_blocks) {
    const auto found = ringlet::read_at<JournalSuperblock>(block, 0);
    if (!found || found->header.magic != kJournalMagic) return fail(Error::corrupt);
    const JournalSuperblock& s = *found;
    const u32 version = s.header.blocktype;
    if (version != kJournalSuperV1 && version != kJournalSuperV2) return fail(Error::unsupported);
    JournalFormat f;
    f.block_size = s.blocksize;
    f.length = s.maxlen;
    f.first = s.first;
    f.sequence = s.sequence;
    f.start = s.start;
    if (f.block_size != filesystem_block_size || f.length > log_blocks || f.length < 16 || f.first == 0 ||
        f.first >= f.length - 8)
        return fail(Error::corrupt);
    if (version == kJournalSuperV2) {
        f.incompat = s.feature_incompat;
        constexpr u32 kKnown = kJournalIncompatRevoke | kJournalIncompat64bit | kJournalIncompatAsync |
                               kJournalIncompatCsumV2 | kJournalIncompatCsumV3;
        if ((f.incompat & ~kKnown) != 0 || s.feature_ro_compat != 0) return fail(Error::unsupported);
        if (f.checksums()) {
            if (s.checksum_type != kJournalCrc32c) return fail(Error::unsupported);
            const Bytes bytes = block.first(sizeof(JournalSuperblock));
            if (journal_checksum(~0u, bytes, offsetof(JournalSuperblock, checksum)) != s.checksum)
                return fail(Error::corrupt);
        }
        f.seed = crc32c(~0u, std::as_bytes(std::span(s.uuid)));
    }
    if (f.start != 0 && (f.start < f.first || f.start >= f.length)) return fail(Error::corrupt);
    return f;
}

namespace {

struct Revoked {
    u64 block = 0;
    u32 sequence = 0;
};

/// One entry of a descriptor block.
struct Tag {
    u64 block = 0;
    u32 flags = 0, checksum = 0;
    u32 checksum_bits = 0;  ///< 0: none
};

bool newer(u32 a, u32 b) {
    return static_cast<i32>(a - b) > 0;
}

class Replay {
public:
    Replay(BlockDevice& device, const LogMap& log, u64 blocks) : device_(device), log_(log), blocks_(blocks) {}
    ~Replay() {
        if (writer_ && writer_->quarantined()) out_.abandon();
    }

    Result<ReplayResult> run(u32 block_size);

private:
    static constexpr u32 kWindowBytes = 64 << 10;
    enum class Pass : u8 { scan, revoke, write };

    Result<Bytes> block(u32 index);
    Result<> walk(Pass pass);
    Result<bool> descriptor(Pass pass, u32& at, u32 sequence);
    Result<> one_block(Pass pass, u32 at, const Tag& tag, u32 sequence);
    Result<bool> next_tag(Bytes tags, usize& offset, Tag& tag) const;
    Result<> revoke_block(Pass pass, Bytes bytes, u32 sequence);
    bool commit_is_good(Bytes bytes) const;
    bool tail_is_good(Bytes bytes) const {
        const usize at = bytes.size() - kJournalTail;
        return !format_.checksums() || journal_checksum(format_.seed, bytes, at) == *ringlet::read_at<be32>(bytes, at);
    }
    usize tail() const { return format_.checksums() ? kJournalTail : 0; }
    bool is_revoked(u64 block, u32 sequence) const;
    Result<> write_out();
    Result<> mark_empty();

    BlockDevice& device_;
    const LogMap& log_;
    const u64 blocks_;
    JournalFormat format_;
    kernel::DmaRegion window_, out_;
    u32 window_first_ = 0, window_blocks_ = 0, window_capacity_ = 0;
    u64 out_blocks_[kWindowBytes / 1024] = {};
    u32 out_used_ = 0;
    std::unique_ptr<BatchWriter> writer_;
    u32 end_ = 0;  ///< the first sequence that was not committed
    std::unique_ptr<Revoked[]> revoked_;
    u64 revoked_count_ = 0, revoked_room_ = 0;
    ReplayResult result_;
};

/// A block of the log; valid until the next call.
Result<Bytes> Replay::block(u32 index) {
    const u32 size = format_.block_size;
    if (index - window_first_ >= window_blocks_) {
        const LogMap::Piece piece = log_.at(index);
        const u32 count = std::min(piece.length, window_capacity_);
        const IoSegment segment{window_.bytes().first(usize{count} * size), window_.addr()};
        BlockRequest request;
        request.op = BlockRequest::Op::read;
        request.lba = Lba(piece.physical * (size / kSectorSize));
        request.data = {&segment, 1};
        window_blocks_ = 0;
        const auto done = device_.run(request);
        if (request.quarantined) window_.abandon();
        if (!done) return fail(done.error());
        window_first_ = index;
        window_blocks_ = count;
    }
    return Bytes(window_.bytes()).subspan(usize{index - window_first_} * size, size);
}

Result<bool> Replay::next_tag(Bytes tags, usize& offset, Tag& tag) const {
    const bool wide = format_.has(kJournalIncompat64bit);
    tag = {};
    usize length;
    if (format_.has(kJournalIncompatCsumV3)) {
        const auto t = ringlet::read_at<JournalTag3>(tags, offset);
        if (!t) return fail(Error::corrupt);
        tag = {t->blocknr | u64{wide ? u32{t->blocknr_high} : 0} << 32, t->flags, t->checksum, 32};
        length = sizeof(JournalTag3);
    } else {
        const auto low = ringlet::read_at<be32>(tags, offset);
        const auto check = ringlet::read_at<be16>(tags, offset + 4), flags = ringlet::read_at<be16>(tags, offset + 6);
        const auto high = wide ? ringlet::read_at<be32>(tags, offset + 8) : std::optional<be32>(0u);
        if (!low || !check || !flags || !high) return fail(Error::corrupt);
        const bool checked = format_.has(kJournalIncompatCsumV2);
        tag = {*low | u64{*high} << 32, *flags, *check, checked ? 16u : 0u};
        length = (wide ? 12u : 8u) + (checked ? 2u : 0u);
    }
    offset += length + ((tag.flags & kTagSameUuid) != 0 ? 0 : 16);
    return (tag.flags & kTagLast) == 0;
}

bool Replay::is_revoked(u64 block, u32 sequence) const {
    const Revoked *const begin = revoked_.get(), *const end = begin + revoked_count_;
    const Revoked* at =
        std::lower_bound(begin, end, block, [](const Revoked& r, u64 wanted) { return r.block < wanted; });
    for (; at != end && at->block == block; ++at)
        if (!newer(sequence, at->sequence)) return true;
    return false;
}

Result<> Replay::one_block(Pass pass, u32 at, const Tag& tag, u32 sequence) {
    if (tag.block >= blocks_) return fail(Error::corrupt);
    if (pass == Pass::revoke) {  // every checksum before the first write
        if (tag.checksum_bits == 0) return {};
        const Bytes content = TRY(block(at));
        const be32 number = sequence;
        const u32 crc = crc32c(crc32c(format_.seed, std::as_bytes(std::span(&number, 1))), content);
        if ((tag.checksum_bits == 16 ? crc & 0xffff : crc) != tag.checksum) return fail(Error::corrupt);
        return {};
    }
    if (is_revoked(tag.block, sequence)) {
        ++result_.revoked;
        return {};
    }
    const u32 size = format_.block_size;
    // The disk may finish requests in any order: of two versions of a block only the newer may be under way.
    u32 slot = 0;
    while (slot < out_used_ && out_blocks_[slot] != tag.block) ++slot;
    if (slot == window_capacity_) {
        if (auto r = write_out(); !r) return r;
        slot = 0;
    }
    const Bytes content = TRY(block(at));
    const MutableBytes copy = out_.bytes().subspan(usize{slot} * size, size);
    std::memcpy(copy.data(), content.data(), size);
    if ((tag.flags & kTagEscape) != 0) {
        const be32 magic = kJournalMagic;
        std::memcpy(copy.data(), &magic, sizeof(magic));
    }
    out_blocks_[slot] = tag.block;
    out_used_ = std::max(out_used_, slot + 1);
    ++result_.blocks;
    return {};
}

/// Sends the collected blocks home and waits.
Result<> Replay::write_out() {
    const u32 size = format_.block_size;
    for (u32 i = 0; i < out_used_; ++i)
        writer_->add(Lba(out_blocks_[i] * (size / kSectorSize)),
                     {out_.bytes().subspan(usize{i} * size, size), out_.addr(usize{i} * size)});
    out_used_ = 0;
    return writer_->finish();
}

/// A descriptor block at `at`, which is moved behind its data. False: the log ends here.
Result<bool> Replay::descriptor(Pass pass, u32& at, u32 sequence) {
    const u32 here = at;
    const u32 most = format_.length - format_.first;
    usize offset = sizeof(JournalHeader);
    at = format_.after(at);
    for (u32 count = 0;; ++count) {
        if (count >= most) return fail(Error::corrupt);
        const Bytes bytes = TRY(block(here));
        if (offset == sizeof(JournalHeader) && !tail_is_good(bytes)) return false;
        Tag tag;
        const bool more = TRY(next_tag(bytes.first(bytes.size() - tail()), offset, tag));
        if (pass != Pass::scan)
            if (auto r = one_block(pass, at, tag, sequence); !r) return fail(r.error());
        at = format_.after(at);
        if (!more) return true;
    }
}

Result<> Replay::revoke_block(Pass pass, Bytes bytes, u32 sequence) {
    const auto header = ringlet::read_at<JournalRevokeHeader>(bytes, 0);
    const usize width = format_.has(kJournalIncompat64bit) ? 8 : 4;
    const usize used = header->count;
    if (used < sizeof(*header) || used > bytes.size() - tail() || !tail_is_good(bytes)) return fail(Error::corrupt);
    if (pass == Pass::scan) {
        revoked_room_ += (used - sizeof(*header)) / width;
        return {};
    }
    for (usize at = sizeof(*header); at + width <= used && revoked_count_ < revoked_room_; at += width) {
        const u64 block =
            width == 8 ? u64{*ringlet::read_at<be64>(bytes, at)} : u64{*ringlet::read_at<be32>(bytes, at)};
        revoked_[revoked_count_++] = {block, sequence};
    }
    return {};
}

bool Replay::commit_is_good(Bytes bytes) const {
    constexpr usize kAt = offsetof(JournalCommitBlock, chksum);
    return !format_.checksums() || journal_checksum(format_.seed, bytes, kAt) == *ringlet::read_at<be32>(bytes, kAt);
}

/// Goes over the log once. A block that does not continue it is its end, not an error; what lies inside a committed
/// transaction must be right.
Result<> Replay::walk(Pass pass) {
    u32 at = format_.start, sequence = format_.sequence;
    for (u32 steps = 0; steps < format_.length; ++steps) {
        if (pass != Pass::scan && sequence == end_) return {};
        const Bytes bytes = TRY(block(at));
        const auto header = *ringlet::read_at<JournalHeader>(bytes, 0);
        const bool ours = header.magic == kJournalMagic && header.sequence == sequence;
        bool goes_on = ours;
        if (ours && header.blocktype == kJournalDescriptor) {
            goes_on = TRY(descriptor(pass, at, sequence));
        } else if (ours && header.blocktype == kJournalCommit && commit_is_good(bytes)) {
            at = format_.after(at);
            ++sequence;
            if (pass == Pass::scan) {
                end_ = sequence;
                ++result_.transactions;
            }
        } else if (ours && header.blocktype == kJournalRevoke) {
            if (pass != Pass::write)
                if (auto r = revoke_block(pass, bytes, sequence); !r) goes_on = false;
            at = format_.after(at);
        } else {
            goes_on = false;
        }
        if (!goes_on) return pass == Pass::scan ? Result<>{} : fail(Error::corrupt);
    }
    return {};
}

Result<> Replay::mark_empty() {
    const u32 size = format_.block_size;
    const Bytes current = TRY(block(0));
    std::memcpy(out_.bytes().data(), current.data(), size);
    auto& s = *reinterpret_cast<JournalSuperblock*>(out_.bytes().data());
    s.start = 0;
    s.sequence = result_.next_sequence;
    if (format_.checksums())
        s.checksum = journal_checksum(~0u, Bytes(out_.bytes()).first(sizeof(s)), offsetof(JournalSuperblock, checksum));
    writer_->add(Lba(log_.at(0).physical * (size / kSectorSize)), {out_.bytes().first(size), out_.addr()});
    return writer_->finish_and_flush();
}

Result<ReplayResult> Replay::run(u32 block_size) {
    format_.block_size = block_size;
    const BlockLimits limits = device_.limits();
    window_capacity_ =
        std::max<u32>(1, std::min({kWindowBytes, limits.max_segment_bytes, limits.max_request_bytes}) / block_size);
    window_ = TRY(kernel::DmaRegion::allocate(usize{window_capacity_} * block_size));
    out_ = TRY(kernel::DmaRegion::allocate(usize{window_capacity_} * block_size));
    writer_ = TRY(BatchWriter::create(device_));
    {
        const Bytes super = TRY(block(0));
        format_ = TRY(read_journal_superblock(super, block_size, log_.blocks()));
    }
    end_ = result_.next_sequence = format_.sequence;
    if (format_.start != 0) {
        if (auto r = walk(Pass::scan); !r) return fail(r.error());
        constexpr u64 kMostRevoked = 1 << 20;
        if (revoked_room_ > kMostRevoked) return fail(Error::unsupported);
        revoked_.reset(new (std::nothrow) Revoked[revoked_room_ + 1]);
        if (!revoked_) return fail(Error::no_memory);
        if (auto r = walk(Pass::revoke); !r) return fail(r.error());
        std::sort(revoked_.get(), revoked_.get() + revoked_count_,
                  [](const Revoked& a, const Revoked& b) { return a.block < b.block; });
        if (auto r = walk(Pass::write); !r) return fail(r.error());
        if (auto r = write_out(); !r) return fail(r.error());
        if (auto r = writer_->finish_and_flush(); !r) return fail(r.error());
        // One more than the last: a torn transaction of the old log can then never continue the new one.
        result_.next_sequence = end_ + 1;
    }
    if (auto r = mark_empty(); !r) return fail(r.error());
    return result_;
}

}  // namespace

Result<ReplayResult> replay_journal(BlockDevice& device, const LogMap& log, u64 filesystem_blocks) {
    std::unique_ptr<Replay> replay(new (std::nothrow) Replay(device, log, filesystem_blocks));
    if (!replay) return fail(Error::no_memory);
    return replay->run(log.block_size());
}

}  // namespace ringlet::fs::ext4
