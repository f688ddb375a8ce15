// Failure is a value: nothing in the kernel throws, and no failure may be ignored.
#pragma once

#include <expected>
#include <string_view>

#include "lib/types.hpp"

namespace ringlet {

/// Why something failed. Closed on purpose: what a caller can act upon, not what happened inside.
enum class Error : u8 {
    io,  ///< the device reported a failure
    no_memory,
    no_space,  ///< a ring, a disk, a table is full
    not_found,
    exists,
    invalid,  ///< the caller's argument
    would_block,
    timed_out,
    connection_reset,
    connection_refused,
    unreachable,  ///< no route, or ICMP said so
    not_connected,
    in_use,  ///< address or port already bound
    unsupported,
    device_broken,  ///< the device lied or went away
    corrupt,        ///< a disk or table whose contents cannot be right
    read_only,
    not_directory,
    is_directory,
    name_too_long,
    too_many_links,  ///< symbolic links followed, or names of one file
    cross_device,    ///< from one filesystem to another
    too_large,
    closed,
    cancelled,
};

/// A short lower-case English phrase, for logs and the shell.
std::string_view to_string(Error e);

/// A value or the reason there is none. A class of its own only to be [[nodiscard]]: the library's std::expected
/// may be dropped without a word, so a forgotten check would compile.
template <class T = void> class [[nodiscard]] Result : public std::expected<T, Error> {
public:
    using std::expected<T, Error>::expected;
    using std::expected<T, Error>::operator=;
};

/// `return fail(Error::io);` from any function that returns a Result.
constexpr std::unexpected<Error> fail(Error e) {
    return std::unexpected<Error>(e);
}

}  // namespace ringlet

/// Evaluates a Result; returns its error from the enclosing function, or yields its value.
/// One per line: nesting is rejected by -Wshadow.
#define TRY(expr)                                                                                                      \
    ({                                                                                                                 \
        auto try_result_ = (expr);                                                                                     \
        if (!try_result_) [[unlikely]]                                                                                 \
            return ::ringlet::fail(try_result_.error());                                                               \
        std::move(try_result_).value();                                                                                \
    })
