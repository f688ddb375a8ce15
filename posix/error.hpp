// errno. Functions here give an Outcome; at the C boundary answer() turns it into a return value and errno.
#pragma once

#include <cerrno>
#include <expected>
#include <utility>

#include "lib/result.hpp"

namespace ringlet::posix {

/// What errno says of an error of Ringlet's.
int errno_of(Error error);

/// A value of <errno.h>.
struct Errno {
    int code;
    constexpr Errno(int c) : code(c) {}
    Errno(Error error) : code(errno_of(error)) {}
};

template <class T = void> using Outcome = std::expected<T, Errno>;

inline std::unexpected<Errno> refuse(Errno error) {
    return std::unexpected<Errno>(error);
}

/// The value as R, or -1 and errno.
template <class R = int, class T> R answer(const Outcome<T>& outcome) {
    if (!outcome) {
        errno = outcome.error().code;
        return static_cast<R>(-1);
    }
    if constexpr (std::is_void_v<T>)
        return R{};
    else
        return static_cast<R>(*outcome);
}

/// For functions that return the error itself, as pthread's do: 0 or the code.
inline int code_of(const Outcome<>& outcome) {
    return outcome ? 0 : outcome.error().code;
}

}  // namespace ringlet::posix

/// As TRY, for whatever has an error() that an Errno can be made of, in a function that returns an Outcome.
#define TRY_POSIX(expr)                                                                                                \
    ({                                                                                                                 \
        auto try_outcome_ = (expr);                                                                                    \
        if (!try_outcome_) [[unlikely]]                                                                                \
            return ::ringlet::posix::refuse(try_outcome_.error());                                                     \
        std::move(try_outcome_).value();                                                                               \
    })
