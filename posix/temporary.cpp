// mkstemp() and its like: names that nobody can guess. In place of newlib's, whose mkdtemp() makes nothing.
// Context: thread.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <span>

#include "kernel/random.hpp"
#include "posix/error.hpp"

using namespace ringlet;

namespace {

constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
constexpr usize kFree = 6;  ///< the X that are replaced

/// make() with fresh names until it does not say that there is one already. EINVAL: no six X before the suffix.
template <class Make> int try_names(char* name, int suffix, Make make) {
    const usize length = strlen(name);
    char* const free = name + length - kFree - static_cast<usize>(suffix);
    if (suffix < 0 || length < kFree + static_cast<usize>(suffix) || strncmp(free, "XXXXXX", kFree) != 0) {
        errno = EINVAL;
        return -1;
    }
    for (int tries = 0; tries < 100; ++tries) {
        u8 random[kFree];
        kernel::random_fill(std::as_writable_bytes(std::span(random)));
        for (usize i = 0; i < kFree; ++i) free[i] = kLetters[random[i] % (sizeof kLetters - 1)];
        const int made = make();
        if (made >= 0 || errno != EEXIST) return made;
    }
    return -1;
}

}  // namespace

extern "C" {

int mkostemps(char* name, int suffix, int flags) {
    return try_names(name, suffix, [&] { return open(name, (flags & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL, 0600); });
}
int mkstemps(char* name, int suffix) {
    return mkostemps(name, suffix, 0);
}
int mkostemp(char* name, int flags) {
    return mkostemps(name, 0, flags);
}
int mkstemp(char* name) {
    return mkostemps(name, 0, 0);
}
char* mkdtemp(char* name) {
    return try_names(name, 0, [&] { return mkdir(name, 0700); }) == 0 ? name : nullptr;
}
char* mktemp(char* name) {
    struct stat s;
    const auto is_free = [&] { return lstat(name, &s) != 0 ? 0 : (errno = EEXIST, -1); };
    if (try_names(name, 0, is_free) != 0) name[0] = '\0';
    return name;
}

}  // extern "C"
