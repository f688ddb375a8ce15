// MBR and GPT. Every number comes from the disk: each is checked against the disk's size before it is used.
#include "fs/partition.hpp"

#include <algorithm>

#include "kernel/mm/dma.hpp"
#include "lib/crc32.hpp"
#include "lib/endian.hpp"
#include "lib/format.hpp"

namespace ringlet::fs {
namespace {

struct MbrRow {
    u8 status;
    u8 first_chs[3];
    u8 type;
    u8 last_chs[3];
    le32 first;
    le32 sectors;
};
static_assert(sizeof(MbrRow) == 16);
constexpr usize kMbrRows = 446, kMbrSignature = 510;
constexpr u8 kTypeProtective = 0xee;

/// UEFI 2.10 table 5-5.
struct GptHeader {
    u8 signature[8];
    le32 revision, header_size, header_crc, reserved;
    le64 my_lba, alternate_lba, first_usable, last_usable;
    u8 disk_guid[16];
    le64 entries_lba;
    le32 entries, entry_size, entries_crc;
};
static_assert(sizeof(GptHeader) == 92);

struct GptEntry {
    u8 type_guid[16];
    u8 unique_guid[16];
    le64 first, last, attributes;
    u8 name[72];
};
static_assert(sizeof(GptEntry) == 128);

constexpr u32 kMaxGptEntries = 1024;
constexpr unsigned kMaxLogical = 64;  // links of the extended chain that are followed

bool is_extended(u8 type) {
    return type == 0x05 || type == 0x0f || type == 0x85;
}

/// A small window for reading a disk without a cache.
class Reader {
public:
    static Result<Reader> open(BlockDevice& disk) {
        const u32 block = disk.limits().block_size;
        if (block < kSectorSize || block > kPageSize || kPageSize % block != 0) return fail(Error::unsupported);
        auto memory = kernel::DmaRegion::allocate(kPageSize);
        if (!memory) return fail(memory.error());
        return Reader(disk, block, std::move(*memory));
    }
    u32 block_size() const { return block_; }
    u64 blocks() const { return disk_->sectors() / (block_ / kSectorSize); }

    /// One logical block, valid until the next call.
    Result<Bytes> block(u64 number) {
        if (number >= blocks()) return fail(Error::corrupt);
        if (memory_.bytes().empty()) return fail(Error::device_broken);  // abandoned
        const IoSegment segment{memory_.bytes().first(block_), memory_.addr()};
        BlockRequest request;
        request.op = BlockRequest::Op::read;
        request.lba = Lba(number * (block_ / kSectorSize));
        request.data = {&segment, 1};
        const auto done = disk_->run(request);
        if (request.quarantined) memory_.abandon();
        if (!done) return fail(done.error());
        return Bytes(segment.bytes);
    }

private:
    Reader(BlockDevice& disk, u32 block, kernel::DmaRegion memory)
        : disk_(&disk), block_(block), memory_(std::move(memory)) {}
    BlockDevice* disk_;
    u32 block_;
    kernel::DmaRegion memory_;
};

/// Adds a row; corrupt when it leaves the disk or overlaps another.
Result<> add_row(PartitionTable& table, u64 disk_sectors, PartitionTable::Row row) {
    if (row.sectors == 0 || row.first.raw == 0 || row.first.raw >= disk_sectors ||
        row.sectors > disk_sectors - row.first.raw)
        return fail(Error::corrupt);
    for (const auto& other : table.rows)
        if (row.first.raw < other.first.raw + other.sectors && other.first.raw < row.first.raw + row.sectors)
            return fail(Error::corrupt);
    if (!table.rows.try_push_back(row)) return fail(Error::no_space);
    return {};
}

/// The chain of extended boot records: each holds one logical partition, relative to itself, and the next
/// link, relative to the whole extended partition. Links must rise, so a loop is impossible; their number is
/// bounded too.
Result<> read_extended(Reader& reader, PartitionTable& table, u64 disk_sectors, u64 start, u64 sectors) {
    const u32 per_block = static_cast<u32>(reader.block_size() / kSectorSize);
    u64 at = start;
    unsigned index = 5;
    for (unsigned link = 0; link < kMaxLogical; ++link) {
        if (at % per_block != 0) return fail(Error::corrupt);
        const Bytes sector = TRY(reader.block(at / per_block));
        if (read_at<le16>(sector, kMbrSignature) != le16(0xaa55)) return fail(Error::corrupt);
        const MbrRow logical = *read_at<MbrRow>(sector, kMbrRows);
        const MbrRow next = *read_at<MbrRow>(sector, kMbrRows + sizeof(MbrRow));
        if (logical.type != 0 && logical.sectors != 0) {
            const u64 first = at + logical.first;
            if (first + logical.sectors > start + sectors) return fail(Error::corrupt);
            const auto added = add_row(table, disk_sectors, {index++, Lba(first), logical.sectors, logical.type});
            if (!added) return added;
        }
        if (next.type == 0 || next.sectors == 0) return {};
        if (!is_extended(next.type)) return fail(Error::corrupt);
        const u64 next_at = start + next.first;
        if (next_at <= at || next_at >= start + sectors) return fail(Error::corrupt);
        at = next_at;
    }
    return fail(Error::corrupt);
}

Result<PartitionTable> read_mbr(Reader& reader, const MbrRow (&rows)[4], u64 disk_sectors) {
    PartitionTable table;
    table.kind = TableKind::mbr;
    for (unsigned i = 0; i < 4; ++i) {
        const MbrRow& row = rows[i];
        if (row.type == 0 || row.sectors == 0 || is_extended(row.type)) continue;
        const auto added = add_row(table, disk_sectors, {i + 1, Lba(row.first), row.sectors, row.type});
        if (!added) return fail(added.error());
    }
    for (const MbrRow& row : rows) {
        if (!is_extended(row.type) || row.sectors == 0) continue;
        if (row.first == 0 || u64{row.first} + row.sectors > disk_sectors) return fail(Error::corrupt);
        const auto chain = read_extended(reader, table, disk_sectors, row.first, row.sectors);
        if (!chain) return fail(chain.error());
    }
    return table;
}

/// One copy of the GPT, its header in block `at`.
Result<PartitionTable> read_gpt(Reader& reader, u64 at, u64 disk_sectors) {
    const Bytes block = TRY(reader.block(at));
    const GptHeader header = *read_at<GptHeader>(block, 0);
    if (std::memcmp(header.signature, "EFI PART", 8) != 0) return fail(Error::not_found);
    if (header.header_size < sizeof(GptHeader) || header.header_size > reader.block_size()) return fail(Error::corrupt);
    constexpr std::byte kZero[4] = {};
    constexpr usize kCrcAt = offsetof(GptHeader, header_crc);
    u32 crc = crc32(0, block.first(kCrcAt));
    crc = crc32(crc, kZero);
    crc = crc32(crc, block.subspan(kCrcAt + 4, header.header_size - kCrcAt - 4));
    if (crc != header.header_crc || header.my_lba != at) return fail(Error::corrupt);

    const u32 entry_size = header.entry_size;
    const u64 blocks = reader.blocks();
    if (entry_size < sizeof(GptEntry) || entry_size > reader.block_size() || (entry_size & (entry_size - 1)) != 0 ||
        header.entries == 0 || header.entries > kMaxGptEntries || header.entries_lba >= blocks ||
        header.first_usable > header.last_usable || header.last_usable >= blocks)
        return fail(Error::corrupt);

    PartitionTable table;
    table.kind = TableKind::gpt;
    const u32 per_block = reader.block_size() / entry_size;
    const u32 scale = static_cast<u32>(reader.block_size() / kSectorSize);
    crc = 0;
    std::optional<Error> wrong;  // about the rows; the checksum over all entries is judged first
    for (u32 i = 0; i < header.entries; i += per_block) {
        const Bytes entries = TRY(reader.block(header.entries_lba + i / per_block));
        const u32 here = std::min(per_block, header.entries - i);
        crc = crc32(crc, entries.first(usize{here} * entry_size));
        for (u32 k = 0; k < here; ++k) {
            const GptEntry e = *read_at<GptEntry>(entries, usize{k} * entry_size);
            if (std::ranges::all_of(e.type_guid, [](u8 b) { return b == 0; }) || wrong) continue;
            if (e.first < header.first_usable || e.last > header.last_usable || e.first > e.last) {
                wrong = Error::corrupt;
                continue;
            }
            const u64 sectors = (e.last - e.first + 1) * scale;
            const auto added = add_row(table, disk_sectors, {i + k + 1, Lba(e.first * scale), sectors, 0});
            if (!added) wrong = added.error();
        }
    }
    if (crc != header.entries_crc) return fail(Error::corrupt);
    if (wrong) return fail(*wrong);
    return table;
}

}  // namespace

Result<PartitionTable> read_partition_table(BlockDevice& disk) {
    if (disk.sectors() == 0) return PartitionTable{};
    Reader reader = TRY(Reader::open(disk));
    if (reader.blocks() < 2) return PartitionTable{};
    const u64 disk_sectors = disk.sectors();
    const Bytes first = TRY(reader.block(0));
    const bool signature = read_at<le16>(first, kMbrSignature) == le16(0xaa55);
    MbrRow rows[4];
    std::memcpy(rows, first.data() + kMbrRows, sizeof(rows));
    bool protective = false, plausible = signature;
    for (const MbrRow& row : rows) {
        protective |= signature && row.type == kTypeProtective;
        plausible = plausible && (row.status & 0x7f) == 0;  // a boot sector's code is not a table
    }
    if (!plausible && !protective) return PartitionTable{};
    if (protective) {
        auto primary = read_gpt(reader, 1, disk_sectors);
        if (primary || primary.error() == Error::io) return primary;
        auto backup = read_gpt(reader, reader.blocks() - 1, disk_sectors);
        if (!backup) return fail(backup.error() == Error::io ? Error::io : Error::corrupt);
        backup->from_backup = true;
        return backup;
    }
    auto table = read_mbr(reader, rows, disk_sectors);
    // All rows empty: a signature alone, as on a filesystem's boot sector.
    if (table && table->rows.empty()) return PartitionTable{};
    return table;
}

Partition::Partition(BlockDevice& parent, unsigned index, Lba first, u64 sectors)
    : parent_(&parent), first_(first), sectors_(sectors) {
    name_length_ = format_to(name_, "{}{}", parent.name(), index).size();
}

void Partition::submit(BlockRequest& r) {
    using Op = BlockRequest::Op;
    u64 length = 0;
    bool whole = true;
    if (r.op == Op::read || r.op == Op::write) {
        u64 bytes = 0;
        for (const IoSegment& s : r.data) bytes += s.bytes.size();
        whole = bytes % kSectorSize == 0;
        length = bytes / kSectorSize;
    } else if (r.op != Op::flush) {
        length = r.sectors;
    }
    const bool inside = r.lba.raw <= sectors_ && length <= sectors_ - r.lba.raw;
    if (r.op != Op::flush && (!whole || !inside)) {
        r.error = Error::invalid;
        r.done(r);
        return;
    }
    r.lba += first_.raw;
    parent_->submit(r);
}

}  // namespace ringlet::fs
