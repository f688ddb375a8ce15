// What the superblock says, checked once: every later computation may trust these numbers. Context: any.
#pragma once

#include "fs/ext4/ext4.hpp"
#include "fs/ext4/layout.hpp"
#include "lib/bytes.hpp"

namespace ringlet::fs::ext4 {

struct Geometry {
    u32 block_size = 0, block_shift = 0;
    u64 blocks = 0;
    u32 inodes = 0, first_inode = 11;
    u32 first_data_block = 0;
    u32 blocks_per_group = 0, inodes_per_group = 0, groups = 0;
    u32 inode_size = 128, descriptor_size = 32;
    u32 compat = 0, incompat = 0, ro_compat = 0;
    u32 first_meta_group = 0;  ///< in descriptor blocks
    u32 reserved_descriptor_blocks = 0;
    u32 backup_groups[2] = {};
    u32 checksum_seed = 0;
    u32 hash_seed[4] = {};
    bool hash_unsigned = false;
    u8 hash_version = 0;  ///< for new indexes
    u8 uuid[16] = {};
    u32 journal_inode = 0;  ///< 0: no journal, or not on this device
    bool needs_recovery = false;
    u16 state = 0;
    u64 free_blocks = 0, free_inodes = 0;

    /// Without a journal, and the mark "clean" is missing: its last user came to no end.
    bool was_cut_off() const { return (compat & kCompatHasJournal) == 0 && (state & kStateValid) == 0; }
    bool has_descriptor_checksums() const { return (ro_compat & (kRoGdtCsum | kRoMetadataCsum)) != 0; }
    bool checksums() const { return (ro_compat & kRoMetadataCsum) != 0; }
    bool has(u32 incompat_bit) const { return (incompat & incompat_bit) != 0; }
    /// A block that data or metadata may live in.
    bool contains(u64 block) const { return block > first_data_block && block < blocks; }
    bool contains(u64 block, u64 count) const { return contains(block) && count <= blocks - block; }
    /// The block that holds descriptor block `index` (§"Meta Block Groups").
    u64 descriptor_block(u32 index) const;
    bool group_has_superblock(u32 group) const;
    /// Blocks at the start of `group` that copies of the superblock and the descriptors take.
    u32 reserved_at_start(u32 group) const;
};

/// Makes the 1024 bytes of a superblock agree with their checksum, if they have one, once fields of the first 512 were
/// changed. The checksum stays as it is, and a field that nobody uses is changed until it is right: so a new superblock
/// differs from the old one in one sector, and no power cut can leave half of it.
void seal_superblock(MutableBytes superblock);

/// Judges the 1024 bytes of a superblock against a device of `device_bytes`. On failure `why` has the reason
/// in words; on success it may hold a warning.
Result<Geometry> read_superblock(Bytes bytes, u64 device_bytes, MountText& why);

}  // namespace ringlet::fs::ext4
