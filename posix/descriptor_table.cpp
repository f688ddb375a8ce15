#include "posix/descriptor_table.hpp"

#include <algorithm>
#include <memory>
#include <new>

#include "kernel/sync/spinlock.hpp"
#include "posix/console.hpp"

namespace ringlet::posix {

namespace {

struct Row {
    Ref what;
    bool close_on_exec = false;
};

// Grows by doubling; rows move only under the lock. Never destroyed: threads may run until the machine stops.
struct Table {
    Row* rows = nullptr;
    int size = 0;
    Row* find(int fd) const { return fd >= 0 && fd < size && rows[fd].what ? &rows[fd] : nullptr; }
};
using Guarded = kernel::Guarded<Table, kernel::Rank::readiness, kernel::Spinlock>;
constinit Guarded table;

/// Room for row `fd`. Not under the lock: memory may have to be waited for.
Outcome<> make_room(int fd) {
    if (fd >= kOpenMax) return refuse(EMFILE);
    int size;
    {
        auto held = table.lock();
        if (fd < held->size) return {};
        size = std::max(16, held->size);
    }
    while (size <= fd) size *= 2;
    std::unique_ptr<Row[]> rows(new (std::nothrow) Row[static_cast<usize>(size)]);
    if (!rows) return refuse(ENOMEM);
    Row* old = nullptr;
    {
        auto held = table.lock();
        if (held->size >= size) return {};
        std::move(held->rows, held->rows + held->size, rows.get());
        old = std::exchange(held->rows, rows.release());
        held->size = size;
    }
    delete[] old;
    return {};
}

}  // namespace

Outcome<Ref> description(int fd) {
    auto held = table.lock();
    const Row* row = held->find(fd);
    if (row == nullptr) return refuse(EBADF);
    return row->what;
}

Outcome<int> insert(Ref what, bool close_on_exec, int least) {
    if (least < 0 || least >= kOpenMax) return refuse(EINVAL);
    for (int fd = least; fd < kOpenMax;) {
        TRY_POSIX(make_room(fd));
        auto held = table.lock();
        while (fd < held->size && held->rows[fd].what) ++fd;
        if (fd >= held->size) continue;
        held->rows[fd] = {std::move(what), close_on_exec};
        return fd;
    }
    return refuse(EMFILE);
}

Outcome<> insert_two(int (&fds)[2], Ref first, Ref second, bool close_on_exec) {
    const int one = TRY_POSIX(insert(std::move(first), close_on_exec));
    const auto two = insert(std::move(second), close_on_exec);
    if (!two) {
        (void)remove(one);
        return refuse(two.error());
    }
    fds[0] = one;
    fds[1] = *two;
    return {};
}

Outcome<int> insert_at(int fd, Ref what, bool close_on_exec) {
    if (fd < 0 || fd >= kOpenMax) return refuse(EBADF);
    TRY_POSIX(make_room(fd));
    Row was{std::move(what), close_on_exec};
    {
        auto held = table.lock();
        std::swap(held->rows[fd], was);
    }
    return fd;  // what it was is closed here, without the lock
}

Outcome<> remove(int fd) {
    Row was;
    auto held = table.lock();
    Row* row = held->find(fd);
    if (row == nullptr) return refuse(EBADF);
    std::swap(*row, was);
    return {};  // `was` is closed after the lock is given up
}

Outcome<bool> closes_on_exec(int fd) {
    auto held = table.lock();
    const Row* row = held->find(fd);
    if (row == nullptr) return refuse(EBADF);
    return row->close_on_exec;
}

Outcome<> set_close_on_exec(int fd, bool yes) {
    auto held = table.lock();
    Row* row = held->find(fd);
    if (row == nullptr) return refuse(EBADF);
    row->close_on_exec = yes;
    return {};
}

void open_console() {
    const Ref console = console_description();
    for (int fd = 0; fd < 3; ++fd) (void)insert_at(fd, console, false);
}

}  // namespace ringlet::posix
