// Paths as POSIX has them, relative ones too, for the tree, which knows absolute ones only. Context: thread.
#pragma once

#include <limits.h>

#include <string_view>

#include "posix/error.hpp"

namespace ringlet::posix {

/// An absolute path, on the stack of whoever needs it.
class Path {
public:
    /// `text` as seen from the directory `at`, or from the current one (AT_FDCWD). ENOENT: empty; ENAMETOOLONG; EFAULT:
    /// nullptr; EBADF, ENOTDIR.
    static Outcome<Path> of(const char* text, int at);
    std::string_view text() const { return {text_, length_}; }
    operator std::string_view() const { return text(); }

private:
    char text_[PATH_MAX + PATH_MAX];
    usize length_ = 0;
};

Outcome<> change_directory(std::string_view path);
/// The current directory, terminated, into `to`. ERANGE.
Outcome<> current_directory(char* to, usize size);

}  // namespace ringlet::posix
