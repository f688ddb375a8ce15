// Pass 2 of the check: the entries of every directory (§"Directory Entries"). Pass 3: every directory is reached from
// the root, on one way.
#include <algorithm>

#include "fs/ext4/checker.hpp"
#include "fs/ext4/dir_block.hpp"
#include "fs/ext4/hash.hpp"
#include "lib/parse.hpp"

namespace ringlet::fs::ext4 {

namespace {

constexpr u8 kDirectoryType = 2;

/// A name as a terminal may have it.
struct Printable {
    char text[40];
    usize length;
    explicit Printable(std::string_view name) : length(std::min(name.size(), sizeof(text))) {
        std::ranges::transform(substring(name, 0, length), text,
                               [](char c) { return static_cast<u8>(c) < 0x20 || c == 0x7f ? '?' : c; });
    }
    std::string_view view() const { return {text, length}; }
};

}  // namespace

void Checker::check_directories() {
    allot(directories_, report_.directories, sizeof(DirectoryRow));
    if (fatal_) return;
    DirectoryRow* next = directories_.rows();
    for (u32 number = 1; number <= geometry_.inodes; ++number)
        if (row(number).is(InodeRow::used) && row(number).type == kDirectoryType) (next++)->inode = number;
    for (u32 i = 0; i < report_.directories && !fatal_; ++i) {
        DirectoryRow& d = directories_[i];
        if (row(d.inode).is(InodeRow::damaged)) continue;  // which was told
        const auto v = load_inode(d.inode);
        if (!v) continue;
        if (v->has(kInodeInlineData))
            check_inline_directory(*v, d);
        else
            check_directory(*v, d);
    }
}

DirectoryRow* Checker::find_directory(u32 inode) {
    DirectoryRow* const end = directories_.rows() + report_.directories;
    DirectoryRow* const at = std::lower_bound(directories_.rows(), end, inode,
                                              [](const DirectoryRow& d, u32 wanted) { return d.inode < wanted; });
    return at != end && at->inode == inode ? at : nullptr;
}

void Checker::count_link(u32 inode) {
    if (row(inode).found != 0xffff) ++row(inode).found;
}

void Checker::check_directory(const InodeView& v, DirectoryRow& self) {
    const auto count = static_cast<u32>(std::min<u64>(v.size >> geometry_.block_shift, geometry_.blocks));
    Table<DirBlockRow> rows;
    allot(rows, count, sizeof(DirBlockRow));
    if (fatal_) return;
    Directory d{v, self, std::span(rows.rows(), count)};
    const auto visit = [&](const Piece& p) {
        for (u32 i = 0; p.kind == Piece::Kind::data && i < p.length && p.logical + i < count; ++i)
            d.blocks[static_cast<usize>(p.logical + i)].physical = static_cast<u32>(p.physical + i);
        return true;
    };
    Walk w{v, visit, true};
    walk(w);
    const bool indexed = v.has(kInodeIndex);
    const bool sorted = indexed && check_index(d);
    for (u32 logical = 0; logical < count && !fatal_; ++logical) {
        const DirBlockRow& block = d.blocks[logical];
        if (block.physical == 0) {
            problem("directory {}: block {} is a hole", v.number, logical);
            break;
        }
        if (sorted && !block.indexed) problem("directory {}: block {} is not in its index", v.number, logical);
        const auto ref = fetch(block.physical);
        if (!ref) continue;
        if (block.node || (indexed && logical == 0))
            check_entries(d, logical, ref->bytes());
        else
            check_leaf(d, logical, ref->bytes());
    }
    give_back(rows);
}

void Checker::check_leaf(Directory& d, u32 logical, Bytes block) {
    if (!geometry_.checksums()) return check_entries(d, logical, block);
    const Bytes entries = block.first(block.size() - sizeof(DirTail));
    const auto& tail = overlay<DirTail>(block, entries.size());
    if (tail.reserved_zero1 != 0 || tail.rec_len != sizeof(DirTail) || tail.reserved_zero2 != 0 ||
        tail.reserved_ft != kDirTailType) {
        problem("directory {}: block {} has no checksum", d.inode.number, logical);
        return check_entries(d, logical, block);
    }
    if (crc32c(d.inode.seed, entries) != tail.checksum)
        problem("directory {}: the checksum of block {} is wrong", d.inode.number, logical);
    check_entries(d, logical, entries);
}

/// A chain of entries that fills `region`.
void Checker::check_entries(Directory& d, u32 logical, Bytes region) {
    const u32 number = d.inode.number;
    u32 names = 0;
    unsigned count = 0;
    for (usize at = 0; at < region.size(); ++count) {
        const auto slot = read_slot(geometry_, region, at);
        const u16 raw = half_at(region, at + offsetof(DirEntryHeader, rec_len));
        if (!slot || slot->next - at < entry_bytes(1) || (geometry_.block_size < 65536 && raw % 4 != 0))
            return problem("directory {}: the entry at {} of block {} cannot be right", number, at, logical);
        at = slot->next;
        if (logical == 0 && count < 2) {
            check_dots(d.row, *slot, count);
            continue;
        }
        if (slot->inode == 0) continue;
        check_name(d.row, *slot);
        const auto hash = name_hash(d.hash_version, geometry_.hash_seed, slot->name);
        const DirBlockRow& range = d.blocks[logical];
        if (hash && range.indexed &&
            (*hash < range.low || *hash > range.high || (*hash == range.high && !range.chained)))
            problem("directory {}: by its hash, '{}' does not belong into block {}", number,
                    Printable(slot->name).view(), logical);
        names_[names++] = u64{hash.value_or(0)} << 32 | slot->at;
    }
    if (logical == 0 && count < 2) problem("directory {}: it has no '..'", number);
    compare_names(d, logical, region, names);
}

/// The first entry is ".", the second "..".
void Checker::check_dots(DirectoryRow& self, const Slot& slot, unsigned number) {
    const std::string_view wanted = number == 0 ? "." : "..";
    if (slot.inode == 0 || slot.name != wanted) return problem("directory {}: it has no '{}'", self.inode, wanted);
    if (number == 0 && slot.inode != self.inode) problem("directory {}: its '.' is inode {}", self.inode, slot.inode);
    if (slot.file_type != kDirectoryType && geometry_.has(kIncompatFiletype))
        problem("directory {}: its '{}' has type {}", self.inode, wanted, slot.file_type);
    count_link(slot.inode);
    if (number == 1) self.dotdot = slot.inode;
}

/// Any other entry.
void Checker::check_name(const DirectoryRow& from, const Slot& slot) {
    const Printable name(slot.name);
    if (slot.name.empty() || slot.name == "." || slot.name == ".." ||
        slot.name.find_first_of(std::string_view("/\0", 2)) != slot.name.npos)
        problem("directory {}: '{}' is no name", from.inode, name.view());
    const bool possible = slot.inode >= geometry_.first_inode && row(slot.inode).is(InodeRow::used);
    if (!possible)
        return problem("directory {}: '{}' is inode {}, which is none in use", from.inode, name.view(), slot.inode);
    count_link(slot.inode);
    const u8 type = row(slot.inode).type;
    if (slot.file_type != type && geometry_.has(kIncompatFiletype))
        problem("directory {}: '{}' has type {}, its inode {}", from.inode, name.view(), slot.file_type, type);
    DirectoryRow* const child = type == kDirectoryType ? find_directory(slot.inode) : nullptr;
    if (child == nullptr) return;
    if (child->parent != 0)
        problem("directory {}: it is in {} and in {}", child->inode, child->parent, from.inode);
    else
        child->parent = from.inode;
}

/// The same name twice? Equal names have equal hashes.
void Checker::compare_names(Directory& d, u32 logical, Bytes region, u32 names) {
    u64* const begin = names_.rows();
    u64* const end = begin + names;
    sort(begin, names);
    const auto text = [&](u64 name) { return read_slot(geometry_, region, static_cast<u32>(name))->name; };
    for (u64* at = begin; at != end; ++at)
        for (u64* other = at + 1; other != end && *other >> 32 == *at >> 32; ++other)
            if (text(*at) == text(*other)) {
                problem("directory {}: '{}' is in block {} twice", d.inode.number, Printable(text(*at)).view(),
                        logical);
                break;
            }
}

/// §"Inline Directories": the parent's number, then entries; those of the attribute's value follow.
void Checker::check_inline_directory(const InodeView& v, DirectoryRow& self) {
    const Bytes value = check_inode_attributes(v).inline_data;
    self.dotdot = word_at(v.root(), 0);
    count_link(self.inode);
    if (self.dotdot == 0 || self.dotdot > geometry_.inodes)
        return problem("directory {}: its '..' is inode {}", self.inode, self.dotdot);
    count_link(self.dotdot);
    DirBlockRow none;
    Directory d{v, self, std::span(&none, 1)};
    for (const Bytes region : {v.root().subspan(sizeof(le32)), value}) {
        u32 names = 0;
        for (usize at = 0; at < region.size();) {
            const auto slot = read_slot(geometry_, region, at);
            if (!slot || slot->next - at < entry_bytes(1))
                return problem("directory {}: the entry at {} in its inode cannot be right", self.inode, at);
            at = slot->next;
            if (slot->inode == 0) continue;
            check_name(self, *slot);
            names_[names++] = slot->at;
        }
        compare_names(d, 0, region, names);
    }
}

// ---- pass 3

void Checker::check_connections() {
    DirectoryRow* const root = find_directory(kRootInode);
    if (root == nullptr) return problem("there is no root directory");
    root->parent = kRootInode;
    for (u32 i = 0; i < report_.directories; ++i) {
        const DirectoryRow& d = directories_[i];
        if (row(d.inode).is(InodeRow::orphan)) continue;
        if (d.parent == 0)
            problem("directory {}: no directory has it", d.inode);
        else if (d.dotdot != d.parent && !row(d.inode).is(InodeRow::damaged))
            problem("directory {}: its '..' is inode {}, but it is in {}", d.inode, d.dotdot, d.parent);
    }
    // Up from every directory, until somebody was there before: each step is made once.
    for (u32 i = 0; i < report_.directories; ++i) {
        DirectoryRow* at = &directories_[i];
        while (at != root && at->parent != 0 && at->walk == 0) {
            at->walk = i + 1;
            at = find_directory(at->parent);
        }
        if (at->walk == i + 1) problem("directory {}: it lies inside itself", at->inode);
    }
}

}  // namespace ringlet::fs::ext4
