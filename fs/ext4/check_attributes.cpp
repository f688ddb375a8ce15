// Extended attributes (§"Extended Attributes"): behind an inode's fields, and in blocks that inodes may share.
#include <algorithm>

#include "fs/ext4/checker.hpp"

namespace ringlet::fs::ext4 {

namespace {

constexpr u32 kMostReferences = 1024;

/// The hash of an entry, which early kernels made of `char`s with a sign.
u32 entry_hash(Bytes name, Bytes value, bool is_signed) {
    u32 hash = 0;
    for (const std::byte b : name)
        hash = (hash << 5) ^ (hash >> 27) ^
               (is_signed ? static_cast<u32>(static_cast<signed char>(b)) : static_cast<u8>(b));
    for (usize at = 0; at < value.size(); at += 4) hash = (hash << 16) ^ (hash >> 16) ^ word_at(value, at);
    return hash;
}

}  // namespace

/// The entries from `first` on, whose values lie behind them; none: they cannot be right.
std::optional<FoundAttributes> Checker::read_attributes(Bytes region, usize first) {
    FoundAttributes found;
    usize at = first, values_from = region.size();
    for (;;) {
        if (at + sizeof(le32) > region.size()) return std::nullopt;
        if (word_at(region, at) == 0) break;
        if (at + sizeof(XattrEntry) > region.size()) return std::nullopt;
        const auto& e = overlay<XattrEntry>(region, at);
        const auto name = slice(region, at + sizeof(e), e.name_len);
        if (!name) return std::nullopt;
        if (e.name_len == 0 && e.value_size != 0) return std::nullopt;
        if (e.name_len == 0) {  // no name and no value: nobody minds
            at += sizeof(e);
            continue;
        }
        const std::string_view text(reinterpret_cast<const char*>(name->data()), name->size());
        if (e.value_inum != 0) {
            if (!geometry_.has(kIncompatEaInode) || e.value_inum > geometry_.inodes) return std::nullopt;
            row(e.value_inum).marks |= InodeRow::wanted;
            found.value_blocks += (u64{e.value_size} + geometry_.block_size - 1) >> geometry_.block_shift;
        } else {
            const auto value = slice(region, e.value_offs, align_up<u64>(e.value_size, 4));
            if (!value) return std::nullopt;
            if (!value->empty()) values_from = std::min<usize>(values_from, e.value_offs);
            if (e.hash != 0 && e.hash != entry_hash(*name, *value, false) && e.hash != entry_hash(*name, *value, true))
                return std::nullopt;
        }
        if (e.name_index == kXattrSystem && text == "data") {
            found.has_inline_data = true;
            if (e.value_inum == 0 && e.value_size != 0) found.inline_data = region.subspan(e.value_offs, e.value_size);
        }
        at = align_up<usize>(at + sizeof(e) + e.name_len, 4);
    }
    if (at + sizeof(le32) > values_from) return std::nullopt;
    return found;
}

FoundAttributes Checker::check_inode_attributes(const InodeView& v) {
    if (v.raw.size() <= 128) return {};
    const usize start = 128 + usize{half_at(v.raw, 128)};
    if (start == 128 || word_at(v.raw, start) != kXattrMagic) return {};
    const auto found = read_attributes(v.raw.subspan(start + sizeof(le32)), 0);
    if (!found) problem("inode {}: its attributes cannot be right", v.number);
    return found.value_or(FoundAttributes{});
}

/// What is in a block of attributes, if it can be right.
FoundAttributes Checker::peek_attribute_block(u64 block) {
    if (!geometry_.contains(block)) return {};
    const auto ref = fetch(block);
    return ref ? read_attributes(ref->bytes(), sizeof(XattrHeader)).value_or(FoundAttributes{}) : FoundAttributes{};
}

/// Remembers it: how many inodes have it is known after the last.
void Checker::note_attribute_block(const InodeView& v) {
    const u64 block = v.attribute_block();
    if (!geometry_.contains(block)) return problem("inode {}: block {} for attributes does not exist", v.number, block);
    if (attribute_count_ == attribute_blocks_.size / sizeof(u64)) {
        Table<u64> larger;
        allot(larger, attribute_count_ == 0 ? 64 : attribute_count_ * 2, sizeof(u64));
        if (fatal_) return;
        if (attribute_count_ != 0) std::memcpy(larger.rows(), attribute_blocks_.rows(), attribute_blocks_.size);
        give_back(attribute_blocks_);
        attribute_blocks_ = std::move(larger);
    }
    attribute_blocks_[attribute_count_++] = block;
}

void Checker::check_attribute_blocks() {
    sort(attribute_blocks_.rows(), attribute_count_);
    u32 same = 0;
    for (u64 i = 0; i < attribute_count_ && !fatal_; ++i) {
        ++same;
        if (i + 1 < attribute_count_ && attribute_blocks_[i + 1] == attribute_blocks_[i]) continue;
        check_attribute_block(attribute_blocks_[i], std::exchange(same, 0));
    }
}

void Checker::check_attribute_block(u64 block, u32 references) {
    if (claim(block, 1)) problem("attributes: block {} is used twice", block);
    const auto ref = fetch(block);
    if (!ref) return;
    const auto& h = overlay<XattrHeader>(ref->bytes());
    if (h.magic != kXattrMagic || h.blocks != 1 || !read_attributes(ref->bytes(), sizeof(h)))
        return problem("attributes: block {} cannot be right", block);
    if (h.refcount != references || references > kMostReferences)
        problem("attributes: block {} counts {} inodes, {} found", block, h.refcount, references);
    if (!geometry_.checksums()) return;
    constexpr usize kAt = offsetof(XattrHeader, checksum);
    constexpr std::byte kZero[4] = {};
    const le64 number = block;
    u32 crc = crc32c(geometry_.checksum_seed, std::as_bytes(std::span(&number, 1)));
    crc = crc32c(crc32c(crc, ref->bytes().first(kAt)), kZero);
    if (crc32c(crc, ref->bytes().subspan(kAt + 4)) != h.checksum)
        problem("attributes: the checksum of block {} is wrong", block);
}

}  // namespace ringlet::fs::ext4
