#include "posix/file.hpp"

#include <sys/dirent.h>

#include <algorithm>
#include <cstring>

namespace ringlet::posix {

namespace {

mode_t type_of(fs::NodeType type) {
    switch (type) {
    case fs::NodeType::file:
        return S_IFREG;
    case fs::NodeType::directory:
        return S_IFDIR;
    case fs::NodeType::symlink:
        return S_IFLNK;
    case fs::NodeType::char_device:
        return S_IFCHR;
    case fs::NodeType::block_device:
        return S_IFBLK;
    case fs::NodeType::fifo:
        return S_IFIFO;
    case fs::NodeType::socket:
        return S_IFSOCK;
    }
    return 0;
}

timespec time_of(const fs::Timestamp& t) {
    return {.tv_sec = static_cast<time_t>(t.seconds), .tv_nsec = static_cast<long>(t.nanoseconds)};
}

}  // namespace

void fill(struct stat& out, const fs::Stat& from) {
    out = {};
    out.st_dev = static_cast<dev_t>(from.filesystem);
    out.st_ino = static_cast<ino_t>(from.inode);
    out.st_mode = type_of(from.type) | from.mode;
    out.st_nlink = static_cast<nlink_t>(std::min<u32>(from.links, UINT16_MAX));
    out.st_uid = static_cast<uid_t>(from.uid);
    out.st_gid = static_cast<gid_t>(from.gid);
    out.st_size = static_cast<off_t>(from.size);
    out.st_blksize = static_cast<blksize_t>(from.block_size);
    out.st_blocks = static_cast<blkcnt_t>(from.sectors);
    out.st_atim = time_of(from.accessed);
    out.st_mtim = time_of(from.modified);
    out.st_ctim = time_of(from.changed);
}

fs::OpenMode mode_of(int flags) {
    using enum fs::OpenMode;
    fs::OpenMode mode = (flags & O_ACCMODE) == O_RDONLY ? read : read_write;
    if ((flags & O_CREAT) != 0) mode = mode | ((flags & O_EXCL) != 0 ? create_new : create);
    if ((flags & O_TRUNC) != 0) mode = mode | truncate;
    if ((flags & O_APPEND) != 0) mode = mode | append;
    if ((flags & (O_SYNC | O_DSYNC)) != 0) mode = mode | synchronous;
    return mode;
}

Outcome<usize> FileDescription::read(MutableBytes to) {
    if (!readable()) return refuse(EBADF);
    const auto held = position_.lock();
    return TRY_POSIX(file_.read(to));
}
Outcome<usize> FileDescription::write(Bytes from) {
    if (!writable()) return refuse(EBADF);
    const auto held = position_.lock();
    return TRY_POSIX(file_.write(from));
}
Outcome<usize> FileDescription::read_at(u64 offset, MutableBytes to) {
    if (!readable()) return refuse(EBADF);
    return TRY_POSIX(file_.read_at(offset, to));
}
Outcome<usize> FileDescription::write_at(u64 offset, Bytes from) {
    if (!writable()) return refuse(EBADF);
    return TRY_POSIX(file_.write_at(offset, from));
}
Outcome<u64> FileDescription::seek(i64 offset, int whence) {
    if (whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END) return refuse(EINVAL);
    const auto held = position_.lock();
    using enum fs::Whence;
    return TRY_POSIX(file_.seek(offset, whence == SEEK_SET ? start : whence == SEEK_CUR ? current : end));
}
Outcome<> FileDescription::stat(struct stat& out) {
    fill(out, TRY_POSIX(file_.stat()));
    return {};
}
Outcome<> FileDescription::truncate(u64 size) {
    if (!writable()) return refuse(EINVAL);
    TRY_POSIX(file_.truncate(size));
    return {};
}
Outcome<> FileDescription::sync(bool data_only) {
    TRY_POSIX(file_.sync(data_only ? fs::Sync::data : fs::Sync::all));
    return {};
}

DirectoryDescription::DirectoryDescription(fs::Directory directory, int flags, std::string_view path)
    : Description(flags) {
    state_.lock()->directory = std::move(directory);
    const usize n = std::min(path.size(), sizeof path_ - 1);
    std::copy_n(path.data(), n, path_);
    path_[n] = '\0';
}

Outcome<usize> DirectoryDescription::read(MutableBytes) {
    return refuse(EISDIR);
}

Outcome<u64> DirectoryDescription::seek(i64 offset, int whence) {
    auto held = state_.lock();
    if (whence == SEEK_CUR && offset == 0) return held->directory.cookie();
    if (whence != SEEK_SET || offset < 0) return refuse(EINVAL);
    held->directory.resume(static_cast<u64>(offset));
    held->put_back = false;
    return static_cast<u64>(offset);
}

Outcome<> DirectoryDescription::stat(struct stat& out) {
    fill(out, TRY_POSIX(state_.lock()->directory.inode()->stat()));
    return {};
}

Outcome<> DirectoryDescription::sync(bool) {
    TRY_POSIX(state_.lock()->directory.sync());
    return {};
}

Outcome<usize> DirectoryDescription::entries(MutableBytes to) {
    auto held = state_.lock();
    usize used = 0;
    for (;;) {
        if (!held->put_back && !TRY_POSIX(held->directory.next(held->next))) return used;
        const std::string_view name = held->next.name();
        const usize size = align_up(offsetof(dirent, d_name) + name.size() + 1, alignof(dirent));
        held->put_back = size > to.size() - used;
        if (held->put_back) {
            if (used == 0) return refuse(EINVAL);
            return used;
        }
        auto* entry = reinterpret_cast<dirent*>(to.data() + used);
        entry->d_ino = static_cast<ino_t>(held->next.inode);
        entry->d_off = static_cast<off_t>(held->directory.cookie());
        entry->d_reclen = static_cast<u16>(size);
        entry->d_type = static_cast<u8>(IFTODT(type_of(held->next.type)));
        entry->d_namlen = static_cast<u16>(name.size());
        std::memcpy(entry->d_name, name.data(), name.size());
        entry->d_name[name.size()] = '\0';
        used += size;
    }
}

}  // namespace ringlet::posix
