// Calls by descriptor: open, read, write, seek, stat, dup, fcntl, ioctl, fsync, and what belongs to directories.
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/dirent.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <ringlet/file.hpp>

#include "posix/descriptor_table.hpp"
#include "posix/file.hpp"
#include "posix/paths.hpp"
#include "posix/special.hpp"
#include "posix/thread.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

constexpr usize kMostBytes = SSIZE_MAX;

MutableBytes buffer(void* p, usize bytes) {
    return {static_cast<std::byte*>(p), bytes};
}
Bytes buffer(const void* p, usize bytes) {
    return {static_cast<const std::byte*>(p), bytes};
}

Outcome<int> open_directory(const Path& path, int flags) {
    if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0) return refuse(EISDIR);
    return insert_new<DirectoryDescription>((flags & O_CLOEXEC) != 0, TRY_POSIX(files().open_directory(path)), flags,
                                            path.text());
}

Outcome<int> insert_if_made(Outcome<Ref> made, bool close_on_exec) {
    return insert(TRY_POSIX(std::move(made)), close_on_exec);
}

Outcome<int> open_at(int at, const char* text, int flags, mode_t mode) {
    const Path path = TRY_POSIX(Path::of(text, at));
    const bool close_on_exec = (flags & O_CLOEXEC) != 0;
    if (const Special* special = find_special(path))
        return insert_if_made(open_special(*special, flags), close_on_exec);
    if ((flags & O_DIRECTORY) != 0) return open_directory(path, flags);
    if ((flags & O_NOFOLLOW) != 0)
        if (const auto there = files().lstat(path); there && there->type == fs::NodeType::symlink) return refuse(ELOOP);
    auto file = files().open(path, mode_of(flags), static_cast<u16>(mode & ~umask_now() & 07777));
    if (!file && file.error() == Error::is_directory) return open_directory(path, flags);
    if (!file) return refuse(file.error());
    return insert_new<FileDescription>(close_on_exec, std::move(*file), flags & ~(O_CREAT | O_EXCL | O_TRUNC));
}

Outcome<usize> read_from(int fd, MutableBytes to) {
    if (cancel_due()) return refuse(EINTR);
    const Ref d = TRY_POSIX(description(fd));
    if (to.size() > kMostBytes) return refuse(EINVAL);
    if (!d->readable()) return refuse(EBADF);
    return d->read(to);
}

Outcome<usize> write_to(int fd, Bytes from) {
    if (cancel_due()) return refuse(EINTR);
    const Ref d = TRY_POSIX(description(fd));
    if (from.size() > kMostBytes) return refuse(EINVAL);
    if (!d->writable()) return refuse(EBADF);
    return d->write(from);
}

Outcome<usize> read_at(int fd, MutableBytes to, off_t offset) {
    const Ref d = TRY_POSIX(description(fd));
    if (offset < 0) return refuse(EINVAL);
    return d->read_at(static_cast<u64>(offset), to);
}

Outcome<usize> write_at(int fd, Bytes from, off_t offset) {
    const Ref d = TRY_POSIX(description(fd));
    if (offset < 0) return refuse(EINVAL);
    return d->write_at(static_cast<u64>(offset), from);
}

/// One piece after the other until one is cut short.
template <class Move> Outcome<usize> in_pieces(const iovec* pieces, int count, Move move) {
    if (count < 0 || count > IOV_MAX) return refuse(EINVAL);
    usize done = 0;
    for (int i = 0; i < count; ++i) {
        if (pieces[i].iov_len == 0) continue;
        const Outcome<usize> moved = move(pieces[i], done);
        if (!moved) return done != 0 ? Outcome<usize>(done) : moved;
        done += *moved;
        if (*moved < pieces[i].iov_len) break;
    }
    return done;
}

Outcome<u64> seek_to(int fd, off_t offset, int whence) {
    return TRY_POSIX(description(fd))->seek(offset, whence);
}

Outcome<> tell(int fd, struct stat& out) {
    return TRY_POSIX(description(fd))->stat(out);
}

Outcome<> cut(int fd, off_t size) {
    const Ref d = TRY_POSIX(description(fd));
    if (size < 0) return refuse(EINVAL);
    return d->truncate(static_cast<u64>(size));
}

Outcome<> settle(int fd, bool data_only) {
    return TRY_POSIX(description(fd))->sync(data_only);
}

Outcome<int> again(int fd, int least, bool close_on_exec) {
    return insert(TRY_POSIX(description(fd)), close_on_exec, least);
}

Outcome<int> again_as(int from, int to, bool close_on_exec) {
    return insert_at(to, TRY_POSIX(description(from)), close_on_exec);
}

/// The flags that fcntl() may change; O_APPEND is settled by open().
constexpr int kChangeable = O_NONBLOCK;

Outcome<int> control_file(int fd, int command, long argument) {
    const Ref d = TRY_POSIX(description(fd));
    switch (command) {
    case F_DUPFD:
        return again(fd, static_cast<int>(argument), false);
    case F_DUPFD_CLOEXEC:
        return again(fd, static_cast<int>(argument), true);
    case F_GETFD:
        return TRY_POSIX(closes_on_exec(fd)) ? FD_CLOEXEC : 0;
    case F_SETFD:
        TRY_POSIX(set_close_on_exec(fd, (argument & FD_CLOEXEC) != 0));
        return 0;
    case F_GETFL:
        return d->flags() & ~O_CLOEXEC;
    case F_SETFL:
        d->set_flags((d->flags() & ~kChangeable) | (static_cast<int>(argument) & kChangeable));
        return 0;
    // Locks are between processes, and there is one: nobody else has any.
    case F_GETLK:
        reinterpret_cast<struct flock*>(argument)->l_type = F_UNLCK;
        return 0;
    case F_SETLK:
    case F_SETLKW:
        return d->as_file() != nullptr ? Outcome<int>(0) : refuse(EINVAL);
    default:
        return refuse(EINVAL);
    }
}

Outcome<int> control_device(int fd, unsigned long request, void* argument) {
    const Ref d = TRY_POSIX(description(fd));
    if (request == FIONBIO) {
        d->set_flags(*static_cast<int*>(argument) != 0 ? d->flags() | O_NONBLOCK : d->flags() & ~O_NONBLOCK);
        return 0;
    }
    return d->control(request, argument);
}

Outcome<> make_room(int fd, off_t offset, off_t length) {
    const Ref d = TRY_POSIX(description(fd));
    if (offset < 0 || length <= 0) return refuse(EINVAL);
    FileDescription* file = d->as_file();
    if (file == nullptr) return refuse(ENODEV);
    if (!d->writable()) return refuse(EBADF);
    TRY_POSIX(file->file().allocate(static_cast<u64>(offset), static_cast<u64>(length)));
    return {};
}

Outcome<usize> list(int fd, MutableBytes to) {
    const Ref d = TRY_POSIX(description(fd));
    DirectoryDescription* directory = d->as_directory();
    if (directory == nullptr) return refuse(ENOTDIR);
    return directory->entries(to);
}

Outcome<bool> terminal(int fd) {
    return TRY_POSIX(description(fd))->is_terminal();
}

}  // namespace

extern "C" {

int _open(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(more, int)) : 0;
    va_end(more);
    return answer(open_at(AT_FDCWD, path, flags, mode));
}
int openat(int at, const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(more, int)) : 0;
    va_end(more);
    return answer(open_at(at, path, flags, mode));
}
int _close(int fd) {
    return answer(remove(fd));
}
ssize_t _read(int fd, void* to, size_t bytes) {
    return finish<ssize_t>([&] { return read_from(fd, buffer(to, bytes)); });
}
ssize_t _write(int fd, const void* from, size_t bytes) {
    return finish<ssize_t>([&] { return write_to(fd, buffer(from, bytes)); });
}
ssize_t pread(int fd, void* to, size_t bytes, off_t offset) {
    return finish<ssize_t>([&] { return read_at(fd, buffer(to, bytes), offset); });
}
ssize_t pwrite(int fd, const void* from, size_t bytes, off_t offset) {
    return finish<ssize_t>([&] { return write_at(fd, buffer(from, bytes), offset); });
}
ssize_t readv(int fd, const iovec* pieces, int count) {
    return finish<ssize_t>([&] {
        return in_pieces(pieces, count,
                         [fd](const iovec& p, usize) { return read_from(fd, buffer(p.iov_base, p.iov_len)); });
    });
}
ssize_t writev(int fd, const iovec* pieces, int count) {
    return finish<ssize_t>([&] {
        return in_pieces(pieces, count, [fd](const iovec& p, usize) {
            return write_to(fd, buffer(static_cast<const void*>(p.iov_base), p.iov_len));
        });
    });
}
ssize_t preadv(int fd, const iovec* pieces, int count, off_t offset) {
    return finish<ssize_t>([&] {
        return in_pieces(pieces, count, [fd, offset](const iovec& p, usize done) {
            return read_at(fd, buffer(p.iov_base, p.iov_len), offset + static_cast<off_t>(done));
        });
    });
}
ssize_t pwritev(int fd, const iovec* pieces, int count, off_t offset) {
    return finish<ssize_t>([&] {
        return in_pieces(pieces, count, [fd, offset](const iovec& p, usize done) {
            return write_at(fd, buffer(static_cast<const void*>(p.iov_base), p.iov_len),
                            offset + static_cast<off_t>(done));
        });
    });
}
off_t _lseek(int fd, off_t offset, int whence) {
    return answer<off_t>(seek_to(fd, offset, whence));
}
int _fstat(int fd, struct stat* out) {
    return answer(tell(fd, *out));
}
int ftruncate(int fd, off_t size) {
    return answer(cut(fd, size));
}
int fsync(int fd) {
    return answer(settle(fd, false));
}
int fdatasync(int fd) {
    return answer(settle(fd, true));
}
void sync() {
    (void)files().sync();
}
int posix_fallocate(int fd, off_t offset, off_t length) {
    return code_of(make_room(fd, offset, length));
}
/// Advice is free to be left.
int posix_fadvise(int fd, off_t, off_t, int) {
    const auto d = description(fd);
    return d ? 0 : d.error().code;
}
int fstatvfs(int fd, struct statvfs* out) {
    const auto d = description(fd);
    if (!d) return answer(Outcome<>(refuse(d.error())));
    DirectoryDescription* directory = (*d)->as_directory();
    return statvfs(directory != nullptr ? directory->path().data() : "/", out);
}
int dup(int fd) {
    return answer(again(fd, 0, false));
}
int dup2(int from, int to) {
    return answer(again_as(from, to, false));
}
int dup3(int from, int to, int flags) {
    return from == to ? answer(Outcome<int>(refuse(EINVAL))) : answer(again_as(from, to, (flags & O_CLOEXEC) != 0));
}
int fcntl(int fd, int command, ...) {
    va_list more;
    va_start(more, command);
    const long argument = va_arg(more, long);
    va_end(more);
    return answer(control_file(fd, command, argument));
}
/// newlib's own name for it.
int _fcntl(int fd, int command, ...) __attribute__((alias("fcntl")));
int ioctl(int fd, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    void* argument = va_arg(more, void*);
    va_end(more);
    return answer(control_device(fd, request, argument));
}
int _isatty(int fd) {
    const auto is = terminal(fd);
    if (is && !*is) errno = ENOTTY;
    return is ? *is : answer(is) + 1;
}
char* ttyname(int fd) {
    static char name[] = "/dev/console";
    return _isatty(fd) ? name : nullptr;
}
/// For newlib's readdir().
ssize_t getdents(int fd, void* to, size_t bytes) {
    return answer<ssize_t>(list(fd, buffer(to, bytes)));
}
int flock(int fd, int) {
    const auto d = description(fd);
    return d ? 0 : answer(Outcome<>(refuse(d.error())));
}
int lockf(int fd, int, off_t) {
    return flock(fd, 0);
}

}  // extern "C"
