#include "fs/ext4/dir_block.hpp"

namespace ringlet::fs::ext4 {

namespace {

usize used_by(const Slot& slot) {
    return slot.inode == 0 ? 0 : entry_bytes(slot.name.size());
}

}  // namespace

Result<std::optional<usize>> room_in(const Geometry& geometry, Bytes block, usize name_length) {
    const Bytes entries = block.first(block.size() - (geometry.checksums() ? sizeof(DirTail) : 0));
    const usize wanted = entry_bytes(name_length);
    for (usize at = 0; at < entries.size();) {
        const auto [header, length] = TRY(read_record(geometry, entries, at));
        if (length >= wanted + (header.inode == 0 ? 0 : entry_bytes(header.name_len))) return std::optional(at);
        at += length;
    }
    return std::optional<usize>();
}

u8 file_type_of(NodeType type) {
    switch (type) {
    case NodeType::file:
        return 1;
    case NodeType::directory:
        return 2;
    case NodeType::char_device:
        return 3;
    case NodeType::block_device:
        return 4;
    case NodeType::fifo:
        return 5;
    case NodeType::socket:
        return 6;
    case NodeType::symlink:
        return 7;
    }
    return 0;
}

void seal_entries(MutableBytes block, u32 seed) {
    // Only these four bytes: somebody may be reading the rest.
    const usize at = block.size() - sizeof(DirTail);
    const le32 crc = crc32c(seed, Bytes(block).first(at));
    std::memcpy(block.data() + at + offsetof(DirTail, checksum), &crc, sizeof(crc));
}

void DirBlock::set_length(usize offset, usize length) {
    const le16 rec_len = static_cast<u16>(length == 65536 ? 0xffff : length);
    std::memcpy(entries_.data() + offset + offsetof(DirEntryHeader, rec_len), &rec_len, sizeof(rec_len));
}

void DirBlock::put(usize offset, usize length, u32 inode, std::string_view name, u8 file_type) {
    DirEntryHeader h;
    h.inode = inode;
    h.name_len = static_cast<u8>(name.size());
    h.file_type = geometry_.has(kIncompatFiletype) ? file_type : u8{0};
    std::memcpy(entries_.data() + offset, &h, sizeof(h));
    if (!name.empty()) std::memcpy(entries_.data() + offset + sizeof(h), name.data(), name.size());
    set_length(offset, length);
}

void DirBlock::make_tail() {
    if (!geometry_.checksums()) return;
    DirTail tail;
    tail.reserved_zero1 = 0u;
    tail.rec_len = u16{sizeof(DirTail)};
    tail.reserved_zero2 = 0;
    tail.reserved_ft = kDirTailType;
    tail.checksum = 0u;
    std::memcpy(block_.data() + entries_.size(), &tail, sizeof(tail));
}

void DirBlock::clear() {
    std::memset(block_.data(), 0, block_.size());
    last_ = 0;
    put(0, entries_.size(), 0, {}, 0);
    make_tail();
}

void DirBlock::make_first(u32 self, u32 parent) {
    clear();
    put(0, entry_bytes(1), self, ".", file_type_of(NodeType::directory));
    put(entry_bytes(1), entries_.size() - entry_bytes(1), parent, "..", file_type_of(NodeType::directory));
}

Result<bool> DirBlock::insert_at(usize record, std::string_view name, u32 inode, u8 file_type) {
    const Slot slot = TRY(read_slot(geometry_, entries_, record));
    const usize used = used_by(slot), length = slot.next - record;
    if (length < used + entry_bytes(name.size())) return false;
    if (used != 0) set_length(record, used);
    put(record + used, length - used, inode, name, file_type);
    last_ = record + used;
    return true;
}

Result<bool> DirBlock::insert(std::string_view name, u32 inode, u8 file_type) {
    const bool behind = TRY(insert_at(last_, name, inode, file_type));
    if (behind) return true;
    const auto record = TRY(room_in(geometry_, block_, name.size()));
    return record ? insert_at(*record, name, inode, file_type) : Result<bool>(false);
}

Result<> DirBlock::remove(usize offset) {
    std::optional<usize> before;
    for (usize at = 0; at < entries_.size();) {
        const auto [header, length] = TRY(read_record(geometry_, entries_, at));
        if (at == offset) {
            if (header.inode == 0) return fail(Error::not_found);
            last_ = before.value_or(at);
            if (before)
                set_length(*before, at + length - *before);
            else
                put(at, length, 0, {}, 0);
            return {};
        }
        before = at;
        at += length;
    }
    return fail(Error::not_found);
}

Result<> DirBlock::replace(usize offset, u32 inode, u8 file_type) {
    const Slot slot = TRY(read_slot(geometry_, entries_, offset));
    if (slot.inode == 0) return fail(Error::not_found);
    auto h = *ringlet::read_at<DirEntryHeader>(entries_, offset);
    h.inode = inode;
    if (geometry_.has(kIncompatFiletype)) h.file_type = file_type;
    std::memcpy(entries_.data() + offset, &h, sizeof(h));
    return {};
}

}  // namespace ringlet::fs::ext4
