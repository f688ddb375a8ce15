// Pass 1 of the check: every inode that is in use, its fields, and the blocks it has. §"Index Nodes".
#include <algorithm>

#include "fs/ext4/checker.hpp"
#include "fs/ext4/inode.hpp"

namespace ringlet::fs::ext4 {

namespace {

constexpr u32 kInodeVerity = 0x10'0000, kInodeEaInode = 0x20'0000, kCompatResizeInode = 0x10;

/// DirEntryHeader::file_type of a mode; 0: none.
u8 type_of(u16 mode) {
    constexpr u8 kTypes[16] = {0, 5, 3, 0, 2, 0, 4, 0, 1, 0, 7, 0, 6, 0, 0, 0};
    return kTypes[mode >> 12];
}

/// The length of the text at the front; bytes.size() when it has no end.
usize text_length(Bytes bytes) {
    return static_cast<usize>(std::ranges::find(bytes, std::byte{0}) - bytes.begin());
}

}  // namespace

std::optional<InodeView> Checker::load_inode(u32 number, const GroupState& group) {
    const u64 byte = u64{(number - 1) % geometry_.inodes_per_group} * geometry_.inode_size;
    if (!group.placed) return std::nullopt;
    const auto ref = fetch(group.inode_table + (byte >> geometry_.block_shift));
    if (!ref) return std::nullopt;
    std::memcpy(inode_bytes_.start.get(), ref->bytes().data() + (byte & (geometry_.block_size - 1)),
                geometry_.inode_size);
    InodeView v;
    v.number = number;
    v.raw = inode_bytes_.bytes();
    v.d = overlay<DiskInode>(v.raw);
    v.type = type_of(v.d.mode);
    v.size = v.d.size_lo;
    if (v.type == 1 || (v.type == 2 && geometry_.has(kIncompatLargedir))) v.size |= u64{v.d.size_high} << 32;
    const le32 disk_number = number;
    v.seed = crc32c(geometry_.checksum_seed, std::as_bytes(std::span(&disk_number, 1)));
    v.seed = crc32c(v.seed, std::as_bytes(std::span(&v.d.generation, 1)));
    return v;
}

std::optional<InodeView> Checker::load_inode(u32 number) {
    const auto group = read_group((number - 1) / geometry_.inodes_per_group);
    return group ? load_inode(number, *group) : std::nullopt;
}

void Checker::check_inodes() {
    const u32 per_block = geometry_.block_size / geometry_.inode_size;
    const u32 window = std::max<u32>(cache_->prefetch_limit(), 1);
    for (u32 group = 0; group < geometry_.groups && !fatal_; ++group) {
        const auto state = read_group(group);
        if (!state || !state->placed || (state->flags & kGroupInodesUnused) != 0) continue;
        const u32 unused = state->unused_inodes > geometry_.inodes_per_group ? 0 : state->unused_inodes;
        for (u32 index = 0; index < geometry_.inodes_per_group - unused && !fatal_; ++index) {
            const u32 block = index / per_block;
            if (index % per_block == 0 && block % window == 0)
                cache_->prefetch(BlockNo(state->inode_table + block),
                                 static_cast<u32>(std::min<u64>(window, table_blocks() - block)));
            if (const auto v = load_inode(group * geometry_.inodes_per_group + index + 1, *state)) check_inode(*v);
        }
    }
}

void Checker::check_inode(const InodeView& v) {
    InodeRow& r = row(v.number);
    const bool empty = std::ranges::all_of(v.raw, [](std::byte b) { return b == std::byte{0}; });
    if (v.number == kBadBlocks) {
        if (!empty) check_checksum(v);
        const auto visit = [&](const Piece& p) { return claim_for(v.number, p); };
        Walk w{v, visit, false};
        return walk(w);
    }
    if (v.d.links_count == 0 && !r.is(InodeRow::orphan)) {
        if (v.d.mode != 0 && v.d.dtime == 0) problem("inode {}: deleted, but it has no time of deletion", v.number);
        if (!empty) check_checksum(v);
        return;
    }
    r.marks |= InodeRow::used;
    r.said = v.d.links_count;
    r.type = v.type;
    ++report_.inodes;
    if (v.type == 2) ++report_.directories;
    if (v.has(kInodeEaInode)) r.marks |= InodeRow::value;
    check_fields(v);
    check_blocks(v);
}

bool Checker::claim_for(u32 inode, const Piece& p) {
    const auto taken = claim(p.physical, p.length);
    if (taken) problem("inode {}: block {} is used twice", inode, *taken);
    return !taken;
}

void Checker::check_fields(const InodeView& v) {
    const u32 n = v.number;
    check_checksum(v);
    if (v.d.size_high != 0 && v.size >> 32 == 0) problem("inode {}: the upper half of a size", n);
    if (v.d.obso_faddr != 0) problem("inode {}: a fragment's address", n);
    if (v.d.dtime != 0 && !row(n).is(InodeRow::orphan)) problem("inode {}: in use, but it has a time of deletion", n);
    if (v.type == 0) problem("inode {}: mode {:x} is of no type", n, v.d.mode);
    if (n == kRootInode && v.type != 2) problem("inode {}: the root is not a directory", n);
    if (v.has(kInodeExtents) && !geometry_.has(kIncompatExtents)) problem("inode {}: extents, without the feature", n);
    if (v.has(kInodeInlineData) && !geometry_.has(kIncompatInlineData))
        problem("inode {}: inline data, without the feature", n);
    if (v.has(kInodeExtents) && v.has(kInodeInlineData)) problem("inode {}: both extents and inline data", n);
    if (v.has(kInodeEncrypt | kInodeCasefold)) problem("inode {}: encrypted or case-folded, without the feature", n);
    if (v.has(kInodeIndex) && (v.type != 2 || (geometry_.compat & kCompatDirIndex) == 0))
        problem("inode {}: it cannot have an index", n);
    if (geometry_.inode_size > 128) {
        const u32 extra = half_at(v.raw, 128);
        if (extra != 0 && (extra < 4 || extra % 4 != 0 || extra > geometry_.inode_size - 128))
            problem("inode {}: {} extra bytes", n, extra);
    }
}

void Checker::check_blocks(const InodeView& v) {
    u64 blocks = 0, end = 0, written = 0, reserved = 0, first = 0;
    bool unwritten = false;
    const auto visit = [&](const Piece& p) {
        blocks += p.length;
        if (p.kind != Piece::Kind::node) {
            end = p.logical + p.length;
            if (p.kind == Piece::Kind::unwritten)
                unwritten = true;
            else
                written = end;
            if (p.logical == 0 && !unwritten) first = p.physical;
        }
        if (v.number == kResize && p.kind == Piece::Kind::data) ++reserved;
        return (v.number == kResize && is_reserved_descriptor(p.physical)) || claim_for(v.number, p);
    };
    const u64 before = report_.problems;
    Walk w{v, visit, false};
    if (v.has_map()) walk(w);
    const bool damaged = report_.problems != before;
    if (damaged) row(v.number).marks |= InodeRow::damaged;
    const FoundAttributes attributes = check_inode_attributes(v);
    if (v.attribute_block() != 0) {
        note_attribute_block(v);
        if (geometry_.contains(v.attribute_block())) ++blocks;
    }
    if (!damaged) {
        check_size(v, end, written);
        u64 values = attributes.value_blocks;
        if (geometry_.has(kIncompatEaInode)) values += peek_attribute_block(v.attribute_block()).value_blocks;
        check_block_count(v, blocks + values);
        if (v.type == 2 && unwritten) problem("inode {}: a directory with unwritten blocks", v.number);
        if (v.has(kInodeInlineData) && !attributes.has_inline_data)
            problem("inode {}: inline data without the attribute for it", v.number);
        else if (v.has(kInodeInlineData) && v.size > sizeof(v.d.block) + attributes.inline_data.size())
            problem("inode {}: {} bytes, but only {} are there", v.number, v.size,
                    sizeof(v.d.block) + attributes.inline_data.size());
        if (v.type == 7 && !v.has(kInodeInlineData)) check_symlink(v, first);
        if (v.type != 0 && !v.has_map()) check_special(v);
    }
    if (v.number == kResize && (geometry_.compat & kCompatResizeInode) != 0 &&
        (v.type != 1 || reserved != backup_descriptors()))
        problem("inode {}: {} blocks reserved for descriptors, {} expected", v.number, reserved, backup_descriptors());
}

/// Blocks are mapped up to `mapped`, and written ones up to `written`.
void Checker::check_size(const InodeView& v, u64 mapped, u64 written) {
    if (!v.has_map()) return;
    const u64 blocks = v.size >> geometry_.block_shift;
    if (v.type == 2) {
        const u64 spare = super_.prealloc_dir_blocks;
        if (v.size == 0 || v.size % geometry_.block_size != 0 || blocks > mapped || mapped - blocks > spare ||
            (v.d.size_high != 0 && !geometry_.has(kIncompatLargedir)))
            problem("inode {}: a directory of {} bytes, {} blocks", v.number, v.size | u64{v.d.size_high} << 32,
                    mapped);
        return;
    }
    // One block behind the end may be there; blocks that are unwritten, any number.
    if (written > 1 && v.size < (written - 1) << geometry_.block_shift && !v.has(kInodeVerity) &&
        !row(v.number).is(InodeRow::orphan))
        problem("inode {}: {} bytes, but blocks up to {}", v.number, v.size, written);
    const u64 pointers = geometry_.block_size / 4, tables = 1 + pointers * (1 + pointers * (1 + pointers));
    const u64 most = v.has(kInodeExtents) ? u64{1} << 32 : std::min(tables + 11, u64{1} << 32);
    if (v.size > most << geometry_.block_shift) problem("inode {}: {} bytes", v.number, v.size);
}

void Checker::check_block_count(const InodeView& v, u64 blocks) {
    u64 said = v.d.blocks_lo;
    const bool huge = (geometry_.ro_compat & kRoHugeFile) != 0;
    if (huge) said |= u64{v.d.blocks_high} << 32;
    const u64 found = huge && v.has(kInodeHugeFile) ? blocks : blocks * (geometry_.block_size / kSectorSize);
    if (said != found) problem("inode {}: a count of {} sectors, {} found", v.number, said, found);
}

/// Devices, FIFOs and sockets, fast links, inline data: nothing that a map could say.
void Checker::check_special(const InodeView& v) {
    if (v.type >= 3 && v.type <= 6 && (v.size != 0 || v.has(kInodeExtents | kInodeInlineData | kInodeIndex)))
        problem("inode {}: a special file with contents", v.number);
}

/// `block` holds the target of a slow one.
void Checker::check_symlink(const InodeView& v, u64 block) {
    bool good = v.size != 0;
    if (good && v.is_fast_symlink()) {
        good = text_length(v.root()) == v.size;
    } else if (good) {
        good = v.size < geometry_.block_size && block != 0;
        const auto ref = good ? fetch(block) : std::nullopt;
        if (ref) good = text_length(ref->bytes()) == v.size;
    }
    if (!good) problem("inode {}: a link whose target does not have {} bytes", v.number, v.size);
}

/// In the space that copies of the descriptors may grow into: the resize inode has it too.
bool Checker::is_reserved_descriptor(u64 block) const {
    const u64 relative = block - geometry_.first_data_block;
    const auto group = static_cast<u32>(relative / geometry_.blocks_per_group);
    const u32 all = geometry_.reserved_at_start(group), at = static_cast<u32>(relative % geometry_.blocks_per_group);
    return at < all && at >= all - std::min(all, geometry_.reserved_descriptor_blocks);
}

/// How many blocks the resize inode has: those of all copies but the first, which are its tables of pointers.
u64 Checker::backup_descriptors() const {
    u64 copies = 0;
    for (u32 group = 1; group < geometry_.groups; ++group) copies += geometry_.group_has_superblock(group) ? 1 : 0;
    return copies * geometry_.reserved_descriptor_blocks;
}

void Checker::check_checksum(const InodeView& v) {
    if (!inode_is_good(geometry_, v.number, v.raw)) problem("inode {}: its checksum is wrong", v.number);
}

}  // namespace ringlet::fs::ext4
