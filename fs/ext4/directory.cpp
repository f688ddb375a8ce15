// Directories read from front to back. The blocks of an index look like unused entries to such a reader, so
// this works for every directory; index.cpp is the fast way to one name.
#include "fs/ext4/index.hpp"
#include "fs/ext4/volume.hpp"

namespace ringlet::fs::ext4 {
namespace {

NodeType entry_type(u8 file_type) {
    constexpr NodeType kTypes[] = {NodeType::file,         NodeType::file, NodeType::directory, NodeType::char_device,
                                   NodeType::block_device, NodeType::fifo, NodeType::socket,    NodeType::symlink};
    return file_type < std::size(kTypes) ? kTypes[file_type] : NodeType::file;
}

/// §"Directory Entry Tail": the checksum of a block of entries.
bool leaf_is_good(Bytes block, u32 seed) {
    const usize at = block.size() - sizeof(DirTail);
    const DirTail tail = *ringlet::read_at<DirTail>(block, at);
    return tail.reserved_zero1 == 0 && tail.rec_len == sizeof(DirTail) && tail.reserved_ft == kDirTailType &&
           crc32c(seed, block.first(at)) == tail.checksum;
}

/// §"Hash Tree Directories": the checksum behind the last possible entry of an index block.
bool index_is_good(Bytes block, usize entries_at, u32 seed) {
    const auto counts = ringlet::read_at<DxCountLimit>(block, entries_at);
    const usize tail = entries_at + usize{counts->limit} * sizeof(DxEntry);
    if (counts->count > counts->limit || tail + 8 > block.size()) return false;
    return index_checksum(block, entries_at, *counts, seed) == *ringlet::read_at<le32>(block, tail + 4);
}

}  // namespace

u32 index_checksum(Bytes block, usize entries_at, DxCountLimit counts, u32 seed) {
    constexpr std::byte kZero[4] = {};
    const usize tail = entries_at + usize{counts.limit} * sizeof(DxEntry);
    const u32 crc = crc32c(seed, block.first(entries_at + usize{counts.count} * sizeof(DxEntry)));
    return crc32c(crc32c(crc, block.subspan(tail, 4)), kZero);
}

/// A block of this directory; its checksum was verified once. `kind` says what the caller is about to take it
/// for.
Result<Ext4Inode::DirectoryBlock> Ext4Inode::directory_block(u64 logical, Check kind) {
    if (logical >= file_blocks()) return fail(Error::corrupt);
    const Run run = TRY(map(logical));
    if (run.reads_zeros()) return fail(Error::corrupt);
    DirectoryBlock found{TRY(volume_.cache().get(BlockNo(run.physical))), run.physical};
    const BlockRef& block = found.block;
    const u8 bit = static_cast<u8>(kind);
    if (!geometry().checksums() || block.verified(bit)) return found;
    const DirEntryHeader first = *ringlet::read_at<DirEntryHeader>(block.bytes(), 0);
    const bool whole = first.inode == 0 && entry_length(first.rec_len, block.bytes().size()) == block.bytes().size();
    bool good;
    if (is_indexed() && logical == 0)
        good = index_is_good(block.bytes(), kDxRootEntries, seed_);
    else if (is_indexed() && whole)
        good = index_is_good(block.bytes(), kDxNodeEntries, seed_);
    else
        good = kind == Check::directory && leaf_is_good(block.bytes(), seed_);
    if (!good) return fail(Error::corrupt);
    block.mark_verified(bit);
    return found;
}

/// `name` among the entries from `offset` on.
Result<std::optional<Ext4Inode::Place>> Ext4Inode::find_in(Bytes region, usize offset, u64 physical,
                                                           std::string_view name) const {
    const auto last = static_cast<std::byte>(name.back());
    for (usize length; offset < region.size(); offset += length) {
        const Record record = TRY(read_record(geometry(), region, offset));
        length = record.length;
        if (record.header.name_len != name.size()) continue;
        if (name.size() > length - sizeof(DirEntryHeader)) return fail(Error::corrupt);
        // Neighbours often begin alike: the last byte first.
        if (region[offset + sizeof(DirEntryHeader) + name.size() - 1] != last) continue;
        const Slot slot = TRY(read_slot(geometry(), region, offset));
        if (slot.inode != 0 && slot.name == name) return std::optional(Place{slot.inode, physical, offset});
    }
    return std::optional<Place>();
}

Result<std::optional<Ext4Inode::Place>> Ext4Inode::find_linear(std::string_view name) {
    const u64 blocks = file_blocks();
    for (u64 logical = 0; logical < blocks; ++logical) {
        const DirectoryBlock at = TRY(directory_block(logical, Check::directory));
        const auto found = TRY(find_in(at.block.bytes(), 0, at.physical, name));
        if (found) return found;
    }
    return std::optional<Place>();
}

Result<std::optional<Ext4Inode::Place>> Ext4Inode::find(std::string_view name) {
    if (name.empty()) return std::optional<Place>();
    if (is_inline()) return find_inline(name);
    if (name == "..") {
        // Always in the first block, in front of an index too.
        const DirectoryBlock at = TRY(directory_block(0, Check::directory));
        return find_in(at.block.bytes(), 0, at.physical, name);
    }
    if (!is_indexed()) return find_linear(name);
    auto indexed = find_indexed(name);
    // An index that cannot be right (or whose hash is unknown) costs speed, not files: the entries are all there.
    if (!indexed && (indexed.error() == Error::corrupt || indexed.error() == Error::unsupported))
        return find_linear(name);
    return indexed;
}

Result<Ref<Inode>> Ext4Inode::lookup(std::string_view name) {
    if (type_ != NodeType::directory) return fail(Error::not_directory);
    if (name.empty() || name.size() > kNameMax) return fail(name.empty() ? Error::not_found : Error::name_too_long);
    if (name == "." || (name == ".." && number_ == kRootInode)) return Ref<Inode>::share(*this);
    // Names are forgotten before they change, by who has the tree alone: what is known without it holds at this moment.
    if (Ref<Inode> known = volume_.known(number_, name)) return known;
    const RwLock::Shared names(volume_.tree());
    if (links() == 0) return fail(Error::not_found);  // removed, and still open
    const auto found = TRY(find(name));
    if (!found) return fail(Error::not_found);
    Ref<Inode> inode = TRY(volume_.inode(found->inode));
    if (name != "..") volume_.remember_name(static_cast<Ext4Inode&>(*inode), number_, name);
    return inode;
}

/// The first used entry at or after `offset`, which is moved behind it; false at the end of the region.
Result<bool> Ext4Inode::entry_in(Bytes region, usize& offset, DirEntry& out) const {
    while (offset < region.size()) {
        const Slot slot = TRY(read_slot(geometry(), region, offset));
        offset = slot.next;
        if (slot.inode == 0 || slot.name.empty()) continue;
        // What no lookup can find is not shown: a '/' in a name would be a trap for whoever builds a path of
        // it.
        if (slot.name.find('/') != slot.name.npos || slot.name.find('\0') != slot.name.npos)
            return fail(Error::corrupt);
        out.inode = slot.inode;
        out.type = entry_type(slot.file_type);
        out.length = static_cast<u8>(slot.name.size());
        std::memcpy(out.text, slot.name.data(), slot.name.size());
        return true;
    }
    return false;
}

Result<bool> Ext4Inode::next_linear(u64& cookie, DirEntry& out) {
    const u32 shift = geometry().block_shift;
    while (cookie < size()) {
        const DirectoryBlock at = TRY(directory_block(cookie >> shift, Check::directory));
        const BlockRef& block = at.block;
        const usize wanted = static_cast<usize>(cookie & (block.bytes().size() - 1));
        // The cookie may come from anywhere: find the first entry that begins at or after it.
        usize offset = 0;
        while (offset < wanted) offset = TRY(read_slot(geometry(), block.bytes(), offset)).next;
        const u64 base = cookie >> shift << shift;
        const bool found = TRY(entry_in(block.bytes(), offset, out));
        cookie = base + offset;
        if (found) return true;
    }
    return false;
}

Result<bool> Ext4Inode::next_of(u64& cookie, DirEntry& out) {
    if (cookie > size() && !is_inline()) return false;
    return is_inline() ? next_inline(cookie, out) : next_linear(cookie, out);
}

Result<bool> Ext4Inode::next_entry(u64& cookie, DirEntry& out) {
    if (type_ != NodeType::directory) return fail(Error::not_directory);
    Ref<Inode> child;  // dropped after the lock
    const RwLock::Shared names(volume_.tree());
    if (links() == 0) return false;
    const bool found = TRY(next_of(cookie, out));
    if (found && !geometry().has(kIncompatFiletype)) {
        child = TRY(volume_.inode(static_cast<u32>(out.inode)));
        out.type = child->type();
    }
    return found;
}

Result<bool> Ext4Inode::is_empty_directory() {
    DirEntry entry;
    for (u64 cookie = 0;;) {
        const bool found = TRY(next_of(cookie, entry));
        if (!found) return true;
        if (entry.name() != "." && entry.name() != "..") return false;
    }
}

}  // namespace ringlet::fs::ext4
