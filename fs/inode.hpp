// What a filesystem must provide: inodes that are found by name and read by offset. The one run-time choice
// in fs/ (which filesystem is mounted where), hence virtual: each call costs a cache or disk access anyway.
// Context: thread; every function may sleep for the disk. Several threads may be inside one inode at a time.
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "fs/block_view.hpp"
#include "lib/assert.hpp"
#include "lib/bytes.hpp"
#include "lib/function_ref.hpp"
#include "lib/result.hpp"
#include "lib/types.hpp"

namespace ringlet::fs {

inline constexpr usize kNameMax = 255;    ///< bytes of one path component
inline constexpr usize kPathMax = 4096;   ///< bytes of a whole path, symbolic links expanded
inline constexpr unsigned kLinkMax = 40;  ///< symbolic links followed in one walk

enum class NodeType : u8 { file, directory, symlink, char_device, block_device, fifo, socket };

struct Timestamp {
    i64 seconds = 0;      ///< since 1970-01-01 UTC
    u32 nanoseconds = 0;  ///< 0 .. 999'999'999
};

struct Stat {
    u64 filesystem = 0;  ///< distinct for each mounted filesystem
    u64 inode = 0;
    NodeType type = NodeType::file;
    u16 mode = 0;  ///< permission bits, 07777
    u32 links = 0;
    u32 uid = 0, gid = 0;
    u64 size = 0;     ///< bytes
    u64 sectors = 0;  ///< of 512 bytes, really allocated
    u32 block_size = 0;
    Timestamp accessed, modified, changed, created;
};

/// What to change of an inode; what is not given stays.
struct Attributes {
    std::optional<u16> mode{};  ///< permission bits, 07777
    std::optional<u32> uid{}, gid{};
    std::optional<Timestamp> accessed{}, modified{};
};

/// How much of a file sync() makes durable: everything, or its data and what is needed to read it (fdatasync).
enum class Sync : u8 { all, data };

struct StatFs {
    std::string_view type;  ///< "ext4", "memfs"; static
    u64 block_size = 0;
    u64 blocks = 0, free_blocks = 0;
    u64 files = 0, free_files = 0;
    bool read_only = true;
};

struct DirEntry {
    u64 inode = 0;
    NodeType type = NodeType::file;
    u8 length = 0;
    char text[kNameMax];  ///< not terminated, any byte but '/' and 0

    std::string_view name() const { return {text, length}; }
};

/// How one open file is read: sequential or not, and how far prefetching has come. Relaxed atomics, so that
/// threads that share a File only disturb each other's guess.
struct ReadAhead {
    std::atomic<u64> next_offset{0};  ///< where a sequential reader continues
    std::atomic<u64> ahead_to{0};     ///< prefetched up to this offset
    std::atomic<u32> window{0};       ///< bytes, grows while reading is sequential

    ReadAhead() = default;
    ReadAhead(const ReadAhead& o) { *this = o; }
    ReadAhead& operator=(const ReadAhead& o) {
        next_offset.store(o.next_offset.load(std::memory_order_relaxed), std::memory_order_relaxed);
        ahead_to.store(o.ahead_to.load(std::memory_order_relaxed), std::memory_order_relaxed);
        window.store(o.window.load(std::memory_order_relaxed), std::memory_order_relaxed);
        return *this;
    }
};

class Inode;

/// A counted reference. Never dropped under a lock of the filesystem it belongs to.
template <class T> class Ref {
public:
    Ref() = default;
    /// Takes over one reference that was counted already.
    static Ref adopt(T* p) { return Ref(p); }
    static Ref share(T& t) {
        t.retain();
        return Ref(&t);
    }
    Ref(const Ref& o) : p_(o.p_) {
        if (p_ != nullptr) p_->retain();
    }
    Ref(Ref&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
    Ref& operator=(Ref o) noexcept {
        std::swap(p_, o.p_);
        return *this;
    }
    ~Ref() {
        if (p_ != nullptr) p_->release();
    }
    T* operator->() const { return p_; }
    T& operator*() const { return *p_; }
    T* ptr() const { return p_; }
    explicit operator bool() const { return p_ != nullptr; }
    bool operator==(const Ref& o) const { return p_ == o.p_; }

private:
    explicit Ref(T* p) : p_(p) {}
    T* p_ = nullptr;
};

class FileSystem;

class Inode {
public:
    explicit Inode(FileSystem& fs) : fs_(fs) {}
    Inode(const Inode&) = delete;
    Inode& operator=(const Inode&) = delete;
    virtual ~Inode() = default;

    virtual NodeType type() const = 0;
    virtual u64 size() const = 0;
    virtual Result<Stat> stat() = 0;

    /// Directory: the child called `name` ("." and ".." too; ".." of the root is the root). not_found,
    /// not_directory.
    virtual Result<Ref<Inode>> lookup(std::string_view name) = 0;
    /// Directory: the entry at or after `cookie` (0 at first), and `cookie` moved behind it; false at the
    /// end.
    /// "." and ".." are reported. A cookie stays usable while the directory is not changed.
    virtual Result<bool> next_entry(u64& cookie, DirEntry& out) = 0;
    /// File: reads up to to.size() bytes; fewer only at the end of the file. is_directory for a directory.
    virtual Result<usize> read_at(u64 offset, MutableBytes to, ReadAhead* hint) = 0;
    /// File: the bytes from `offset` to the end of its block (or file, or hole), without copying. Empty at
    /// the end.
    virtual Result<PinnedBytes> map_at(u64 offset, ReadAhead* hint) = 0;
    /// Symbolic link: its whole target, at most kPathMax - 1 bytes; too_large when `to` is too small.
    virtual Result<usize> read_link(std::span<char> to) = 0;

    // ---- changing. All of these: read_only, no_space, io. Nothing has changed when one fails, except that write_at(),
    // allocate() and punch() may have got part of the way. Not durable before sync().

    /// File: writes `from`, beyond the end too (what lies between reads as zeros). Returns fewer bytes only when the
    /// rest does not fit. too_large: beyond what a file can be.
    virtual Result<usize> write_at(u64 /*offset*/, Bytes /*from*/) { return fail(Error::read_only); }
    /// File: write_at() where the file ends, which nobody moves meanwhile; `offset`: where that was.
    virtual Result<usize> append(Bytes from, u64& offset) { return write_at(offset = size(), from); }
    /// File: cuts it, or lengthens it with zeros that take no room.
    virtual Result<> truncate(u64 /*size*/) { return fail(Error::read_only); }
    /// File: makes sure of room for [offset, offset + length), which reads as before; `grow`: the file ends there at
    /// least.
    virtual Result<> allocate(u64 /*offset*/, u64 /*length*/, bool /*grow*/) { return fail(Error::unsupported); }
    /// File: [offset, offset + length) reads as zeros and its whole blocks are free again. The size stays.
    virtual Result<> punch(u64 /*offset*/, u64 /*length*/) { return fail(Error::unsupported); }
    virtual Result<> set_attributes(const Attributes& /*to*/) { return fail(Error::read_only); }
    /// Returns when everything written before the call is on the medium. io: some of it never will be.
    virtual Result<> sync(Sync /*what*/) { return {}; }

    /// Directory: makes a file or a directory. exists, name_too_long, invalid ("/" in the name).
    virtual Result<Ref<Inode>> create(std::string_view /*name*/, NodeType /*type*/, u16 /*mode*/) {
        return fail(Error::read_only);
    }
    /// Directory: makes a symbolic link. The errors of create(), too_large.
    virtual Result<> create_symlink(std::string_view /*name*/, std::string_view /*target*/) {
        return fail(Error::read_only);
    }
    /// Directory: another name for `target`, which is of this filesystem and no directory. exists, too_many_links.
    virtual Result<> link(std::string_view /*name*/, Inode& /*target*/) { return fail(Error::read_only); }
    /// Directory: removes an entry that is not a directory.
    virtual Result<> unlink(std::string_view /*name*/) { return fail(Error::read_only); }
    /// Directory: removes an empty directory. in_use when it is not empty.
    virtual Result<> remove_directory(std::string_view /*name*/) { return fail(Error::read_only); }
    /// Directory: `name` becomes `new_name` in `to`, a directory of this filesystem; what was called so is replaced, in
    /// one step. A directory replaces an empty directory only, anything else no directory. invalid: into itself;
    /// in_use: not empty; is_directory, not_directory.
    virtual Result<> rename(std::string_view /*name*/, Inode& /*to*/, std::string_view /*new_name*/) {
        return fail(Error::read_only);
    }

    FileSystem& filesystem() const { return fs_; }

    void retain() { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() {
        // The last reference is dropped by the filesystem, under its lock if it needs one: between "count is
        // zero" and "free it" nobody may find the inode again.
        u32 n = references_.load(std::memory_order_relaxed);
        while (n > 1)
            if (references_.compare_exchange_weak(n, n - 1, std::memory_order_release, std::memory_order_relaxed))
                return;
        release_last();
    }

protected:
    /// Called with (probably) one reference left; must drop it. Afterwards the inode may be gone.
    virtual void release_last() { drop(); }
    /// True when this was the last one.
    bool drop() { return references_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
    u32 references() const { return references_.load(std::memory_order_acquire); }

private:
    FileSystem& fs_;
    std::atomic<u32> references_{0};
};

class FileSystem {
public:
    FileSystem() = default;
    FileSystem(const FileSystem&) = delete;
    FileSystem& operator=(const FileSystem&) = delete;
    /// All Refs to its inodes are gone: unmounted, files closed.
    virtual ~FileSystem() = default;

    virtual Result<Ref<Inode>> root() = 0;
    virtual Result<StatFs> statfs() = 0;
    /// What was remarkable about mounting it ("journal not replayed"), or why it cannot be written any more; empty when
    /// nothing.
    virtual std::string_view warning() const { return {}; }
    /// Everything changed up to now is on the medium when it returns.
    virtual Result<> sync() { return {}; }
    /// The flusher's turn: begins to write what has waited for a while. Errors show at sync().
    virtual void write_back() {}
    /// Afterwards nothing is written any more (`read_only`, everything was), or may be again. unsupported; the errors
    /// of sync().
    virtual Result<> remount(bool /*read_only*/) { return fail(Error::unsupported); }
    /// Tells the device which blocks hold nothing, in pieces of at least `least` bytes; how many bytes. unsupported.
    virtual Result<u64> trim(u64 /*least*/) { return fail(Error::unsupported); }
    /// How many of its inodes somebody refers to. While mounted its root is one; more: files are open. 0: it may be
    /// destroyed. A filesystem that cannot tell says 1.
    virtual usize users() { return 1; }
    /// Its counters, by name: a cache's, a journal's.
    virtual void for_each_value(FunctionRef<void(std::string_view, u64)> /*visit*/) {}
    /// For Stat::filesystem.
    u64 id() const { return reinterpret_cast<std::uintptr_t>(this); }
};

}  // namespace ringlet::fs
