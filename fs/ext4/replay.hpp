// What a crash left in the journal, put where it belongs: jbd2 recovery. Context: thread, at mount, before anybody else
// uses the filesystem.
#pragma once

#include "fs/ext4/journal_layout.hpp"
#include "fs/ext4/log_map.hpp"

namespace ringlet::fs::ext4 {

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
