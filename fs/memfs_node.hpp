// The nodes of a memfs. Private to memfs.cpp (the tree) and memfs_data.cpp (contents of files). One lock covers the
// whole tree; what is said to need it takes `MemState&`, or says so. Context: thread.
#pragma once

#include <memory>

#include "fs/inode.hpp"
#include "kernel/sched/mutex.hpp"
#include "lib/list.hpp"

namespace ringlet::fs {

class MemFs;
class MemInode;
using Page = std::unique_ptr<std::byte[]>;

/// A name in a directory. Its text follows it in memory.
struct MemEntry : ListNode<> {
    MemInode* directory = nullptr;
    MemInode* node = nullptr;
    MemEntry* chain = nullptr;  ///< the next with the same place in MemState::buckets
    u64 cookie = 0;
    u32 hash = 0;
    u32 length = 0;
    std::string_view name() const { return {reinterpret_cast<const char*>(this + 1), length}; }
};

struct MemState {
    List<MemInode> all;
    u64 used = 0, files = 0;  ///< bytes; nodes
    u64 names = 0;
    u64 next_number = 2;  ///< 0 and 1 are the cookies of "." and ".."
    std::unique_ptr<MemEntry*[]> buckets;
    usize bucket_count = 0;  ///< a power of two
};

class MemInode final : public Inode, public ListNode<> {
public:
    MemInode(MemFs& fs, NodeType type, u16 mode);

    NodeType type() const override { return type_; }
    u64 size() const override { return size_.load(std::memory_order_relaxed); }
    Result<Stat> stat() override;
    Result<> set_attributes(const Attributes& to) override;

    // memfs.cpp
    Result<Ref<Inode>> lookup(std::string_view name) override;
    Result<bool> next_entry(u64& cookie, DirEntry& out) override;
    Result<usize> read_link(std::span<char> to) override;
    Result<Ref<Inode>> create(std::string_view name, NodeType type, u16 mode) override;
    Result<> create_symlink(std::string_view name, std::string_view target) override;
    Result<> link(std::string_view name, Inode& target) override;
    Result<> unlink(std::string_view name) override { return remove(name, NodeType::file); }
    Result<> remove_directory(std::string_view name) override { return remove(name, NodeType::directory); }
    Result<> rename(std::string_view name, Inode& to, std::string_view new_name) override;

    // memfs_data.cpp
    Result<usize> read_at(u64 offset, MutableBytes to, ReadAhead*) override;
    Result<PinnedBytes> map_at(u64 offset, ReadAhead*) override;
    Result<usize> write_at(u64 offset, Bytes from) override;
    Result<usize> append(Bytes from, u64& offset) override;
    Result<> truncate(u64 size) override;
    Result<> allocate(u64 offset, u64 length, bool grow) override;
    Result<> punch(u64 offset, u64 length) override;

private:
    friend class MemFs;
    void release_last() override;
    Result<> regular() const;
    bool is_directory() const { return type_ == NodeType::directory; }
    Result<Ref<Inode>> make(std::string_view name, NodeType type, u16 mode, std::string_view target);
    Result<> remove(std::string_view name, NodeType wanted);
    // With the filesystem's lock held:
    Result<> may_replace(MemInode& victim) const;
    Result<> check_new_name(MemState& s, std::string_view name);
    MemEntry* child(MemState& s, std::string_view name);
    Result<usize> write(MemState& s, u64 offset, Bytes from);
    Result<> make_slots(MemState& s, u64 count);
    Result<> make_room(MemState& s, u64 page);
    void drop_page(MemState& s, u64 page);
    void zero(u64 page, usize start, usize end);
    void touch(bool content = true);

    MemFs& memfs_;
    const NodeType type_;
    u16 mode_;
    u32 links_ = 0;  ///< 0: no name is left
    u32 uid_ = 0, gid_ = 0;
    u32 views_ = 0;  ///< PinnedBytes alive: pages must stay
    u64 number_ = 0;
    Timestamp accessed_, modified_, changed_, created_;
    std::atomic<u64> size_{0};
    // A directory:
    MemInode* parent_ = nullptr;  ///< nullptr: the root, or removed
    List<MemEntry> children_;     ///< rising cookies
    MemEntry* resume_ = nullptr;  ///< one that next_entry() has reported: the next call begins behind it
    // A symbolic link:
    std::unique_ptr<char[]> target_;  ///< of size()
    // A file:
    std::unique_ptr<Page[]> pages_;  ///< empty page: a hole
    u64 page_slots_ = 0, page_count_ = 0;
};

class MemFs final : public FileSystem {
public:
    explicit MemFs(u64 max_bytes) : max_bytes_(max_bytes) {}
    ~MemFs() override;
    Result<> start();
    Result<Ref<Inode>> root() override { return Ref<Inode>::share(*root_); }
    Result<StatFs> statfs() override;
    usize users() override;

private:
    friend class MemInode;
    static constexpr u64 kNodeCost = sizeof(MemInode) + 32;   // rounded by the heap
    static constexpr u64 kEntryCost = sizeof(MemEntry) + 32;  // and its share of the buckets
    bool charge(MemState& s, u64 bytes) const {
        if (max_bytes_ - s.used < bytes) return false;
        s.used += bytes;
        return true;
    }
    u64 left(const MemState& s) const { return max_bytes_ - s.used; }
    /// Gives `node` a name in `directory`, neither of which changes otherwise.
    Result<> add_entry(MemState& s, MemInode& directory, std::string_view name, MemInode& node);
    void remove_entry(MemState& s, MemEntry& entry);
    void grow_buckets(MemState& s);
    MemEntry** bucket(MemState& s, u32 hash) const { return &s.buckets[hash & (s.bucket_count - 1)]; }
    /// One name less: a node without a name goes when nobody refers to it.
    void unname(MemState& s, MemInode& node);
    void destroy(MemState& s, MemInode& node);

    const u64 max_bytes_;
    MemInode* root_ = nullptr;
    kernel::Guarded<MemState, kernel::Rank::inode, kernel::Mutex> state_;
};

}  // namespace ringlet::fs
