// The journal's disk format (jbd2: Documentation/filesystems/ext4/journal.rst in Linux, field names as there).
// Big-endian, unlike the filesystem around it.
#pragma once

#include "fs/ext4/layout.hpp"
#include "lib/bytes.hpp"

namespace ringlet::fs::ext4 {

inline constexpr u32 kJournalMagic = 0xc03b'3998;
inline constexpr u32 kJournalDescriptor = 1, kJournalCommit = 2, kJournalSuperV1 = 3, kJournalSuperV2 = 4,
                     kJournalRevoke = 5;

struct JournalHeader {
    be32 magic, blocktype, sequence;
};
static_assert(sizeof(JournalHeader) == 12);

struct JournalSuperblock {
    JournalHeader header;
    be32 blocksize, maxlen, first, sequence, start, error;
    be32 feature_compat, feature_incompat, feature_ro_compat;
    u8 uuid[16];
    be32 nr_users, dynsuper, max_transaction, max_trans_data;
    u8 checksum_type;
    u8 padding2[3];
    be32 num_fc_blocks, head;
    u8 padding[160];
    be32 checksum;
    u8 users[768];
};
static_assert(sizeof(JournalSuperblock) == 1024 && offsetof(JournalSuperblock, checksum) == 0xfc);

inline constexpr u32 kJournalIncompatRevoke = 1, kJournalIncompat64bit = 2, kJournalIncompatAsync = 4,
                     kJournalIncompatCsumV2 = 8, kJournalIncompatCsumV3 = 0x10, kJournalIncompatFastCommit = 0x20;
inline constexpr u8 kJournalCrc32c = 4;

inline constexpr u32 kTagEscape = 1, kTagSameUuid = 2, kTagDeleted = 4, kTagLast = 8;

/// With checksum version 3; older tags are read field by field (replay.cpp).
struct JournalTag3 {
    be32 blocknr, flags, blocknr_high, checksum;
};
static_assert(sizeof(JournalTag3) == 16);

struct JournalRevokeHeader {
    JournalHeader header;
    be32 count;  ///< bytes in use, this header included
};
static_assert(sizeof(JournalRevokeHeader) == 16);

struct JournalCommitBlock {
    JournalHeader header;
    u8 chksum_type, chksum_size, padding[2];
    be32 chksum[8];
    be64 commit_sec;
    be32 commit_nsec;
};
static_assert(sizeof(JournalCommitBlock) == 60 && offsetof(JournalCommitBlock, chksum) == 16);

/// The last word of a descriptor or revoke block, with checksums.
inline constexpr usize kJournalTail = 4;

/// The checksum of `block` whose word at `at` counts as zero.
inline u32 journal_checksum(u32 seed, Bytes block, usize at) {
    constexpr std::byte kZero[4] = {};
    u32 crc = crc32c(seed, block.first(at));
    crc = crc32c(crc, kZero);
    return crc32c(crc, block.subspan(at + 4));
}

/// What the journal's superblock says, checked: every later computation may trust these numbers.
struct JournalFormat {
    u32 block_size = 0;
    u32 length = 0;  ///< blocks of the log, its superblock (block 0) included
    u32 first = 0;   ///< the first block that transactions may use
    u32 sequence = 0, start = 0;
    u32 incompat = 0;
    u32 seed = 0;
    bool has(u32 bit) const { return (incompat & bit) != 0; }
    bool checksums() const { return has(kJournalIncompatCsumV2 | kJournalIncompatCsumV3); }
    u32 after(u32 block, u32 count = 1) const {
        const u32 usable = length - first;
        return first + (block - first + count) % usable;
    }
};

}  // namespace ringlet::fs::ext4
