#include "fs/ext4/dir_block.hpp"

#include "lib/crc32c.hpp"

namespace ringlet::fs::ext4 {

usize entry_length(u16 rec_len, usize block_size) {
    if (rec_len == 0xffff || (rec_len == 0 && block_size == 65536)) return block_size;
    return rec_len & ~3u;
}

Result<Slot> read_slot(const Geometry& geometry, Bytes region, usize offset) {
    const auto header = ringlet::read_at<DirEntryHeader>(region, offset);
    if (!header) return fail(Error::corrupt);
    const usize length = entry_length(header->rec_len, geometry.block_size);
    // Without the file type feature its byte is the upper half of the name's length, always 0.
    const bool typed = geometry.has(kIncompatFiletype);
    if (length < sizeof(*header) || length > region.size() - offset || header->name_len > length - sizeof(*header) ||
        (!typed && header->inode != 0 && header->file_type != 0) || header->inode > geometry.inodes)
        return fail(Error::corrupt);
    Slot slot;
    slot.inode = header->inode;
    slot.at = offset;
    slot.next = offset + length;
    slot.file_type = typed ? header->file_type : 0;
    const Bytes name = region.subspan(offset + sizeof(*header), header->name_len);
    slot.name = {reinterpret_cast<const char*>(name.data()), name.size()};
    return slot;
}

Result<bool> has_room(const Geometry& geometry, Bytes block, usize name_length) {
    const Bytes entries = block.first(block.size() - (geometry.checksums() ? sizeof(DirTail) : 0));
    for (usize at = 0; at < entries.size();) {
        const Slot slot = TRY(read_slot(geometry, entries, at));
        const usize used = slot.inode == 0 ? 0 : entry_bytes(slot.name.size());
        if (slot.next - at >= used + entry_bytes(name_length)) return true;
        at = slot.next;
    }
    return false;
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
    put(0, entries_.size(), 0, {}, 0);
    make_tail();
}

void DirBlock::make_first(u32 self, u32 parent) {
    clear();
    put(0, entry_bytes(1), self, ".", file_type_of(NodeType::directory));
    put(entry_bytes(1), entries_.size() - entry_bytes(1), parent, "..", file_type_of(NodeType::directory));
}

Result<bool> DirBlock::insert(std::string_view name, u32 inode, u8 file_type) {
    const usize wanted = entry_bytes(name.size());
    for (usize at = 0; at < entries_.size();) {
        const Slot slot = TRY(read_slot(geometry_, entries_, at));
        const usize used = slot.inode == 0 ? 0 : entry_bytes(slot.name.size());
        const usize length = slot.next - at;
        if (length >= used && length - used >= wanted) {
            if (used != 0) set_length(at, used);
            put(at + used, length - used, inode, name, file_type);
            return true;
        }
        at = slot.next;
    }
    return false;
}

Result<> DirBlock::remove(usize offset) {
    std::optional<usize> before;
    for (usize at = 0; at < entries_.size();) {
        const Slot slot = TRY(read_slot(geometry_, entries_, at));
        if (at == offset) {
            if (slot.inode == 0) return fail(Error::not_found);
            if (before)
                set_length(*before, slot.next - *before);
            else
                put(at, slot.next - at, 0, {}, 0);
            return {};
        }
        before = at;
        at = slot.next;
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
