// A read-only check, as e2fsck does it: the order of the passes, what is true of the whole filesystem, and the helpers
// of all passes. §"Super Block", "Block Group Descriptors", "Orphan file", "Journal".
#include "fs/ext4/check.hpp"

#include <algorithm>

#include "fs/ext4/bits.hpp"
#include "fs/ext4/checker.hpp"
#include "fs/ext4/replay.hpp"

namespace ringlet::fs {

Result<CheckReport> check_ext4(BlockDevice& device, const CheckOptions& options,
                               FunctionRef<void(std::string_view)> tell) {
    std::unique_ptr<ext4::Checker> checker(new (std::nothrow) ext4::Checker(device, options, tell));
    if (!checker) return fail(Error::no_memory);
    return checker->run();
}

namespace ext4 {

u32 word_at(Bytes bytes, usize at) {
    const auto found = ringlet::read_at<le32>(bytes, at);
    return found ? u32{*found} : 0;
}

u16 half_at(Bytes bytes, usize at) {
    const auto found = ringlet::read_at<le16>(bytes, at);
    return found ? u16{*found} : u16{0};
}

namespace {

// Fields of the superblock that only the check looks at.
constexpr usize kQuotaInodes = 0x240, kProjectQuotaInode = 0x26c, kMmpBlock = 0x168;
constexpr u32 kRoQuota = 0x100;

u32 field_at(const Superblock& s, usize at) {
    return word_at(std::as_bytes(std::span(&s, 1)), at);
}

}  // namespace

Result<CheckReport> Checker::run() {
    if (auto r = open(); !r) {
        if (r.error() == Error::corrupt && report_.problems != 0) return report_;
        return fail(r.error());
    }
    if (report_.needs_recovery) return report_;
    using Pass = void (Checker::*)();
    static constexpr Pass kPasses[] = {&Checker::check_groups,      &Checker::follow_orphans,
                                       &Checker::check_inodes,      &Checker::check_attribute_blocks,
                                       &Checker::check_journal,     &Checker::check_directories,
                                       &Checker::check_connections, &Checker::check_links,
                                       &Checker::check_bitmaps,     &Checker::check_totals};
    check_superblock(super_);
    for (const Pass pass : kPasses) {
        if (!fatal_) (this->*pass)();
        if (fatal_) return fail(*fatal_);
    }
    return report_;
}

// ---- helpers of all passes

void Checker::count_problem(std::string_view text) {
    if (fatal_) return;  // what was not looked at to its end looks wrong
    if (report_.problems++ < options_.max_lines) tell_(text);
}

void Checker::problem(std::string_view text, u64 a, u64 b, u64 c, u64 d) {
    char line[160];
    count_problem(ringlet::detail::vformat_to(line, text, ringlet::detail::FormatArgs(a, b, c, d).span()));
}

void Checker::problem(std::string_view text, u64 a, std::string_view name, u64 b, u64 c) {
    char line[160];
    count_problem(ringlet::detail::vformat_to(line, text, ringlet::detail::FormatArgs(a, name, b, c).span()));
}

void Checker::allot(Memory& memory, u64 count, usize row) {
    if (count > memory_left_ / row) {
        fatal_ = Error::too_large;
        return;
    }
    memory.size = static_cast<usize>(count * row);
    memory.start.reset(new (std::nothrow) std::byte[memory.size]());
    if (!memory.start) fatal_ = Error::no_memory;
    memory_left_ -= memory.size;
}

void Checker::give_back(Memory& memory) {
    memory_left_ += memory.size;
    memory = {};
}

void Checker::sort(u64* rows, u64 count) {
    std::make_heap(rows, rows + count);  // small code, no deep recursion
    std::sort_heap(rows, rows + count);
}

std::optional<BlockRef> Checker::fetch(u64 block) {
    if (!fatal_ && options_.stopped != nullptr && ++fetches_ % kFetchesBetween == 0 && options_.stopped())
        fatal_ = Error::cancelled;
    if (fatal_) return std::nullopt;
    auto got = cache_->get(BlockNo(block));
    if (got) return std::move(*got);
    if (got.error() == Error::io)
        problem("block {} cannot be read", block);
    else
        fatal_ = got.error();
    return std::nullopt;
}

std::optional<u64> Checker::claim(u64 first, u64 count) {
    const MutableBytes bits = used_.bytes();
    const auto at = static_cast<u32>(first - geometry_.first_data_block), end = static_cast<u32>(at + count);
    const u32 taken = next_set(bits, at, end);
    set_bits(bits, at, end - at);
    if (taken == end) return std::nullopt;
    return u64{taken} + geometry_.first_data_block;
}

/// None: it cannot be read.
std::optional<GroupState> Checker::read_group(u32 group) {
    const u32 size = geometry_.descriptor_size, per_block = geometry_.block_size / size;
    const u64 block = geometry_.descriptor_block(group / per_block);
    GroupState s;
    if (!geometry_.contains(block)) return s;
    const auto ref = fetch(block);
    if (!ref) return std::nullopt;
    const Bytes bytes = ref->bytes().subspan(usize{group % per_block} * size, size);
    GroupDesc d;
    std::memcpy(&d, bytes.data(), std::min<usize>(bytes.size(), sizeof(d)));
    s.intact = !geometry_.has_descriptor_checksums() || d.checksum == descriptor_checksum(geometry_, group, bytes);
    static_cast<GroupInfo&>(s) = group_info(geometry_, d);
    if (!s.intact) s.flags = 0, s.unused_inodes = 0;
    s.block_checksum = both(d.block_bitmap_csum_lo, d.block_bitmap_csum_hi);
    s.inode_checksum = both(d.inode_bitmap_csum_lo, d.inode_bitmap_csum_hi);
    s.misplaced_flags =
        !geometry_.has_descriptor_checksums() && ((d.flags & (kGroupInodesUnused | kGroupBlocksUnused)) != 0 ||
                                                  both(d.itable_unused_lo, d.itable_unused_hi) != 0);
    s.placed = geometry_.contains(s.block_bitmap) && geometry_.contains(s.inode_bitmap) &&
               geometry_.contains(s.inode_table, table_blocks());
    return s;
}

// ---- the whole filesystem

void Checker::check_superblock(const Superblock& s) {
    u64 reserved = s.r_blocks_count_lo;
    if (geometry_.has(kIncompat64bit)) reserved |= u64{s.r_blocks_count_hi} << 32;
    if (reserved > geometry_.blocks / 2) problem("superblock: {} blocks are reserved", reserved);
    if ((s.state & kStateErrors) != 0) tell_("the filesystem is marked as damaged");
    if (geometry_.was_cut_off()) tell_("the filesystem is in use, or was not unmounted in order");
    const bool elsewhere = std::ranges::any_of(s.journal_uuid, [](u8 b) { return b != 0; });
    if ((geometry_.compat & kCompatHasJournal) != 0 &&
        (elsewhere ? s.journal_inum != 0 : s.journal_inum == 0 && s.journal_dev == 0))
        problem("superblock: a journal in two places, or in none");
    if (s.log_cluster_size != s.log_block_size || s.clusters_per_group != s.blocks_per_group)
        problem("superblock: clusters, without the feature");
    const auto inode_at = [&](usize at, bool feature) { return feature ? field_at(s, at) : 0; };
    const bool quota = (geometry_.ro_compat & kRoQuota) != 0;
    const u32 apart[] = {geometry_.journal_inode, inode_at(kQuotaInodes, quota), inode_at(kQuotaInodes + 4, quota),
                         inode_at(kProjectQuotaInode, quota),
                         (geometry_.compat & kCompatOrphanFile) != 0 ? u32{s.orphan_file_inum} : 0};
    for (const u32 number : apart) {
        if (number > geometry_.inodes)
            problem("superblock: there is no inode {}", number);
        else if (number != 0 && number != kRootInode)
            row(number).marks |= InodeRow::unlisted;
    }
    for (u32 number = 1; number < geometry_.first_inode; ++number)
        if (number != kRootInode) row(number).marks |= InodeRow::unlisted;
}

void Checker::check_groups() {
    for (u32 group = 0; group < geometry_.groups && !fatal_; ++group) {
        const u32 count = std::min(geometry_.reserved_at_start(group), blocks_in(group));
        if (count != 0) (void)claim(group_start(group), count);  // the first to do so
    }
    const u64 mmp = field_at(super_, kMmpBlock) | u64{field_at(super_, kMmpBlock + 4)} << 32;
    if (geometry_.has(kIncompatMmp) && mmp != 0) {
        if (!geometry_.contains(mmp))
            problem("superblock: block {} for multiple mount protection cannot be right", mmp);
        else if (claim(mmp, 1))
            problem("superblock: block {} for multiple mount protection is used twice", mmp);
    }
    for (u32 group = 0; group < geometry_.groups && !fatal_; ++group) {
        const auto s = read_group(group);
        if (!s) continue;
        if (!s->intact) problem("group {}: the descriptor's checksum is wrong", group);
        if (s->misplaced_flags) problem("group {}: marked as never used, without the feature", group);
        if (s->unused_inodes > geometry_.inodes_per_group)
            problem("group {}: {} unused inodes of {}", group, s->unused_inodes, geometry_.inodes_per_group);
        check_group_placement(group, *s);
    }
}

void Checker::check_group_placement(u32 group, const GroupState& s) {
    if (!s.placed) {
        problem("group {}: bitmaps at {} and {}, inodes at {}: not inside the filesystem", group, s.block_bitmap,
                s.inode_bitmap, s.inode_table);
        return;
    }
    const struct {
        std::string_view name;
        u64 first, count;
    } parts[] = {{"block bitmap", s.block_bitmap, 1},
                 {"inode bitmap", s.inode_bitmap, 1},
                 {"inode table", s.inode_table, table_blocks()}};
    for (const auto& part : parts) {
        if (const auto taken = claim(part.first, part.count))
            problem("group {}: in the {}, block {} is used twice", group, part.name, *taken);
        const u64 start = group_start(group), end = start + blocks_in(group);
        if (!geometry_.has(kIncompatFlexBg) && (part.first < start || part.first + part.count > end))
            problem("group {}: the {} at {} is not in its group", group, part.name, part.first);
    }
}

// ---- orphans: inodes that are to be deleted or cut as soon as somebody may write

void Checker::note_orphan(u32 number) {
    row(number).marks |= InodeRow::orphan;
    ++report_.orphans;
}

void Checker::follow_orphans() {
    for (u32 number = super_.last_orphan; number != 0 && !fatal_;) {
        const bool possible = number <= geometry_.inodes && number >= geometry_.first_inode;
        if (!possible || row(number).is(InodeRow::orphan)) {
            problem("orphan list: inode {} cannot follow", number);
            break;
        }
        note_orphan(number);
        const auto v = load_inode(number);
        number = v ? u32{v->d.dtime} : 0;
    }
    if ((geometry_.compat & kCompatOrphanFile) != 0) read_orphan_file(super_.orphan_file_inum);
}

void Checker::read_orphan_file(u32 number) {
    const auto v = number != 0 && number <= geometry_.inodes ? load_inode(number) : std::nullopt;
    if (!v || v->type != 1 || !v->has_map()) return problem("orphan file: inode {} cannot be one", number);
    const u32 before = report_.orphans;
    u64 budget = geometry_.blocks;  // what is in the tree was not checked yet
    const auto visit = [&](const Piece& p) {
        if (p.length > budget) return false;
        budget -= p.length;
        for (u32 i = 0; p.kind == Piece::Kind::data && i < p.length && !fatal_; ++i)
            if (p.logical + i < v->size >> geometry_.block_shift) check_orphan_block(*v, p.physical + i);
        return true;
    };
    Walk w{*v, visit, true};
    walk(w);
    if (report_.orphans != before && (geometry_.ro_compat & kRoOrphanPresent) == 0)
        problem("orphan file: it names inodes, but the superblock says there are none");
}

void Checker::check_orphan_block(const InodeView& v, u64 block) {
    const auto ref = fetch(block);
    if (!ref) return;
    const usize end = geometry_.block_size - sizeof(OrphanTail);
    const auto& tail = overlay<OrphanTail>(ref->bytes(), end);
    const le64 number = block;
    const u32 crc = crc32c(crc32c(v.seed, std::as_bytes(std::span(&number, 1))), ref->bytes().first(end));
    if (tail.magic != kOrphanMagic || (geometry_.checksums() && tail.checksum != crc))
        return problem("orphan file: block {} cannot be right", block);
    for (usize at = 0; at < end; at += sizeof(le32)) {
        const u32 orphan = word_at(ref->bytes(), at);
        if (orphan == 0) continue;
        if (orphan > geometry_.inodes || orphan < geometry_.first_inode || row(orphan).is(InodeRow::orphan))
            problem("orphan file: inode {} cannot be in it", orphan);
        else
            note_orphan(orphan);
    }
}

// ---- the journal

void Checker::check_journal() {
    const u32 number = geometry_.journal_inode;
    if (number == 0 || number > geometry_.inodes) return;
    if (row(number).type != 1 || row(number).said == 0) return problem("journal: inode {} is not a file", number);
    if (row(number).is(InodeRow::damaged)) return;
    const auto v = load_inode(number);
    if (!v || !v->has_map()) return;
    u64 first = 0, mapped = 0;
    const auto visit = [&](const Piece& p) {
        if (p.kind == Piece::Kind::node) return true;
        if (p.logical == 0) first = p.physical;
        if (p.kind == Piece::Kind::data) mapped += p.length;
        return true;
    };
    Walk w{*v, visit, true};
    walk(w);
    const u64 blocks = v->size >> geometry_.block_shift;
    if (mapped < blocks || first == 0 || blocks >> 32 != 0) return problem("journal: it has holes");
    const auto ref = fetch(first);
    if (!ref) return;
    const auto format = read_journal_superblock(ref->bytes(), geometry_.block_size, static_cast<u32>(blocks));
    if (!format && format.error() == Error::corrupt) problem("journal: its superblock cannot be right");
    if (format && format->start != 0) problem("journal: it holds transactions, but the superblock says it is empty");
}

}  // namespace ext4
}  // namespace ringlet::fs
