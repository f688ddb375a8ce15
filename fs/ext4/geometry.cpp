// The superblock: nothing in it is believed until it fits everything else.
#include "fs/ext4/geometry.hpp"

#include <algorithm>
#include <bit>

#include "lib/crc32c.hpp"
#include "lib/format.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr u32 kSupported = kIncompatFiletype | kIncompatRecover | kIncompatMetaBg | kIncompatExtents | kIncompat64bit |
                           kIncompatMmp | kIncompatFlexBg | kIncompatEaInode | kIncompatCsumSeed | kIncompatLargedir |
                           kIncompatInlineData;

std::string_view incompat_name(u32 bit) {
    switch (bit) {
    case 0x1:
        return "compression";
    case 0x8:
        return "journal_dev";
    case 0x1000:
        return "dirdata";
    case 0x1'0000:
        return "encrypt";
    case 0x2'0000:
        return "casefold";
    default:
        return {};
    }
}

template <class... A>
auto refuse(MountText& why, Error error, FormatString<std::type_identity_t<A>...> f, const A&... a) {
    why.length = format_to(why.text, f, a...).size();
    return fail(error);
}

Result<> check_features(const Geometry& g, MountText& why) {
    const u32 unknown = g.incompat & ~kSupported;
    if (unknown == 0) return {};
    const u32 bit = unknown & (~unknown + 1);
    if (const std::string_view name = incompat_name(bit); !name.empty())
        return refuse(why, Error::unsupported, "unsupported feature: {}", name);
    return refuse(why, Error::unsupported, "unsupported feature: incompat bit {:x}", bit);
}

Result<> check_layout(const Superblock& s, Geometry& g, MountText& why) {
    const bool bigalloc = (g.ro_compat & kRoBigalloc) != 0;
    if (!std::has_single_bit(g.inode_size) || g.inode_size < 128 || g.inode_size > g.block_size)
        return refuse(why, Error::corrupt, "bad inode size {}", g.inode_size);
    if (!std::has_single_bit(g.descriptor_size) || g.descriptor_size < (g.has(kIncompat64bit) ? 64u : 32u) ||
        g.descriptor_size > 1024)
        return refuse(why, Error::corrupt, "bad group descriptor size {}", g.descriptor_size);
    const u32 per_bitmap = g.block_size * 8;
    if (g.inodes_per_group == 0 || g.inodes_per_group > per_bitmap || g.inodes_per_group < g.block_size / g.inode_size)
        return refuse(why, Error::corrupt, "bad inodes per group {}", g.inodes_per_group);
    u64 most = per_bitmap;
    if (bigalloc) {
        const u32 ratio_shift = s.log_cluster_size - s.log_block_size;
        if (s.log_cluster_size < s.log_block_size || s.log_cluster_size > 20)
            return refuse(why, Error::corrupt, "bad cluster size");
        most <<= ratio_shift;
    }
    if (g.blocks_per_group == 0 || g.blocks_per_group > most || g.blocks_per_group % 8 != 0)
        return refuse(why, Error::corrupt, "bad blocks per group {}", g.blocks_per_group);
    const u32 wanted_first = g.block_size == 1024 ? 1 : 0;
    if (g.first_data_block != wanted_first && !(bigalloc && g.first_data_block == 0))
        return refuse(why, Error::corrupt, "bad first data block {}", g.first_data_block);
    if (g.blocks <= g.first_data_block + 1) return refuse(why, Error::corrupt, "bad block count {}", g.blocks);

    const u64 groups = (g.blocks - g.first_data_block + g.blocks_per_group - 1) / g.blocks_per_group;
    if (groups * g.inodes_per_group != g.inodes || groups > ~u32{0})
        return refuse(why, Error::corrupt, "{} inodes do not fit {} groups", g.inodes, groups);
    g.groups = static_cast<u32>(groups);
    const u64 descriptor_blocks = (groups * g.descriptor_size + g.block_size - 1) / g.block_size;
    if (!g.has(kIncompatMetaBg) && descriptor_blocks >= g.blocks - g.first_data_block)
        return refuse(why, Error::corrupt, "group descriptors do not fit");
    if (g.first_meta_group > descriptor_blocks && g.has(kIncompatMetaBg))
        return refuse(why, Error::corrupt, "bad first meta block group {}", g.first_meta_group);
    return {};
}

}  // namespace

Result<Geometry> read_superblock(Bytes bytes, u64 device_bytes, MountText& why) {
    const auto found = ringlet::read_at<Superblock>(bytes, 0);
    if (!found || found->magic != kMagic) return refuse(why, Error::not_found, "no ext4 filesystem");
    const Superblock& s = *found;
    Geometry g;
    if (s.rev_level > 1) return refuse(why, Error::unsupported, "unsupported revision {}", u32{s.rev_level});
    if (s.rev_level == 1) {
        g.compat = s.feature_compat;
        g.incompat = s.feature_incompat;
        g.ro_compat = s.feature_ro_compat;
        g.inode_size = s.inode_size;
        g.first_inode = s.first_ino;
        if (g.has(kIncompat64bit)) g.descriptor_size = s.desc_size;
    }
    if (auto r = check_features(g, why); !r) return fail(r.error());
    if (g.checksums()) {
        if (static_cast<u8>(bytes[kChecksumType]) != 1)
            return refuse(why, Error::unsupported, "unsupported checksum type");
        const Bytes covered = bytes.first(offsetof(Superblock, checksum));
        if (crc32c(~0u, covered) != s.checksum) return refuse(why, Error::corrupt, "bad superblock checksum");
    }
    if (s.log_block_size > 6) return refuse(why, Error::corrupt, "bad block size");
    g.block_shift = 10 + s.log_block_size;
    g.block_size = 1u << g.block_shift;
    g.inodes = s.inodes_count;
    g.blocks = s.blocks_count_lo;
    g.free_blocks = s.free_blocks_count_lo;
    g.free_inodes = s.free_inodes_count;
    g.state = s.state;
    if (g.has(kIncompat64bit)) {
        g.blocks |= u64{s.blocks_count_hi} << 32;
        g.free_blocks |= u64{s.free_blocks_count_hi} << 32;
    }
    g.first_data_block = s.first_data_block;
    g.blocks_per_group = s.blocks_per_group;
    g.inodes_per_group = s.inodes_per_group;
    g.first_meta_group = s.first_meta_bg;
    g.reserved_descriptor_blocks = s.reserved_gdt_blocks;
    g.backup_groups[0] = s.backup_bgs[0];
    g.backup_groups[1] = s.backup_bgs[1];
    if (g.blocks > (device_bytes >> g.block_shift))
        return refuse(why, Error::corrupt, "{} blocks of {} bytes do not fit the device", g.blocks, g.block_size);
    if (g.first_inode < 11 || g.first_inode > g.inodes)
        return refuse(why, Error::corrupt, "bad first inode {}", g.first_inode);
    if (auto r = check_layout(s, g, why); !r) return fail(r.error());

    std::memcpy(g.uuid, s.uuid, sizeof(g.uuid));
    for (usize i = 0; i < 4; ++i) g.hash_seed[i] = s.hash_seed[i];
    g.hash_version = s.def_hash_version < 3 ? s.def_hash_version : u8{1};
    g.hash_unsigned = (s.flags & kFlagUnsignedHash) != 0;
    g.checksum_seed = g.has(kIncompatCsumSeed) ? u32{s.checksum_seed} : crc32c(~0u, std::as_bytes(std::span(g.uuid)));
    if ((g.compat & kCompatHasJournal) != 0) g.journal_inode = s.journal_inum;
    g.needs_recovery = g.has(kIncompatRecover);
    return g;
}

bool Geometry::group_has_superblock(u32 group) const {
    if (group == 0) return true;
    if ((compat & kCompatSparseSuper2) != 0) return group == backup_groups[0] || group == backup_groups[1];
    if (group == 1 || (ro_compat & kRoSparseSuper) == 0) return true;
    for (u64 base : {3, 5, 7})
        for (u64 power = base; power <= group; power *= base)
            if (power == group) return true;
    return false;
}

u32 Geometry::reserved_at_start(u32 group) const {
    const u32 own = group_has_superblock(group) ? 1 : 0;
    const u32 per_block = block_size / descriptor_size;
    const u32 meta_group = group / per_block;
    if (!has(kIncompatMetaBg) || meta_group < first_meta_group) {
        if (own == 0) return 0;
        const u32 all = (groups + per_block - 1) / per_block;
        return own + (has(kIncompatMetaBg) ? std::min(first_meta_group, all) : all) + reserved_descriptor_blocks;
    }
    const u32 place = group % per_block;  // copies in the first, the second and the last group of a meta group
    return own + (place == 0 || place == 1 || place == per_block - 1 ? 1 : 0);
}

void seal_superblock(MutableBytes superblock) {
    auto& s = *reinterpret_cast<Superblock*>(superblock.data());
    if ((s.feature_ro_compat & kRoMetadataCsum) == 0) return;
    constexpr usize kCovered = offsetof(Superblock, checksum);
    const u32 wrong = crc32c(~0u, Bytes(superblock).first(kCovered)) ^ s.checksum;
    s.algorithm_usage_bitmap =
        s.algorithm_usage_bitmap ^ crc32c_patch<kCovered - offsetof(Superblock, algorithm_usage_bitmap)>(wrong);
}

u64 Geometry::descriptor_block(u32 index) const {
    // They follow the superblock, which with 1 KiB blocks is block 1 even where the first data block is 0
    // (bigalloc).
    const u32 superblock_block = block_size == 1024 ? 1 : 0;
    if (!has(kIncompatMetaBg) || index < first_meta_group) return u64{superblock_block} + 1 + index;
    const u32 group = index * (block_size / descriptor_size);
    const u32 skip = block_size == 1024 && group == 0 && first_data_block == 0 ? 1 : 0;
    return u64{first_data_block} + u64{group} * blocks_per_group + (group_has_superblock(group) ? 1 : 0) + skip;
}

}  // namespace ringlet::fs::ext4
