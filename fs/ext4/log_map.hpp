// Where the journal lies on the disk. Context: thread; at() any.
#pragma once

#include "fs/block_device.hpp"
#include "lib/fixed_vector.hpp"

namespace ringlet::fs::ext4 {

class Volume;

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

}  // namespace ringlet::fs::ext4
