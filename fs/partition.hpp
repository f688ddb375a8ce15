// Which part of a disk holds the filesystem: the whole disk, an MBR partition (primary, or logical in the
// extended chain), or a GPT partition (UEFI 2.10 §5.3; both headers and their checksums). Context: thread.
#pragma once

#include "fs/block_device.hpp"
#include "lib/fixed_vector.hpp"

namespace ringlet::fs {

/// A window on another device. Requests that leave it are completed with Error::invalid.
class Partition final : public BlockDevice {
public:
    Partition() = default;
    /// `parent` outlives it; [first, first + sectors) lies inside the parent.
    Partition(BlockDevice& parent, unsigned index, Lba first, u64 sectors);

    std::string_view name() const override { return {name_, name_length_}; }
    u64 sectors() const override { return sectors_; }
    bool read_only() const override { return parent_->read_only(); }
    BlockLimits limits() const override { return parent_->limits(); }
    u32 generation() const override { return parent_->generation(); }
    BlockIdentity identity() override { return parent_->identity(); }
    WriteCache write_cache() const override { return parent_->write_cache(); }
    Result<> set_write_cache(WriteCache mode) override { return parent_->set_write_cache(mode); }
    Result<BlockLifetime> lifetime() override { return parent_->lifetime(); }
    void submit(BlockRequest& r) override;
    void flush_submissions() override { parent_->flush_submissions(); }
    Lba first() const { return first_; }

private:
    BlockDevice* parent_ = nullptr;
    Lba first_;
    u64 sectors_ = 0;
    char name_[16] = {};  ///< "vda1"
    usize name_length_ = 0;
};

enum class TableKind : u8 { none, mbr, gpt };

struct PartitionTable {
    struct Row {
        unsigned index = 0;  ///< 1 = "vda1"
        Lba first;
        u64 sectors = 0;
        u8 mbr_type = 0;  ///< 0 for GPT
    };
    TableKind kind = TableKind::none;  ///< none: a whole disk
    bool from_backup = false;          ///< the primary GPT was damaged
    FixedVector<Row, 32> rows;
};

/// Reads the table. corrupt: there is one, and it cannot be right (overlapping, outside the disk, bad
/// checksums in both copies). A disk without a table gives kind `none`.
Result<PartitionTable> read_partition_table(BlockDevice& disk);

/// A view of one row.
inline Partition open_partition(BlockDevice& disk, const PartitionTable::Row& row) {
    return Partition(disk, row.index, row.first, row.sectors);
}

}  // namespace ringlet::fs
