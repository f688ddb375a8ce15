// Pass 4 of the check: links. Pass 5: what the bitmaps and the counts say against what was found.
#include <algorithm>

#include "fs/ext4/bits.hpp"
#include "fs/ext4/checker.hpp"

namespace ringlet::fs::ext4 {

// ---- pass 4

void Checker::check_links() {
    for (u32 number = 1; number <= geometry_.inodes; ++number) {
        const InodeRow& r = row(number);
        if (r.is(InodeRow::wanted) && !r.is(InodeRow::value))
            problem("inode {}: an attribute has its value in it, but it is not made for that", number);
        if (r.is(InodeRow::used) && !r.is(InodeRow::unlisted)) check_link(number);
    }
}

void Checker::check_link(u32 number) {
    const InodeRow& r = row(number);
    if (r.is(InodeRow::value)) {
        if (!r.is(InodeRow::wanted)) problem("inode {}: a value that no attribute has", number);
        return;
    }
    if (const DirectoryRow* d = find_directory(number)) {
        // One link stands for more than can be counted; of what is damaged or nowhere enough was said.
        const bool many = r.said == 1 && r.found > 2 && (geometry_.ro_compat & kRoDirNlink) != 0;
        if (many || d->parent == 0 || r.is(InodeRow::damaged)) return;
    }
    if (r.found == 0 && !r.is(InodeRow::orphan))
        problem("inode {}: in use, but no directory has it", number);
    else if (r.found != r.said)
        problem("inode {}: a count of {} links, {} found", number, r.said, r.found);
}

// ---- pass 5

void Checker::check_bitmaps() {
    for (u32 group = 0; group < geometry_.groups && !fatal_; ++group) {
        const auto s = read_group(group);
        if (!s) continue;
        const u32 first = group * geometry_.inodes_per_group + 1, bits = blocks_in(group);
        const usize at = usize{group} * (geometry_.blocks_per_group / 8);
        const Bytes blocks(used_.start.get() + at, used_.size - at);
        u32 free_blocks = 0, free_inodes = 0, directories = 0;
        for (u32 i = 0; i < bits;) {
            const u32 clear = next_clear(blocks, i, bits);
            i = next_set(blocks, clear, bits);
            free_blocks += i - clear;
        }
        std::ranges::fill(found_.bytes(), std::byte{0});
        for (u32 i = 0; i < geometry_.inodes_per_group; ++i) {
            const InodeRow& r = row(first + i);
            const bool used = r.is(InodeRow::used) || first + i < geometry_.first_inode;
            if (used)
                set_bits(found_.bytes(), i, 1);
            else
                ++free_inodes;
            directories += r.is(InodeRow::used) && r.type == 2 ? 1 : 0;
        }
        free_blocks_ += free_blocks;
        free_inodes_ += free_inodes;
        check_count(group, "free blocks", s->free_blocks, free_blocks);
        check_count(group, "free inodes", s->free_inodes, free_inodes);
        check_count(group, "directories", s->directories, directories);
        if (!s->placed || !s->intact) continue;
        check_block_bitmap(group, *s, blocks);
        check_inode_bitmap(group, *s, found_.bytes());
    }
}

void Checker::check_block_bitmap(u32 group, const GroupState& s, Bytes found) {
    const u32 bits = blocks_in(group);
    if ((s.flags & kGroupBlocksUnused) != 0) {
        make_unused_bitmap(group, s);
    } else {
        if (!read_bitmap(group, "block", s.block_bitmap, geometry_.blocks_per_group, s.block_checksum)) return;
        check_padding(group, "block", bits);
    }
    compare_bitmaps(group, "block", found, bits, group_start(group));
}

void Checker::check_inode_bitmap(u32 group, const GroupState& s, Bytes found) {
    const u32 bits = geometry_.inodes_per_group;
    if ((s.flags & kGroupInodesUnused) != 0) {
        std::ranges::fill(bitmap_.bytes(), std::byte{0});
    } else {
        if (!read_bitmap(group, "inode", s.inode_bitmap, bits, s.inode_checksum)) return;
        check_padding(group, "inode", bits);
    }
    compare_bitmaps(group, "inode", found, bits, u64{group} * bits + 1);
}

/// Into bitmap_.bytes(); the checksum covers `bits`.
bool Checker::read_bitmap(u32 group, std::string_view what, u64 block, u32 bits, u32 checksum) {
    const auto ref = fetch(block);
    if (!ref) return false;
    std::memcpy(bitmap_.start.get(), ref->bytes().data(), geometry_.block_size);
    const u32 crc = crc32c(geometry_.checksum_seed, bitmap_.bytes().first(bits / 8));
    const u32 mask = geometry_.descriptor_size >= sizeof(GroupDesc) ? ~0u : 0xffff;
    if (geometry_.checksums() && (crc & mask) != (checksum & mask))
        problem("group {}: the checksum of the {} bitmap is wrong", group, what);
    return true;
}

void Checker::check_padding(u32 group, std::string_view what, u32 from) {
    const u32 end = geometry_.block_size * 8;
    if (next_clear(bitmap_.bytes(), from, end) != end)
        problem("group {}: the padding of the {} bitmap is not set", group, what);
}

/// What a group holds whose bitmap was never written: copies of superblock and descriptors, and its own bitmaps and
/// inodes as far as they lie in it.
void Checker::make_unused_bitmap(u32 group, const GroupState& s) {
    const u64 start = group_start(group), end = start + blocks_in(group);
    std::ranges::fill(bitmap_.bytes(), std::byte{0});
    const auto mark = [&](u64 block, u64 count) {
        if (block >= start && block < end)
            set_bits(bitmap_.bytes(), static_cast<u32>(block - start), static_cast<u32>(std::min(count, end - block)));
    };
    mark(start, geometry_.reserved_at_start(group));
    mark(s.block_bitmap, 1);
    mark(s.inode_bitmap, 1);
    mark(s.inode_table, table_blocks());
}

/// Runs of bits that differ between `found` and bitmap_.bytes(); the first bit is number `first`.
void Checker::compare_bitmaps(u32 group, std::string_view what, Bytes found, u32 bits, u64 first) {
    const auto differs = [&](u32 i) { return bit_is_set(found, i) != bit_is_set(bitmap_.bytes(), i); };
    for (u32 at = 0; at < bits;) {
        if (at % 8 == 0 && found[at / 8] == bitmap_.bytes()[at / 8]) {
            at += 8;
            continue;
        }
        if (!differs(at)) {
            ++at;
            continue;
        }
        const bool used = bit_is_set(found, at);
        const u32 begin = at;
        while (at < bits && differs(at) && bit_is_set(found, at) == used) ++at;
        if (at - begin == 1)
            problem(used ? "group {}: {} {} is in use, but marked as free"
                         : "group {}: {} {} is free, but marked as in use",
                    group, what, first + begin);
        else
            problem(used ? "group {}: {}s {} to {} are in use, but marked as free"
                         : "group {}: {}s {} to {} are free, but marked as in use",
                    group, what, first + begin, first + at - 1);
    }
}

void Checker::check_count(u32 group, std::string_view what, u64 said, u64 found) {
    if (said != found) problem("group {}: the number of {} is {}, {} found", group, what, said, found);
}

void Checker::check_totals() {
    // The counts of a copy are those of long ago.
    if (copy_ == 0 && geometry_.free_blocks != free_blocks_)
        problem("superblock: a count of {} free blocks, {} found", geometry_.free_blocks, free_blocks_);
    if (copy_ == 0 && geometry_.free_inodes != free_inodes_)
        problem("superblock: a count of {} free inodes, {} found", geometry_.free_inodes, free_inodes_);
    report_.blocks = geometry_.blocks - geometry_.first_data_block - free_blocks_;
}

}  // namespace ringlet::fs::ext4
