// The tree that applications see: a mount table, path walks, open files and directories. Filesystems are
// behind fs/inode.hpp. Paths are taken from "/" (there is no current directory here: see join_path). Context:
// thread.
#pragma once

#include "fs/inode.hpp"
#include "kernel/sync/spinlock.hpp"
#include "lib/function_ref.hpp"

namespace ringlet::fs {

enum class Follow : u8 { yes, no };                               ///< a symbolic link in the *last* component
enum class OpenMode : u8 { read, read_write, create, truncate };  ///< create and truncate imply read_write
enum class Whence : u8 { start, current, end };

/// An open file: an inode and a position. Closed by its destructor. read_at, write_at, map_at, size, stat may
/// be called by several threads at once; read, write and seek move the position and are one thread's at a
/// time.
class File {
public:
    File() = default;
    File(Ref<Inode> inode, OpenMode mode) : inode_(std::move(inode)), mode_(mode) {}

    explicit operator bool() const { return bool(inode_); }
    /// Up to to.size() bytes, fewer only at the end of the file, 0 at its end. io, corrupt, is_directory.
    Result<usize> read(MutableBytes to);
    Result<usize> read_at(u64 offset, MutableBytes to);
    /// The cached bytes from `offset` to the end of the block or file, without a copy; empty at the end.
    Result<PinnedBytes> map_at(u64 offset);
    Result<usize> write(Bytes from);
    Result<usize> write_at(u64 offset, Bytes from);
    Result<> truncate(u64 size);
    /// The new position; invalid when it would be negative. Beyond the end is allowed.
    Result<u64> seek(i64 offset, Whence whence);
    u64 position() const { return position_; }
    u64 size() const { return inode_->size(); }
    Result<Stat> stat() const { return inode_->stat(); }
    const Ref<Inode>& inode() const { return inode_; }

private:
    Ref<Inode> inode_;
    u64 position_ = 0;
    OpenMode mode_ = OpenMode::read;
    ReadAhead ahead_;
};

/// An open directory. One thread's at a time.
class Directory {
public:
    Directory() = default;
    explicit Directory(Ref<Inode> inode) : inode_(std::move(inode)) {}

    /// Fills in the next entry ("." and ".." included, in the disk's order); false at the end.
    Result<bool> next(DirEntry& out) { return inode_->next_entry(cookie_, out); }
    u64 cookie() const { return cookie_; }         ///< where next() continues
    void resume(u64 cookie) { cookie_ = cookie; }  ///< from an earlier cookie(), or 0
    const Ref<Inode>& inode() const { return inode_; }

private:
    Ref<Inode> inode_;
    u64 cookie_ = 0;
};

struct MountInfo {
    std::string_view where;  ///< "/", "/tmp"; valid during the visit
    StatFs statfs;
    std::string_view warning;
};

class Vfs {
public:
    static constexpr usize kMaxMounts = 8;
    static constexpr usize kMaxMountPath = 64;

    Vfs() = default;
    Vfs(const Vfs&) = delete;
    Vfs& operator=(const Vfs&) = delete;

    /// Puts `fs` at `where`, an existing directory; the first mount is "/". `fs` outlives the mount.
    /// in_use: something is mounted there. no_space: kMaxMounts.
    Result<> mount(std::string_view where, FileSystem& fs);
    /// Takes the filesystem at `where` off the tree; open files keep working until closed. in_use: something
    /// is mounted inside it.
    Result<> unmount(std::string_view where);

    /// Walks `path`. not_found, not_directory, too_many_links, name_too_long, io, corrupt; invalid: empty or
    /// with a 0.
    Result<Ref<Inode>> resolve(std::string_view path, Follow follow = Follow::yes);
    /// is_directory when it is one; unsupported for device nodes, fifos and sockets; read_only for a writing
    /// mode.
    Result<File> open(std::string_view path, OpenMode mode = OpenMode::read);
    Result<Directory> open_directory(std::string_view path);
    Result<Stat> stat(std::string_view path);
    Result<Stat> lstat(std::string_view path);
    /// The target of a symbolic link; invalid when `path` is not one.
    Result<usize> read_link(std::string_view path, std::span<char> to);
    Result<StatFs> statfs(std::string_view path);
    Result<> create_directory(std::string_view path);
    Result<> remove_directory(std::string_view path);
    Result<> unlink(std::string_view path);

    void for_each_mount(FunctionRef<void(const MountInfo&)> visit);

private:
    struct Mount {
        FileSystem* fs = nullptr;  ///< nullptr: free row
        Ref<Inode> root;
        Ref<Inode> covered;  ///< the directory below it; empty for "/"
        char where[kMaxMountPath] = {};
        usize where_length = 0;
    };
    struct Table {
        Mount rows[kMaxMounts];
    };
    class Walk;

    struct Parent {
        Ref<Inode> directory;
        std::string_view name;
    };
    Result<Parent> resolve_parent(std::string_view path);
    Result<Ref<Inode>> root();
    /// The root of what is mounted on `dir`, or `dir`.
    Ref<Inode> cross_down(Ref<Inode> dir);
    /// The directory under the mount whose root `dir` is, or `dir`.
    Ref<Inode> cross_up(Ref<Inode> dir);

    kernel::Guarded<Table, kernel::Rank::fs, kernel::Spinlock> mounts_;
};

/// `path` as seen from the directory `cwd` (absolute): absolute, without ".", ".." or repeated slashes, as
/// the shell's `cd` and `pwd` want it (textual: a ".." takes away the last component). Written into `out` and
/// returned.
Result<std::string_view> join_path(std::string_view cwd, std::string_view path, std::span<char> out);

}  // namespace ringlet::fs
