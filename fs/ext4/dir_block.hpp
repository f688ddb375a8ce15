// One block of directory entries (§"Linear Directories"): a chain of records that fills it, then the checksum's tail.
// Bytes only, no I/O. Nothing in it is believed: every record is checked before it is used. Context: the owner of
// bytes.
#pragma once

#include <optional>
#include <string_view>

#include "fs/ext4/geometry.hpp"

namespace ringlet::fs::ext4 {

/// An entry of a directory, validated: the name lies inside the region, the inode number inside the filesystem.
struct Slot {
    u32 inode = 0;     ///< 0: unused
    usize at = 0;      ///< offset of the record
    usize next = 0;    ///< offset of the following one
    u8 file_type = 0;  ///< 0: unknown
    std::string_view name;
};

/// The length of a record; the two encodings that do not fit 16 bits are for blocks of 64 KiB.
constexpr usize entry_length(u16 rec_len, usize block_size) {
    if (rec_len == 0xffff || (rec_len == 0 && block_size == 65536)) return block_size;
    return rec_len & ~3u;
}
/// Bytes that an entry with such a name needs.
constexpr usize entry_bytes(usize name_length) {
    return align_up<usize>(sizeof(DirEntryHeader) + name_length, 4);
}
/// A record of which only the length was checked: enough to pass over it. Inline: whoever looks for a name, or for
/// room, passes over hundreds.
struct Record {
    DirEntryHeader header;
    usize length = 0;  ///< at least that of the header, and inside the region
};
/// The record at `offset` < region.size(). corrupt.
inline Result<Record> read_record(const Geometry& geometry, Bytes region, usize offset) {
    Record r;
    if (region.size() - offset < sizeof(r.header)) return fail(Error::corrupt);
    std::memcpy(&r.header, region.data() + offset, sizeof(r.header));
    r.length = entry_length(r.header.rec_len, geometry.block_size);
    if (r.length < sizeof(r.header) || r.length > region.size() - offset) return fail(Error::corrupt);
    return r;
}
/// The record at `offset` < region.size(), with all that is in it checked. corrupt.
inline Result<Slot> read_slot(const Geometry& geometry, Bytes region, usize offset) {
    const auto [header, length] = TRY(read_record(geometry, region, offset));
    // Without the file type feature its byte is the upper half of the name's length, always 0.
    const bool typed = geometry.has(kIncompatFiletype);
    if (header.name_len > length - sizeof(header) || (!typed && header.inode != 0 && header.file_type != 0) ||
        header.inode > geometry.inodes)
        return fail(Error::corrupt);
    Slot slot;
    slot.inode = header.inode;
    slot.at = offset;
    slot.next = offset + length;
    slot.file_type = typed ? header.file_type : 0;
    const Bytes name = region.subspan(offset + sizeof(header), header.name_len);
    slot.name = {reinterpret_cast<const char*>(name.data()), name.size()};
    return slot;
}

/// The record of `block`, which has entries, in or behind which an entry with so long a name fits; nothing: none.
/// corrupt.
Result<std::optional<usize>> room_in(const Geometry& geometry, Bytes block, usize name_length);

/// A block to be changed. `tail`: with a checksum behind the entries.
class DirBlock {
public:
    DirBlock(const Geometry& geometry, MutableBytes block)
        : geometry_(geometry), block_(block),
          entries_(block.first(block.size() - (geometry.checksums() ? sizeof(DirTail) : 0))) {}

    /// No entries.
    void clear();
    /// "." and "..", as every directory's first block begins.
    void make_first(u32 self, u32 parent);
    /// Adds an entry where there is room. False: there is none. corrupt.
    Result<bool> insert(std::string_view name, u32 inode, u8 file_type);
    /// Adds it at `record`, which room_in() found. False: there is no room. corrupt.
    Result<bool> insert_at(usize record, std::string_view name, u32 inode, u8 file_type);
    /// Makes the record at `offset` unused, joined with the one before it. not_found: no used record begins there;
    /// corrupt.
    Result<> remove(usize offset);
    /// Lets the entry at `offset` mean another inode.
    Result<> replace(usize offset, u32 inode, u8 file_type);
    MutableBytes entries() const { return entries_; }

private:
    void put(usize offset, usize length, u32 inode, std::string_view name, u8 file_type);
    void set_length(usize offset, usize length);
    void make_tail();

    const Geometry& geometry_;
    MutableBytes block_, entries_;
    usize last_ = 0;  ///< the record made last: what comes in one after the other fits behind it
};

/// Seal: the checksum in the tail of a block of entries.
void seal_entries(MutableBytes block, u32 seed);
/// As DirEntryHeader::file_type has it.
u8 file_type_of(NodeType type);

}  // namespace ringlet::fs::ext4
