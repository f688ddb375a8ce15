// /dev/null, /dev/zero, /dev/random, /dev/console and their kin: names that open() knows without a filesystem. Each
// image has them, whatever is mounted; readdir() does not show them.
#pragma once

#include <string_view>

#include "posix/description.hpp"

namespace ringlet::posix {

struct Special {
    std::string_view path;
    enum class Kind : u8 { null, zero, random, console } kind;
};

/// nullptr: `path` is none of them.
const Special* find_special(std::string_view path);
/// ENOMEM.
Outcome<Ref> open_special(const Special& special, int flags);
Outcome<> stat_special(const Special& special, struct stat& out);

/// The mask of umask().
mode_t umask_now();

}  // namespace ringlet::posix
