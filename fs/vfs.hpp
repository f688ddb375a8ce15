// The tree that applications see: a mount table, path walks, open files and directories. Filesystems are
// behind fs/inode.hpp. Paths are taken from "/" (there is no current directory here: see join_path). What POSIX says of
// each call holds here too; where it leaves a choice, this is Linux's. Permissions are kept and shown, not enforced.
// Context: thread.
#pragma once

#include "fs/inode.hpp"
#include "kernel/sync/spinlock.hpp"
#include "lib/function_ref.hpp"

namespace ringlet::fs {

enum class Follow : u8 { yes, no };  ///< a symbolic link in the *last* component
enum class Whence : u8 { start, current, end };
enum class Grow : u8 { no, yes };  ///< may the file become longer?

/// What a file is opened for; combined by `|`. All but `read` imply read_write.
enum class OpenMode : u8 {
    read = 0,
    read_write = 1,
    create = 1 | 2,          ///< made when there is none
    truncate = 1 | 4,        ///< emptied
    create_new = 1 | 2 | 8,  ///< made; `exists` when there is something already, a dangling link too
    append = 1 | 16,         ///< write() writes at the end, wherever other writers have moved it
    synchronous = 1 | 32,    ///< each write is on the medium when it returns (O_DSYNC)
};
constexpr OpenMode operator|(OpenMode a, OpenMode b) {
    return static_cast<OpenMode>(static_cast<u8>(a) | static_cast<u8>(b));
}
constexpr bool includes(OpenMode mode, OpenMode part) {
    return (static_cast<u8>(mode) & static_cast<u8>(part)) == static_cast<u8>(part);
}

/// An open file: an inode and a position. Closed by its destructor, which makes nothing durable: sync() does. read_at,
/// write_at, map_at, size, stat, sync, allocate, punch, truncate may be called by several threads at once; read, write
/// and seek move the position and are one thread's at a time. What changes something: read_only when it was opened for
/// reading, or the filesystem is; no_space, io.
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
    /// Fewer bytes than given only when the rest does not fit. too_large: beyond what a file can be.
    Result<usize> write(Bytes from);
    Result<usize> write_at(u64 offset, Bytes from);
    /// Cuts the file, or lengthens it with zeros that take no room. too_large.
    Result<> truncate(u64 size);
    /// Makes sure of room for [offset, offset + length), so that writes there find it. invalid: length 0; too_large;
    /// unsupported.
    Result<> allocate(u64 offset, u64 length, Grow grow = Grow::yes);
    /// [offset, offset + length) reads as zeros and takes no room any more. The errors of allocate().
    Result<> punch(u64 offset, u64 length);
    /// Returns when all that was written before is on the medium (fsync; Sync::data: fdatasync). io: some never will
    /// be.
    Result<> sync(Sync what = Sync::all) { return inode_->sync(what); }
    Result<> set_attributes(const Attributes& to) { return inode_->set_attributes(to); }
    /// The new position; invalid when it would be negative. Beyond the end is allowed.
    Result<u64> seek(i64 offset, Whence whence);
    u64 position() const { return position_; }
    u64 size() const { return inode_->size(); }
    Result<Stat> stat() const { return inode_->stat(); }
    const Ref<Inode>& inode() const { return inode_; }

private:
    Result<> writable() const;
    Result<usize> written(Result<usize> count);

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
    /// Its names are on the medium when it returns.
    Result<> sync() { return inode_->sync(Sync::all); }
    const Ref<Inode>& inode() const { return inode_; }

private:
    Ref<Inode> inode_;
    u64 cookie_ = 0;
};

struct MountInfo {
    std::string_view where;   ///< "/", "/tmp"; valid during the visit
    std::string_view source;  ///< "vda1"; empty: nothing that has a name
    StatFs statfs;
    std::string_view warning;
};

class Vfs {
public:
    static constexpr usize kMaxMounts = 8;
    static constexpr usize kMaxMountPath = 64;
    static constexpr usize kMaxSource = 16;

    Vfs() = default;
    Vfs(const Vfs&) = delete;
    Vfs& operator=(const Vfs&) = delete;

    /// Puts `fs` at `where`, an existing directory; the first mount is "/". `fs` outlives the mount. `source`: what it
    /// is on, for listings; cut to kMaxSource. in_use: something is mounted there. no_space: kMaxMounts.
    Result<> mount(std::string_view where, FileSystem& fs, std::string_view source = {});
    /// Takes the filesystem at `where` off the tree, and writes nothing: sync() or remount() it before. in_use: files
    /// of it are open, or something is mounted inside it. What a thread opens at this very moment keeps working until
    /// it is closed (FileSystem::users() tells).
    Result<> unmount(std::string_view where);
    /// FileSystem::remount() of what is mounted at `where`. not_found: nothing is.
    Result<> remount(std::string_view where, bool read_only);

    /// Walks `path`. not_found, not_directory, too_many_links, name_too_long, io, corrupt; invalid: empty or
    /// with a 0.
    Result<Ref<Inode>> resolve(std::string_view path, Follow follow = Follow::yes);
    /// `permissions`: of a file that is made. is_directory when it is one; unsupported for device nodes, fifos and
    /// sockets; read_only for a writing mode.
    Result<File> open(std::string_view path, OpenMode mode = OpenMode::read, u16 permissions = 0644);
    Result<Directory> open_directory(std::string_view path);
    Result<Stat> stat(std::string_view path);
    Result<Stat> lstat(std::string_view path);
    /// The target of a symbolic link; invalid when `path` is not one.
    Result<usize> read_link(std::string_view path, std::span<char> to);
    Result<StatFs> statfs(std::string_view path);

    // What changes the tree. Besides the errors of a walk: read_only, no_space, io; invalid when the last component is
    // "." or ".."; in_use for "/" and for where something is mounted.
    Result<> create_directory(std::string_view path, u16 permissions = 0755);
    /// in_use: not empty.
    Result<> remove_directory(std::string_view path);
    /// Anything but a directory (is_directory). Open files keep their content until they are closed.
    Result<> unlink(std::string_view path);
    /// Another name for the file or the symbolic link `existing`. exists, cross_device, too_many_links, is_directory.
    Result<> link(std::string_view existing, std::string_view path);
    /// `target` may be anything that is not empty (not_found) and shorter than kPathMax (name_too_long). exists.
    Result<> symlink(std::string_view target, std::string_view path);
    /// In one step, replacing what `to` was: an empty directory by a directory, anything else by anything else.
    /// Nothing happens when both name the same file. cross_device; invalid: into itself; in_use: not empty.
    Result<> rename(std::string_view from, std::string_view to);
    Result<> truncate(std::string_view path, u64 size);
    Result<> set_attributes(std::string_view path, const Attributes& to, Follow follow = Follow::yes);

    /// Everything written so far, everywhere, is on its medium when it returns. The first error; the others are tried.
    Result<> sync();
    /// The flusher's turn on each mounted filesystem.
    void write_back();
    /// FileSystem::trim() of the one that `path` lies in.
    Result<u64> trim(std::string_view path, u64 least = 0);

    void for_each_mount(FunctionRef<void(const MountInfo&)> visit);

private:
    struct Mount {
        FileSystem* fs = nullptr;  ///< nullptr: free row
        Ref<Inode> root;
        Ref<Inode> covered;  ///< the directory below it; empty for "/"
        char where[kMaxMountPath] = {};
        char source[kMaxSource] = {};
        u8 where_length = 0, source_length = 0;
        std::string_view path() const { return {where, where_length}; }
    };
    struct Table {
        Mount rows[kMaxMounts];
        /// What is mounted at `where`, trailing slashes or not; nullptr: nothing.
        Mount* find(std::string_view where);
    };
    struct Walk;
    /// Where a name is, or would be.
    struct Place {
        Ref<Inode> directory;
        std::string_view name;
        bool slash;  ///< one follows the name: it can only be a directory's
    };

    static Result<> check(std::string_view path);
    Result<> walk(std::string_view path, Follow follow, Walk& out);
    Result<Place> place(std::string_view path, Error of_root);
    /// As place(), for something new that is not a directory.
    Result<Place> free_place(std::string_view path);
    Result<Ref<Inode>> open_inode(std::string_view path, OpenMode mode, u16 permissions);
    Result<Ref<Inode>> root();
    /// The root of what is mounted on `dir`, or `dir`.
    Ref<Inode> cross_down(Ref<Inode> dir);
    /// The directory under the mount whose root `dir` is, or `dir`.
    Ref<Inode> cross_up(Ref<Inode> dir);
    /// Each mounted filesystem, which stays while it is visited.
    void for_each_filesystem(FunctionRef<void(FileSystem&, const Mount& row)> visit);

    kernel::Guarded<Table, kernel::Rank::fs, kernel::Spinlock> mounts_;
};

/// `path` as seen from the directory `cwd` (absolute): absolute, without ".", ".." or repeated slashes, as
/// the shell's `cd` and `pwd` want it (textual: a ".." takes away the last component). Written into `out` and
/// returned.
Result<std::string_view> join_path(std::string_view cwd, std::string_view path, std::span<char> out);

}  // namespace ringlet::fs
