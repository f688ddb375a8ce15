// What a crash left in the journal, put where it belongs: jbd2 recovery. Context: thread, at mount, before anybody else
// uses the filesystem.
#pragma once

#include "fs/ext4/journal_layout.hpp"
#include "fs/ext4/volume.hpp"
#include "lib/fixed_vector.hpp"

namespace ringlet::fs::ext4 {

/// Where the log's blocks are on the disk. Block numbers of the filesystem, validated.
class LogMap {
public:
    struct Piece {
        u32 first = 0;  ///< block of the log
        u64 physical = 0;
        u32 length = 0;
    };
    /// Reads the map of inode `number`, all of it. corrupt, io, no_memory; unsupported: more than kMaxPieces pieces.
    static Result<LogMap> read(Volume& volume, u32 number);
    u32 blocks() const { return blocks_; }
    u32 block_size() const { return block_size_; }
    /// The piece that `block` (< blocks()) lies in.
    Piece at(u32 block) const;

private:
    static constexpr usize kMaxPieces = 64;
    FixedVector<Piece, kMaxPieces> pieces_;
    u32 blocks_ = 0, block_size_ = 0;
};

/// Judges block 0 of the log. corrupt, unsupported.
Result<JournalFormat> read_journal_superblock(Bytes block, u32 filesystem_block_size, u32 log_blocks);

struct ReplayResult {
    u32 transactions = 0;
    u64 blocks = 0;         ///< written to their places
    u64 revoked = 0;        ///< not written, because freed later
    u32 next_sequence = 0;  ///< for the first transaction of the new log
};

/// Replays the committed transactions of the log and marks it empty. Everything is checked before anything is written:
/// on an error nothing has changed, unless it is io. corrupt: a checksum or number cannot be right.
Result<ReplayResult> replay_journal(BlockDevice& device, const LogMap& log, u64 filesystem_blocks);

}  // namespace ringlet::fs::ext4
