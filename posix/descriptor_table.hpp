// File descriptors: small numbers for descriptions. Context: thread.
#pragma once

#include "posix/description.hpp"

namespace ringlet::posix {

inline constexpr int kOpenMax = 1024;

/// What `fd` refers to. EBADF.
Outcome<Ref> description(int fd);
/// The lowest free number from `least` on. EMFILE, ENOMEM.
Outcome<int> insert(Ref what, bool close_on_exec = false, int least = 0);
/// Both or none.
Outcome<> insert_two(int (&fds)[2], Ref first, Ref second, bool close_on_exec);
/// `fd` refers to `what` from now on; what it was is closed.
Outcome<int> insert_at(int fd, Ref what, bool close_on_exec);
Outcome<> remove(int fd);
Outcome<bool> closes_on_exec(int fd);
Outcome<> set_close_on_exec(int fd, bool yes);

/// Descriptors 0, 1 and 2 are the console.
void open_console();

/// A new D(arguments…). ENOMEM.
template <class D, class... A> Outcome<Ref> make_description(A&&... arguments) {
    auto* made = new (std::nothrow) D(std::forward<A>(arguments)...);
    if (made == nullptr) return refuse(ENOMEM);
    return Ref(made);
}
/// The same, in the table.
template <class D, class... A> Outcome<int> insert_new(bool close_on_exec, A&&... arguments) {
    return insert(TRY_POSIX(make_description<D>(std::forward<A>(arguments)...)), close_on_exec);
}

}  // namespace ringlet::posix
