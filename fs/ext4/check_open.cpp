// The beginning of the check: a superblock that can be right, the first or a copy, and room for the tables.
// §"Super Block", "Block Groups".
#include <algorithm>

#include "fs/ext4/checker.hpp"

namespace ringlet::fs::ext4 {

/// What would be a superblock at byte `at`. not_found: the device is smaller.
Result<Superblock> Checker::read_copy(u64 at) {
    const u32 unit = std::max<u32>(device_.limits().block_size, BlockCache::kMinBlock);
    const u64 block = at / unit;
    if (device_.sectors() * kSectorSize < (block + 1) * unit) return fail(Error::not_found);
    const auto probe = TRY(BlockCache::create(device_, unit, 0));
    const BlockRef ref = TRY(probe->get(BlockNo(block)));
    return overlay<Superblock>(ref.bytes(), at % unit);
}

/// In a filesystem with so large blocks and groups: takes the copy at the start of `group`, if it can be right. So that
/// no copy inside an image in a file is taken, it must say that it is just there.
bool Checker::take_copy(u32 shift, u64 blocks_per_group, u32 group) {
    const u64 block = (shift == 10 ? 1 : 0) + group * blocks_per_group;
    const auto s = read_copy(block << shift);
    if (!s || s->magic != kMagic || s->log_block_size != shift - 10 || s->block_group_nr != group ||
        s->blocks_per_group != blocks_per_group)
        return false;
    MountText why;
    const auto geometry = read_superblock(std::as_bytes(std::span(&*s, 1)), device_.sectors() * kSectorSize, why);
    if (!geometry) return false;
    super_ = *s;
    geometry_ = *geometry;
    copy_ = block;
    return true;
}

/// Looks where mke2fs puts copies: in the groups that have one in every filesystem that has more than one, the group's
/// size being what a bitmap can hold, or what the first superblock says.
bool Checker::find_copy() {
    const u64 said = super_.magic == kMagic ? u32{super_.blocks_per_group} : 0;
    for (const u32 group : {1, 3, 5, 7, 9, 25, 27, 49})
        for (u32 shift = 10; shift <= 16; ++shift) {
            const u64 most = u64{8} << shift;
            if (take_copy(shift, most, group)) return true;
            if (said != 0 && said < most && super_.log_block_size == shift - 10 && take_copy(shift, said, group))
                return true;
        }
    return false;
}

Result<> Checker::find_superblock() {
    const auto first = read_copy(kSuperblockOffset);
    if (!first && first.error() != Error::io) return fail(first.error());
    if (first) super_ = *first;
    MountText why;
    const auto geometry = read_superblock(std::as_bytes(std::span(&super_, 1)), device_.sectors() * kSectorSize, why);
    if (geometry) {
        geometry_ = *geometry;
        return {};
    }
    if (geometry.error() == Error::unsupported) {
        tell_(why.view());
        return fail(Error::unsupported);
    }
    if (find_copy()) {
        problem("superblock: its copy in block {} is used: {}", copy_, first ? why.view() : "the first cannot be read");
        return {};
    }
    if (geometry.error() == Error::corrupt) count_problem(why.view());
    return fail(first ? geometry.error() : Error::io);
}

/// Reads the superblock, judges it, and gets the tables.
Result<> Checker::open() {
    TRY(find_superblock());
    if ((geometry_.ro_compat & kRoBigalloc) != 0) {
        tell_("its blocks are allocated in clusters (bigalloc), which this check does not know");
        return fail(Error::unsupported);
    }
    if (geometry_.block_size < device_.limits().block_size) return fail(Error::unsupported);
    report_.needs_recovery = geometry_.needs_recovery;
    if (report_.needs_recovery) return {};
    if (geometry_.blocks >> 32 != 0) return fail(Error::too_large);
    cache_ = TRY(BlockCache::create(device_, geometry_.block_size, options_.cache_bytes));
    allot(used_, u64{geometry_.groups} * geometry_.blocks_per_group / 8 + 8, 1);
    allot(inodes_, geometry_.inodes, sizeof(InodeRow));
    allot(inode_bytes_, geometry_.inode_size, 1);
    allot(bitmap_, geometry_.block_size, 1);
    allot(found_, geometry_.block_size, 1);
    allot(names_, geometry_.block_size / entry_bytes(1), sizeof(u64));
    if (fatal_) return fail(*fatal_);
    return {};
}

}  // namespace ringlet::fs::ext4
