// Small files and directories that live in their inode (§"Inline Data"): 60 bytes in place of the block
// pointers, the rest as the value of the attribute system.data behind the inode's fields.
#include <algorithm>

#include "fs/ext4/volume.hpp"

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
    v.head = v.raw.bytes.subspan(offsetof(DiskInode, block), sizeof(block_));
    v.tail = TRY(find_tail(v.raw.bytes));
    if (size_ > v.head.size() + v.tail.size()) return fail(Error::corrupt);
    return v;
}

Result<usize> Ext4Inode::read_inline(u64 offset, MutableBytes to) {
    const InlineView v = TRY(inline_view());
    const auto at = static_cast<usize>(offset);  // the caller checked it against size_
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
    usize end = std::min<usize>(static_cast<usize>(size_), v.head.size());
    if (at >= v.head.size()) {
        part = v.tail;
        at -= v.head.size();
        end = static_cast<usize>(size_) - v.head.size();
    }
    const auto start = static_cast<usize>(part.data() - v.raw.block.bytes().data()) + at;
    return std::move(v.raw.block).into_view(start, end - at);
}

// An inline directory: the parent's number, then entries; the attribute's value holds more of them. No "." or
// "..".
Result<u32> Ext4Inode::find_inline(std::string_view name) {
    const InlineView v = TRY(inline_view());
    if (name == "..") return u32{*ringlet::read_at<le32>(v.head, 0)};
    const u32 found = TRY(find_in(v.head, 4, name));
    if (found != 0) return found;
    return find_in(v.tail, 0, name);
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

}  // namespace ringlet::fs::ext4
