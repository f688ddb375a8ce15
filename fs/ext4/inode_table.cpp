#include "fs/ext4/inode_table.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace ringlet::fs::ext4 {

Result<InodeTable::Buckets> InodeTable::Buckets::make(u32 most) {
    Buckets b;
    b.most = std::max<u32>(most, 8);
    const u32 count = std::bit_ceil(b.most / 2);
    b.by_number.reset(new (std::nothrow) Ext4Inode*[count]());
    b.by_name.reset(new (std::nothrow) Ext4Inode*[count]());
    if (!b.by_number || !b.by_name) return fail(Error::no_memory);
    b.mask = count - 1;
    return b;
}

Ext4Inode* InodeTable::used(Ext4Inode* inode) {
    if (inode == nullptr) return nullptr;
    List<Ext4Inode>::remove(*inode);
    lru_.push_back(*inode);
    return inode;
}

Ext4Inode* InodeTable::find(u32 number) {
    Ext4Inode* i = bucket(number);
    while (i != nullptr && i->number_ != number) i = i->hash_next_;
    return used(i);
}

// ---- names

u32 InodeTable::hash_of(u32 directory, std::string_view name) {
    u32 hash = directory * 0x9e37'79b9u;
    for (const char c : name) hash = (hash ^ static_cast<u8>(c)) * 0x0100'0193u;
    return hash ^ hash >> 16;
}

Ext4Inode* InodeTable::find_named(u32 directory, std::string_view name) {
    const u32 hash = hash_of(directory, name);
    Ext4Inode* i = name_bucket(hash);
    while (i != nullptr && !(i->name_.hash == hash && i->name_.directory == directory && i->name_.view() == name))
        i = i->name_.next;
    return used(i);
}

void InodeTable::remember_name(Ext4Inode& inode, u32 directory, std::string_view name) {
    unname(inode);
    auto& own = inode.name_;
    if (name.size() > sizeof(own.text)) return;
    own.hash = hash_of(directory, name);
    own.directory = directory;
    own.length = static_cast<u8>(name.size());
    std::memcpy(own.text, name.data(), name.size());
    own.next = std::exchange(name_bucket(own.hash), &inode);
}

void InodeTable::unname(Ext4Inode& inode) {
    if (inode.name_.directory == 0) return;
    Ext4Inode** at = &name_bucket(inode.name_.hash);
    while (*at != &inode) at = &(*at)->name_.next;
    *at = inode.name_.next;
    inode.name_.directory = 0;
}

void InodeTable::forget_name(u32 directory, std::string_view name) {
    if (Ext4Inode* const i = find_named(directory, name)) unname(*i);
}

// ---- coming and going

void InodeTable::insert(Ext4Inode& inode) {
    inode.hash_next_ = std::exchange(bucket(inode.number_), &inode);
    lru_.push_back(inode);
    ++count_;
}

void InodeTable::remove(Ext4Inode& inode) {
    unname(inode);
    Ext4Inode** at = &bucket(inode.number_);
    while (*at != &inode) at = &(*at)->hash_next_;
    *at = inode.hash_next_;
    List<Ext4Inode>::remove(inode);
    --count_;
}

Ext4Inode* InodeTable::evict() {
    if (count_ < buckets_.most) return nullptr;
    for (Ext4Inode& i : lru_) {
        if (i.references() != 0) continue;
        remove(i);
        return &i;
    }
    return nullptr;
}

Ext4Inode* InodeTable::take_any() {
    return lru_.pop_front();
}

usize InodeTable::in_use() {
    usize n = 0;
    for (const Ext4Inode& i : lru_) n += i.references() != 0;
    return n;
}

}  // namespace ringlet::fs::ext4
