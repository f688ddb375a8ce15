// The ext4 disk format: Documentation/filesystems/ext4 in Linux, field names as there. Little-endian
// overlays.
#pragma once

#include <arch/crc32c.hpp>

#include "lib/endian.hpp"

namespace ringlet::fs::ext4 {

using arch::crc32c;  // of all metadata

inline constexpr u16 kMagic = 0xef53;
inline constexpr usize kSuperblockOffset = 1024, kSuperblockBytes = 1024;
inline constexpr u32 kRootInode = 2;

struct Superblock {
    le32 inodes_count, blocks_count_lo, r_blocks_count_lo, free_blocks_count_lo, free_inodes_count, first_data_block,
        log_block_size, log_cluster_size, blocks_per_group, clusters_per_group, inodes_per_group, mtime, wtime;
    le16 mnt_count, max_mnt_count, magic, state, errors, minor_rev_level;
    le32 lastcheck, checkinterval, creator_os, rev_level;
    le16 def_resuid, def_resgid;
    le32 first_ino;
    le16 inode_size, block_group_nr;
    le32 feature_compat, feature_incompat, feature_ro_compat;
    u8 uuid[16];
    char volume_name[16];
    char last_mounted[64];
    le32 algorithm_usage_bitmap;
    u8 prealloc_blocks, prealloc_dir_blocks;
    le16 reserved_gdt_blocks;
    u8 journal_uuid[16];
    le32 journal_inum, journal_dev, last_orphan;
    le32 hash_seed[4];
    u8 def_hash_version, jnl_backup_type;
    le16 desc_size;
    le32 default_mount_opts, first_meta_bg, mkfs_time, jnl_blocks[17];
    le32 blocks_count_hi, r_blocks_count_hi, free_blocks_count_hi;
    le16 min_extra_isize, want_extra_isize;
    le32 flags;
    u8 unused1[0x24c - 0x164];
    le32 backup_bgs[2];
    u8 unused2[0x270 - 0x254];
    le32 checksum_seed;
    u8 unused3[0x280 - 0x274];
    le32 orphan_file_inum;
    u8 unused4[0x3fc - 0x284];
    le32 checksum;
};
static_assert(sizeof(Superblock) == 1024);
static_assert(offsetof(Superblock, magic) == 0x38 && offsetof(Superblock, uuid) == 0x68);
static_assert(offsetof(Superblock, hash_seed) == 0xec && offsetof(Superblock, first_meta_bg) == 0x104);
static_assert(offsetof(Superblock, algorithm_usage_bitmap) == 0xc8);
static_assert(offsetof(Superblock, blocks_count_hi) == 0x150 && offsetof(Superblock, flags) == 0x160);
inline constexpr usize kChecksumType = 0x175;  ///< one byte in unused1

inline constexpr u32 kCompatHasJournal = 0x4, kCompatDirIndex = 0x20, kCompatSparseSuper2 = 0x200,
                     kCompatOrphanFile = 0x1000;

inline constexpr u32 kIncompatFiletype = 0x2, kIncompatRecover = 0x4, kIncompatMetaBg = 0x10, kIncompatExtents = 0x40,
                     kIncompat64bit = 0x80, kIncompatMmp = 0x100, kIncompatFlexBg = 0x200, kIncompatEaInode = 0x400,
                     kIncompatCsumSeed = 0x2000, kIncompatLargedir = 0x4000, kIncompatInlineData = 0x8000;
inline constexpr u32 kRoSparseSuper = 0x1, kRoLargeFile = 0x2, kRoHugeFile = 0x8, kRoGdtCsum = 0x10, kRoDirNlink = 0x20,
                     kRoExtraIsize = 0x40, kRoBigalloc = 0x200, kRoMetadataCsum = 0x400, kRoOrphanPresent = 0x1'0000;
inline constexpr u16 kStateValid = 1, kStateErrors = 2;
inline constexpr u32 kFlagSignedHash = 1, kFlagUnsignedHash = 2;

/// The upper half is there when descriptors have 64 bytes.
struct GroupDesc {
    le32 block_bitmap_lo, inode_bitmap_lo, inode_table_lo;
    le16 free_blocks_count_lo, free_inodes_count_lo, used_dirs_count_lo, flags;
    le32 exclude_bitmap_lo;
    le16 block_bitmap_csum_lo, inode_bitmap_csum_lo, itable_unused_lo, checksum;
    le32 block_bitmap_hi, inode_bitmap_hi, inode_table_hi;
    le16 free_blocks_count_hi, free_inodes_count_hi, used_dirs_count_hi, itable_unused_hi;
    le32 exclude_bitmap_hi;
    le16 block_bitmap_csum_hi, inode_bitmap_csum_hi;
    le32 reserved;
};
static_assert(sizeof(GroupDesc) == 64 && offsetof(GroupDesc, checksum) == 30);
inline constexpr u16 kGroupInodesUnused = 1, kGroupBlocksUnused = 2;

struct DiskInode {
    le16 mode, uid;
    le32 size_lo, atime, ctime, mtime, dtime;
    le16 gid, links_count;
    le32 blocks_lo, flags, version;
    u8 block[60];
    le32 generation, file_acl_lo, size_high, obso_faddr;
    le16 blocks_high, file_acl_high, uid_high, gid_high, checksum_lo, reserved;
};
static_assert(sizeof(DiskInode) == 128 && offsetof(DiskInode, block) == 40 && offsetof(DiskInode, checksum_lo) == 0x7c);

/// What follows in inodes larger than 128 bytes, as far as extra_isize reaches.
struct DiskInodeExtra {
    le16 extra_isize, checksum_hi;
    le32 ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra, version_hi, projid;
};
static_assert(sizeof(DiskInodeExtra) == 32);

inline constexpr u32 kInodeIndex = 0x1000, kInodeHugeFile = 0x4'0000, kInodeExtents = 0x8'0000, kInodeEncrypt = 0x800,
                     kInodeInlineData = 0x1000'0000, kInodeCasefold = 0x4000'0000;

struct ExtentHeader {
    le16 magic, entries, max, depth;
    le32 generation;
};
struct Extent {
    le32 block;
    le16 len, start_hi;
    le32 start_lo;
};
struct ExtentIndex {
    le32 block, leaf_lo;
    le16 leaf_hi, unused;
};
static_assert(sizeof(ExtentHeader) == 12 && sizeof(Extent) == 12 && sizeof(ExtentIndex) == 12);
inline constexpr u16 kExtentMagic = 0xf30a, kMaxExtentDepth = 5, kUnwrittenBias = 32768;

struct DirEntryHeader {
    le32 inode;
    le16 rec_len;
    u8 name_len, file_type;
};
struct DirTail {
    le32 reserved_zero1;
    le16 rec_len;
    u8 reserved_zero2, reserved_ft;
    le32 checksum;
};
static_assert(sizeof(DirEntryHeader) == 8 && sizeof(DirTail) == 12);
inline constexpr u8 kDirTailType = 0xde;

struct DxRootInfo {
    le32 reserved_zero;
    u8 hash_version, info_length, indirect_levels, unused_flags;
};
struct DxEntry {
    le32 hash, block;  ///< in the first entry `hash` holds DxCountLimit
};
struct DxCountLimit {
    le16 limit, count;
};
inline constexpr usize kDxRootInfo = 24, kDxRootEntries = 32, kDxNodeEntries = 8;

/// The end of a block of the orphan file (§"Orphan file"): inode numbers before it.
struct OrphanTail {
    le32 magic, checksum;
};
inline constexpr u32 kOrphanMagic = 0x0b10'ca04;

/// Begins a block of extended attributes, which several inodes may share.
struct XattrHeader {
    le32 magic, refcount, blocks, hash, checksum, reserved[3];
};
static_assert(sizeof(XattrHeader) == 32);

struct XattrEntry {
    u8 name_len, name_index;
    le16 value_offs;
    le32 value_inum, value_size, hash;
};
static_assert(sizeof(XattrEntry) == 16);
inline constexpr u32 kXattrMagic = 0xea02'0000;
inline constexpr u8 kXattrSystem = 7;

}  // namespace ringlet::fs::ext4
