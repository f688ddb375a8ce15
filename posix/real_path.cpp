// realpath(): a path without links, "." and "..". Context: thread.
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "posix/paths.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

constexpr int kMostLinks = 40;

/// The path that grows, always without a slash at its end: "" is the root.
struct Resolved {
    char text[PATH_MAX] = "";
    usize length = 0;

    void up() {
        while (length > 0 && text[--length] != '/') {
        }
        text[length] = '\0';
    }
    Outcome<> down(std::string_view name) {
        if (length + 1 + name.size() >= sizeof text) return refuse(ENAMETOOLONG);
        text[length++] = '/';
        std::copy(name.begin(), name.end(), text + length);
        length += name.size();
        text[length] = '\0';
        return {};
    }
};

/// Puts the link's target in front of what is left of the way.
Outcome<> follow(Resolved& so_far, char (&rest)[PATH_MAX]) {
    char target[PATH_MAX];
    const ssize_t size = readlink(so_far.text, target, sizeof target - 1);
    if (size < 0) return refuse(errno);
    const usize left = strlen(rest);
    if (static_cast<usize>(size) + left >= sizeof rest) return refuse(ENAMETOOLONG);
    memmove(rest + size, rest, left + 1);  // it is empty, or begins with a slash
    memcpy(rest, target, static_cast<usize>(size));
    so_far.up();
    if (target[0] == '/') so_far = {};
    return {};
}

Outcome<> resolve(const char* path, Resolved& out) {
    const Path whole = TRY_POSIX(Path::of(path, AT_FDCWD));
    char rest[PATH_MAX];
    if (whole.text().size() >= sizeof rest) return refuse(ENAMETOOLONG);
    std::copy_n(whole.text().data(), whole.text().size(), rest);
    rest[whole.text().size()] = '\0';
    int links = 0;
    for (;;) {
        const usize slashes = strspn(rest, "/");
        const usize length = strcspn(rest + slashes, "/");
        if (length == 0) return {};
        char name[PATH_MAX];
        memcpy(name, rest + slashes, length);
        const std::string_view part(name, length);
        memmove(rest, rest + slashes + length, strlen(rest + slashes + length) + 1);
        const bool must_be_directory = rest[0] == '/';
        if (part == ".") continue;
        if (part == "..") {
            out.up();
            continue;
        }
        TRY_POSIX(out.down(part));
        struct stat s;
        if (lstat(out.text, &s) != 0) return refuse(errno);
        if (S_ISLNK(s.st_mode)) {
            if (++links > kMostLinks) return refuse(ELOOP);
            TRY_POSIX(follow(out, rest));
        } else if (must_be_directory && !S_ISDIR(s.st_mode)) {
            return refuse(ENOTDIR);
        }
    }
}

}  // namespace

extern "C" char* realpath(const char* path, char* to) {
    Resolved found;
    const auto done = path != nullptr ? resolve(path, found) : Outcome<>(refuse(EINVAL));
    if (!done) {
        errno = done.error().code;
        return nullptr;
    }
    const char* const text = found.length == 0 ? "/" : found.text;
    return to != nullptr ? strcpy(to, text) : strdup(text);
}
