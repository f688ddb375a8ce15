// Small files and directories that live in their inode (§"Inline Data"): 60 bytes in place of the block
// pointers, the rest as the value of the attribute system.data behind the inode's fields.
#include <algorithm>

#include "fs/ext4/file_map.hpp"

namespace ringlet::fs::ext4 {

struct Ext4Inode::InlineView {
    Volume::RawInode raw;
    Bytes head;  ///< always 60 bytes
    Bytes tail;  ///< the attribute's value
};

namespace {

constexpr std::string_view kName = "data";

/// The value of system.data among the attributes behind `extra_isize`; empty when there is none.
Result<Bytes> find_tail(Bytes inode) {
    if (inode.size() <= 128 + 4) return Bytes();
    const usize start = 128 + usize{*ringlet::read_at<le16>(inode, 128)};
    const auto magic = ringlet::read_at<le32>(inode, start);
    if (!magic || *magic != kXattrMagic) return Bytes();
    const Bytes all = inode.subspan(start + 4);  // offsets of values count from here
    for (usize at = 0;;) {
        const auto end_mark = ringlet::read_at<le32>(all, at);
        if (!end_mark || *end_mark == 0) return Bytes();
        const auto e = ringlet::read_at<XattrEntry>(all, at);
        if (!e) return fail(Error::corrupt);
        const auto name = slice(all, at + sizeof(*e), e->name_len);
        if (!name) return fail(Error::corrupt);
        const std::string_view text(reinterpret_cast<const char*>(name->data()), name->size());
        if (e->name_index == kXattrSystem && text == kName) {
            const auto value = slice(all, e->value_offs, e->value_size);
            if (!value || e->value_inum != 0) return fail(Error::corrupt);
            return *value;
        }
        at = align_up<usize>(at + sizeof(*e) + e->name_len, 4);
    }
}

}  // namespace

Result<Ext4Inode::InlineView> Ext4Inode::inline_view() {
    InlineView v;
    v.raw = TRY(volume_.raw_inode(number_));
    v.head = v.raw.bytes.subspan(offsetof(DiskInode, block), sizeof(RootBytes));
    v.tail = TRY(find_tail(v.raw.bytes));
    if (size() > v.head.size() + v.tail.size()) return fail(Error::corrupt);
    return v;
}

Result<usize> Ext4Inode::read_inline(u64 offset, MutableBytes to) {
    const InlineView v = TRY(inline_view());
    const auto at = static_cast<usize>(offset);  // the caller checked it against the size
    usize done = 0;
    if (at < v.head.size()) {
        done = std::min(v.head.size() - at, to.size());
        std::memcpy(to.data(), v.head.data() + at, done);
    }
    if (done < to.size()) std::memcpy(to.data() + done, v.tail.data() + (at + done - v.head.size()), to.size() - done);
    return to.size();
}

Result<PinnedBytes> Ext4Inode::map_inline(u64 offset) {
    InlineView v = TRY(inline_view());
    auto at = static_cast<usize>(offset);
    Bytes part = v.head;
    usize end = std::min<usize>(static_cast<usize>(size()), v.head.size());
    if (at >= v.head.size()) {
        part = v.tail;
        at -= v.head.size();
        end = static_cast<usize>(size()) - v.head.size();
    }
    const auto start = static_cast<usize>(part.data() - v.raw.block.bytes().data()) + at;
    return std::move(v.raw.block).into_view(start, end - at);
}

// An inline directory: the parent's number, then entries; the attribute's value holds more of them. No "." or
// "..".
Result<std::optional<Ext4Inode::Place>> Ext4Inode::find_inline(std::string_view name) {
    const InlineView v = TRY(inline_view());
    if (name == "..") return std::optional(Place{.inode = *ringlet::read_at<le32>(v.head, 0)});
    const auto found = TRY(find_in(v.head, 4, 0, name));
    if (found) return found;
    return find_in(v.tail, 0, 0, name);
}

Result<bool> Ext4Inode::next_inline(u64& cookie, DirEntry& out) {
    const InlineView v = TRY(inline_view());
    if (cookie < 2) {
        const std::string_view name = cookie == 0 ? "." : "..";
        out.inode = cookie == 0 ? number_ : u32{*ringlet::read_at<le32>(v.head, 0)};
        out.type = NodeType::directory;
        out.length = static_cast<u8>(name.size());
        std::memcpy(out.text, name.data(), name.size());
        ++cookie;
        return true;
    }
    const usize border = v.head.size(), all = border + v.tail.size();
    if (cookie >= all) return false;
    if (cookie < border) {
        usize offset = 4;
        while (offset < cookie) offset = TRY(read_slot(geometry(), v.head, offset)).next;
        const bool found = TRY(entry_in(v.head, offset, out));
        cookie = offset;
        if (found) return true;
    }
    usize offset = 0;
    while (border + offset < cookie) offset = TRY(read_slot(geometry(), v.tail, offset)).next;
    const bool found = TRY(entry_in(v.tail, offset, out));
    cookie = border + offset;
    return found;
}

// ---- leaving the inode

namespace {

/// Takes system.data out of the attributes behind the inode's fields; the others stay.
void remove_tail(MutableBytes inode) {
    if (inode.size() <= 128 + 4) return;
    const usize start = 128 + usize{*ringlet::read_at<le16>(inode, 128)};
    const auto magic = ringlet::read_at<le32>(inode, start);
    if (!magic || *magic != kXattrMagic) return;
    const MutableBytes all = inode.subspan(start + 4);
    std::optional<usize> found;
    usize found_length = 0, at = 0;
    for (;;) {
        const auto e = ringlet::read_at<XattrEntry>(all, at);
        if (!e || (e->name_len == 0 && e->name_index == 0)) break;
        const usize length = align_up<usize>(sizeof(*e) + e->name_len, 4);
        const auto name = slice(Bytes(all), at + sizeof(*e), e->name_len);
        if (!name || length > all.size() - at) return;
        const std::string_view text(reinterpret_cast<const char*>(name->data()), name->size());
        if (e->name_index == kXattrSystem && text == kName) found = at, found_length = length;
        at += length;
    }
    if (!found) return;
    std::memmove(all.data() + *found, all.data() + *found + found_length, at - *found - found_length);
    std::memset(all.data() + at - found_length, 0, found_length);
    if (at == found_length) std::memset(inode.data() + start, 0, inode.size() - start);  // it was the only one
}

}  // namespace

/// The entries of an inline directory, behind "." and ".." in a block.
Result<> Ext4Inode::copy_inline_entries(DirBlock& to, Bytes head, Bytes tail) const {
    for (const Bytes region : {head.subspan(4), tail})
        for (usize at = 0; at < region.size();) {
            const Slot slot = TRY(read_slot(geometry(), region, at));
            at = slot.next;
            if (slot.inode == 0) continue;
            const bool fits = TRY(to.insert(slot.name, slot.inode, slot.file_type));
            if (!fits) return fail(Error::corrupt);
        }
    return {};
}

Result<> Ext4Inode::leave_inline() {
    std::byte copy[1024 + sizeof(RootBytes)];  // the largest inode there is, in blocks of 1 KiB or more
    usize head_length, length;
    {
        const InlineView v = TRY(inline_view());
        head_length = v.head.size();
        length = head_length + v.tail.size();
        if (length > sizeof(copy)) return fail(Error::unsupported);
        std::memcpy(copy, v.head.data(), head_length);
        if (!v.tail.empty()) std::memcpy(copy + head_length, v.tail.data(), v.tail.size());
    }
    const Bytes all = Bytes(copy).first(length);
    const bool directory = type_ == NodeType::directory, empty = !directory && size() == 0;
    return volume_.transact(8, empty ? 0 : 2, [&](Handle& handle) -> Result<> {
        {
            const BlockEdit edit = TRY(handle.edit(table_block_));
            remove_tail(edit.bytes().subspan(table_offset_, geometry().inode_size));
        }
        const bool tree = geometry().has(kIncompatExtents);
        flags_.store((flags() & ~kInodeInlineData) | (tree ? kInodeExtents : 0), std::memory_order_relaxed);
        {
            auto f = fields_.lock();
            root_ = {};
            if (tree) ExtentTree::make(ExtentTree::Root(root_));
        }
        if (directory) {
            size_.store(0, std::memory_order_relaxed);
            const u64 physical = TRY(append_block(handle));
            const BlockEdit edit = TRY(edit_directory(handle, physical, Content::zeros, seal_entries));
            DirBlock to(geometry(), edit.bytes());
            to.make_first(number_, *ringlet::read_at<le32>(all, 0));
            TRY(copy_inline_entries(to, all.first(head_length), all.subspan(head_length)));
        } else if (!empty) {
            FileMap map(*this);
            const BlockRange got = TRY(volume_.groups().allocate(handle, volume_.groups().home_of(number_), 1));
            TRY(put_blocks(got, 0, all.first(static_cast<usize>(size()))));
            TRY(map.insert(handle, {0, 1, got.first, false}));
            map.apply(1);
        }
        fields_.lock()->data_in = handle.transaction();
        return store(handle);
    });
}

}  // namespace ringlet::fs::ext4
