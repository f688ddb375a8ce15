// What changes or tells of names: stat, unlink, rename, mkdir, links, attributes, the current directory.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

#include <algorithm>

#include <ringlet/file.hpp>

#include "kernel/time/clock.hpp"
#include "posix/descriptor_table.hpp"
#include "posix/file.hpp"
#include "posix/paths.hpp"
#include "posix/special.hpp"
#include "posix/time_conversion.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

Outcome<> tell(int at, const char* text, struct stat& out, int flags) {
    const Path path = TRY_POSIX(Path::of(text, at));
    if (const Special* special = find_special(path)) return stat_special(*special, out);
    fill(out, TRY_POSIX((flags & AT_SYMLINK_NOFOLLOW) != 0 ? files().lstat(path) : files().stat(path)));
    return {};
}

/// There is one user, who may do everything that the modes allow somebody to do.
Outcome<> look(int at, const char* text, int wanted) {
    if ((wanted & ~(R_OK | W_OK | X_OK)) != 0) return refuse(EINVAL);
    struct stat s;
    TRY_POSIX(tell(at, text, s, 0));
    if ((wanted & X_OK) != 0 && S_ISREG(s.st_mode) && (s.st_mode & 0111) == 0) return refuse(EACCES);
    if ((wanted & W_OK) != 0 && S_ISREG(s.st_mode)) {
        const Path path = TRY_POSIX(Path::of(text, at));
        const auto fs = TRY_POSIX(files().statfs(path));
        if (fs.read_only) return refuse(EROFS);
    }
    return {};
}

Outcome<> make_directory(int at, const char* text, mode_t mode) {
    const Path path = TRY_POSIX(Path::of(text, at));
    TRY_POSIX(files().create_directory(path, static_cast<u16>(mode & ~umask_now() & 07777)));
    return {};
}

/// What the tree calls in use is a directory that has entries.
Errno errno_of_tree(Error error) {
    return error == Error::in_use ? Errno(ENOTEMPTY) : Errno(error);
}

Outcome<> remove_name(int at, const char* text, bool is_directory) {
    const Path path = TRY_POSIX(Path::of(text, at));
    const auto removed = is_directory ? files().remove_directory(path) : files().unlink(path);
    if (!removed) return refuse(is_directory ? errno_of_tree(removed.error()) : removed.error());
    return {};
}

Outcome<> rename_as(int from_at, const char* from, int to_at, const char* to) {
    const Path old_path = TRY_POSIX(Path::of(from, from_at)), new_path = TRY_POSIX(Path::of(to, to_at));
    const auto done = files().rename(old_path, new_path);
    return done ? Outcome<>() : refuse(errno_of_tree(done.error()));
}

Outcome<> link_as(int from_at, const char* from, int to_at, const char* to) {
    const Path old_path = TRY_POSIX(Path::of(from, from_at)), new_path = TRY_POSIX(Path::of(to, to_at));
    const auto linked = files().link(old_path, new_path);
    if (!linked)
        return refuse(linked.error() == Error::is_directory     ? Errno(EPERM)
                      : linked.error() == Error::too_many_links ? Errno(EMLINK)
                                                                : linked.error());
    return {};
}

Outcome<> link_to(const char* target, int at, const char* text) {
    const Path path = TRY_POSIX(Path::of(text, at));
    TRY_POSIX(files().symlink(target, path));
    return {};
}

Outcome<usize> target_of(int at, const char* text, char* to, usize size) {
    const Path path = TRY_POSIX(Path::of(text, at));
    char whole[PATH_MAX];
    const usize length = TRY_POSIX(files().read_link(path, {whole, sizeof whole}));
    return static_cast<usize>(std::copy_n(whole, std::min(length, size), to) - to);
}

Outcome<> change(int at, const char* text, const fs::Attributes& to, int flags) {
    const Path path = TRY_POSIX(Path::of(text, at));
    TRY_POSIX(files().set_attributes(path, to, (flags & AT_SYMLINK_NOFOLLOW) != 0 ? fs::Follow::no : fs::Follow::yes));
    return {};
}

Outcome<> change(int fd, const fs::Attributes& to) {
    const Ref d = TRY_POSIX(description(fd));
    if (FileDescription* file = d->as_file()) {
        TRY_POSIX(file->file().set_attributes(to));
        return {};
    }
    if (DirectoryDescription* directory = d->as_directory()) {
        TRY_POSIX(files().set_attributes(directory->path(), to));
        return {};
    }
    return refuse(EINVAL);
}

fs::Attributes mode_to(mode_t mode) {
    return {.mode = static_cast<u16>(mode & 07777)};
}

fs::Attributes owner_to(uid_t uid, gid_t gid) {
    fs::Attributes to;
    if (uid != static_cast<uid_t>(-1)) to.uid = uid;
    if (gid != static_cast<gid_t>(-1)) to.gid = gid;
    return to;
}

Outcome<std::optional<fs::Timestamp>> time_to(const timespec& t) {
    if (t.tv_nsec == UTIME_OMIT) return std::nullopt;
    if (t.tv_nsec == UTIME_NOW) {
        const timespec now = timespec_of(kernel::wall_clock_ns());
        return fs::Timestamp{now.tv_sec, static_cast<u32>(now.tv_nsec)};
    }
    if (t.tv_nsec < 0 || t.tv_nsec >= kSecond) return refuse(EINVAL);
    return fs::Timestamp{t.tv_sec, static_cast<u32>(t.tv_nsec)};
}

Outcome<fs::Attributes> times_to(const timespec* times) {
    static constexpr timespec kNow[2] = {{.tv_sec = 0, .tv_nsec = UTIME_NOW}, {.tv_sec = 0, .tv_nsec = UTIME_NOW}};
    if (times == nullptr) times = kNow;
    fs::Attributes to;
    to.accessed = TRY_POSIX(time_to(times[0]));
    to.modified = TRY_POSIX(time_to(times[1]));
    return to;
}

Outcome<> tell_filesystem(const char* text, struct statvfs& out) {
    const Path path = TRY_POSIX(Path::of(text, AT_FDCWD));
    const auto s = TRY_POSIX(files().statfs(path));
    out = {.f_bsize = s.block_size,
           .f_frsize = s.block_size,
           .f_blocks = s.blocks,
           .f_bfree = s.free_blocks,
           .f_bavail = s.free_blocks,
           .f_files = s.files,
           .f_ffree = s.free_files,
           .f_favail = s.free_files,
           .f_fsid = 0,
           .f_flag = s.read_only ? static_cast<unsigned long>(ST_RDONLY) : 0,
           .f_namemax = fs::kNameMax};
    return {};
}

constinit std::atomic<mode_t> mask{022};

}  // namespace

namespace ringlet::posix {
mode_t umask_now() {
    return mask.load(std::memory_order_relaxed);
}
}  // namespace ringlet::posix

extern "C" {

int _stat(const char* path, struct stat* out) {
    return answer(tell(AT_FDCWD, path, *out, 0));
}
int lstat(const char* path, struct stat* out) {
    return answer(tell(AT_FDCWD, path, *out, AT_SYMLINK_NOFOLLOW));
}
int fstatat(int at, const char* path, struct stat* out, int flags) {
    if ((flags & ~AT_SYMLINK_NOFOLLOW) != 0) return answer(Outcome<>(refuse(EINVAL)));
    return answer(tell(at, path, *out, flags));
}
int access(const char* path, int wanted) {
    return answer(look(AT_FDCWD, path, wanted));
}
int faccessat(int at, const char* path, int wanted, int) {
    return answer(look(at, path, wanted));
}
int eaccess(const char* path, int wanted) {
    return answer(look(AT_FDCWD, path, wanted));
}
int mkdir(const char* path, mode_t mode) {
    return answer(make_directory(AT_FDCWD, path, mode));
}
int _mkdir(const char* path, mode_t mode) {
    return mkdir(path, mode);
}
int mkdirat(int at, const char* path, mode_t mode) {
    return answer(make_directory(at, path, mode));
}
int rmdir(const char* path) {
    return answer(remove_name(AT_FDCWD, path, true));
}
int _unlink(const char* path) {
    return answer(remove_name(AT_FDCWD, path, false));
}
int unlinkat(int at, const char* path, int flags) {
    return answer(remove_name(at, path, (flags & AT_REMOVEDIR) != 0));
}
int remove(const char* path) {
    struct stat s;
    if (lstat(path, &s) != 0) return -1;
    return answer(remove_name(AT_FDCWD, path, S_ISDIR(s.st_mode)));
}
int _remove_r(struct _reent*, const char* path) {
    return remove(path);
}
int rename(const char* from, const char* to) {
    return answer(rename_as(AT_FDCWD, from, AT_FDCWD, to));
}
int renameat(int from_at, const char* from, int to_at, const char* to) {
    return answer(rename_as(from_at, from, to_at, to));
}
int _rename_r(struct _reent*, const char* from, const char* to) {
    return rename(from, to);
}
int _link(const char* from, const char* to) {
    return answer(link_as(AT_FDCWD, from, AT_FDCWD, to));
}
int linkat(int from_at, const char* from, int to_at, const char* to, int) {
    return answer(link_as(from_at, from, to_at, to));
}
int symlink(const char* target, const char* path) {
    return answer(link_to(target, AT_FDCWD, path));
}
int symlinkat(const char* target, int at, const char* path) {
    return answer(link_to(target, at, path));
}
ssize_t readlink(const char* path, char* to, size_t size) {
    return answer<ssize_t>(target_of(AT_FDCWD, path, to, size));
}
ssize_t readlinkat(int at, const char* path, char* to, size_t size) {
    return answer<ssize_t>(target_of(at, path, to, size));
}
int chmod(const char* path, mode_t mode) {
    return answer(change(AT_FDCWD, path, mode_to(mode), 0));
}
int fchmod(int fd, mode_t mode) {
    return answer(change(fd, mode_to(mode)));
}
int fchmodat(int at, const char* path, mode_t mode, int flags) {
    return answer(change(at, path, mode_to(mode), flags));
}
int chown(const char* path, uid_t uid, gid_t gid) {
    return answer(change(AT_FDCWD, path, owner_to(uid, gid), 0));
}
int lchown(const char* path, uid_t uid, gid_t gid) {
    return answer(change(AT_FDCWD, path, owner_to(uid, gid), AT_SYMLINK_NOFOLLOW));
}
int fchown(int fd, uid_t uid, gid_t gid) {
    return answer(change(fd, owner_to(uid, gid)));
}
int fchownat(int at, const char* path, uid_t uid, gid_t gid, int flags) {
    return answer(change(at, path, owner_to(uid, gid), flags));
}
int utimensat(int at, const char* path, const timespec* times, int flags) {
    const auto to = times_to(times);
    return to ? answer(change(at, path, *to, flags)) : answer(Outcome<>(refuse(to.error())));
}
int futimens(int fd, const timespec* times) {
    const auto to = times_to(times);
    return to ? answer(change(fd, *to)) : answer(Outcome<>(refuse(to.error())));
}
int utimes(const char* path, const timeval* times) {
    if (times == nullptr) return utimensat(AT_FDCWD, path, nullptr, 0);
    const timespec fine[2] = {{.tv_sec = times[0].tv_sec, .tv_nsec = static_cast<long>(times[0].tv_usec) * 1000},
                              {.tv_sec = times[1].tv_sec, .tv_nsec = static_cast<long>(times[1].tv_usec) * 1000}};
    return utimensat(AT_FDCWD, path, fine, 0);
}
int utime(const char* path, const utimbuf* times) {
    if (times == nullptr) return utimensat(AT_FDCWD, path, nullptr, 0);
    const timespec fine[2] = {{.tv_sec = times->actime, .tv_nsec = 0}, {.tv_sec = times->modtime, .tv_nsec = 0}};
    return utimensat(AT_FDCWD, path, fine, 0);
}
int truncate(const char* text, off_t size) {
    const auto path = Path::of(text, AT_FDCWD);
    if (size < 0) return answer(Outcome<>(refuse(EINVAL)));
    if (!path) return answer(Outcome<>(refuse(path.error())));
    const auto cut = files().truncate(*path, static_cast<u64>(size));
    return cut ? 0 : answer(Outcome<>(refuse(cut.error())));
}
mode_t umask(mode_t to) {
    return mask.exchange(to & 0777);
}
int statvfs(const char* path, struct statvfs* out) {
    return answer(tell_filesystem(path, *out));
}
int chdir(const char* text) {
    const auto path = Path::of(text, AT_FDCWD);
    return path ? answer(change_directory(*path)) : answer(Outcome<>(refuse(path.error())));
}
int fchdir(int fd) {
    const auto d = description(fd);
    if (!d) return answer(Outcome<>(refuse(d.error())));
    DirectoryDescription* directory = (*d)->as_directory();
    return directory != nullptr ? answer(change_directory(directory->path())) : answer(Outcome<>(refuse(ENOTDIR)));
}
char* getcwd(char* to, size_t size) {
    if (to != nullptr && size == 0) {
        errno = EINVAL;
        return nullptr;
    }
    char* const made = to == nullptr ? static_cast<char*>(malloc(size != 0 ? size : size_t{PATH_MAX})) : to;
    if (made == nullptr) return nullptr;
    const auto told = current_directory(made, size != 0 || to != nullptr ? size : size_t{PATH_MAX});
    if (told) return made;
    if (made != to) free(made);
    answer(told);
    return nullptr;
}
// Nothing of this kind can be made in the tree.
int mkfifo(const char*, mode_t) {
    return answer(Outcome<>(refuse(ENOSYS)));
}
int mknod(const char*, mode_t, dev_t) {
    return answer(Outcome<>(refuse(ENOSYS)));
}

}  // extern "C"
