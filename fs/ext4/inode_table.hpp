// The inodes in memory: by number, by the name under which each was found last, and in the order in which they were
// looked up, so that those nobody uses can be forgotten. A name found here is what a walk through the directory would
// find: whoever takes one away from a directory forgets it here before. Context: thread; the owner's lock.
#pragma once

#include <memory>

#include "fs/ext4/inode.hpp"

namespace ringlet::fs::ext4 {

class InodeTable {
public:
    struct Buckets {
        std::unique_ptr<Ext4Inode*[]> by_number, by_name;
        u32 mask = 0, most = 0;
        /// For so many inodes, if not more are in use. no_memory.
        static Result<Buckets> make(u32 most);
    };
    /// Once, before anything else; the lock is not for allocating.
    void open(Buckets buckets) { buckets_ = std::move(buckets); }

    /// The inode, which counts as used lately; nullptr: it is not in memory.
    Ext4Inode* find(u32 number);
    /// The same for what `directory`, an inode's number, calls `name`; nullptr: nobody knows.
    Ext4Inode* find_named(u32 directory, std::string_view name);
    /// `inode` is called so; it had another name here before, perhaps. Long names are not kept.
    void remember_name(Ext4Inode& inode, u32 directory, std::string_view name);
    void forget_name(u32 directory, std::string_view name);

    void insert(Ext4Inode& inode);
    void remove(Ext4Inode& inode);
    /// When there are more than there should be: one that nobody uses, taken out; the caller deletes it.
    Ext4Inode* evict();
    /// Any that is left, taken out: nobody uses the filesystem any more.
    Ext4Inode* take_any();
    usize in_use();

private:
    static u32 hash_of(u32 directory, std::string_view name);
    Ext4Inode*& bucket(u32 number) { return buckets_.by_number[number & buckets_.mask]; }
    Ext4Inode*& name_bucket(u32 hash) { return buckets_.by_name[hash & buckets_.mask]; }
    Ext4Inode* used(Ext4Inode* inode);
    void unname(Ext4Inode& inode);

    Buckets buckets_;
    List<Ext4Inode> lru_;  ///< least recently looked up first
    u32 count_ = 0;
};

}  // namespace ringlet::fs::ext4
