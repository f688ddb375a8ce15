#include "posix/paths.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include <ringlet/file.hpp>

#include "kernel/sync/spinlock.hpp"
#include "posix/descriptor_table.hpp"
#include "posix/file.hpp"

namespace ringlet::posix {

namespace {

struct Current {
    char path[PATH_MAX] = "/";
    usize length = 1;
};
constinit kernel::Guarded<Current, kernel::Rank::readiness, kernel::Spinlock> current;

/// Copies where a relative path begins into `to`.
Outcome<usize> base(int at, char* to) {
    if (at == AT_FDCWD) {
        auto held = current.lock();
        std::copy_n(held->path, held->length, to);
        return held->length;
    }
    const Ref d = TRY_POSIX(description(at));
    DirectoryDescription* directory = d->as_directory();
    if (directory == nullptr) return refuse(ENOTDIR);
    const std::string_view path = directory->path();
    std::copy_n(path.data(), path.size(), to);
    return path.size();
}

}  // namespace

// Not shortened: "a/../b" is for the tree to walk, since "a" may be a link, or not be there.
Outcome<Path> Path::of(const char* text, int at) {
    if (text == nullptr) return refuse(EFAULT);
    const usize length = strnlen(text, PATH_MAX);
    if (length == 0) return refuse(ENOENT);
    if (length == PATH_MAX) return refuse(ENAMETOOLONG);
    Path path;
    if (text[0] != '/') {
        path.length_ = TRY_POSIX(base(at, path.text_));
        if (path.text_[path.length_ - 1] != '/') path.text_[path.length_++] = '/';
    }
    std::copy_n(text, length, path.text_ + path.length_);
    path.length_ += length;
    return path;
}

Outcome<> change_directory(std::string_view path) {
    TRY_POSIX(files().open_directory(path));
    char joined[PATH_MAX];
    const std::string_view clean = TRY_POSIX(fs::join_path("/", path, joined));
    auto held = current.lock();
    std::copy_n(clean.data(), clean.size(), held->path);
    held->length = clean.size();
    return {};
}

Outcome<> current_directory(char* to, usize size) {
    auto held = current.lock();
    if (held->length >= size) return refuse(ERANGE);
    std::copy_n(held->path, held->length, to);
    to[held->length] = '\0';
    return {};
}

}  // namespace ringlet::posix
