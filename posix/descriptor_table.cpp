#include "posix/descriptor_table.hpp"

#include <algorithm>
#include <memory>
#include <new>

#include "kernel/sync/spinlock.hpp"
#include "posix/console.hpp"
#include "posix/futex.hpp"
#include "posix/signals.hpp"
#include "posix/thread.hpp"

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

constinit kernel::Guarded<int, kernel::Rank::readiness, kernel::Spinlock> watching;  ///< all lists of watchers

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

Description::~Description() = default;

Outcome<usize> Description::read(MutableBytes) {
    return refuse(readable() ? EINVAL : EBADF);
}
Outcome<usize> Description::write(Bytes) {
    return refuse(writable() ? EINVAL : EBADF);
}
Outcome<usize> Description::read_at(u64, MutableBytes) {
    return refuse(ESPIPE);
}
Outcome<usize> Description::write_at(u64, Bytes) {
    return refuse(ESPIPE);
}
Outcome<u64> Description::seek(i64, int) {
    return refuse(ESPIPE);
}
Outcome<> Description::stat(struct stat& out) {
    out = {};
    out.st_blksize = 4096;
    return {};
}
Outcome<> Description::truncate(u64) {
    return refuse(EINVAL);
}
Outcome<> Description::sync(bool) {
    return refuse(EINVAL);
}
Outcome<int> Description::control(unsigned long, void*) {
    return refuse(ENOTTY);
}
short Description::ready() {
    return POLLIN | POLLOUT;
}

void Description::watch(Watcher& watcher) {
    auto held = watching.lock();
    watchers_.push_back(watcher);
}

void Description::unwatch(Watcher& watcher) {
    auto held = watching.lock();
    if (watcher.linked()) List<Watcher>::remove(watcher);
}

void Description::stir() {
    shared(changes_).fetch_add(1);
    futex_wake(changes_, kEverybody);
    auto held = watching.lock();
    for (Watcher& watcher : watchers_) watcher.stirred(watcher);
}

u32 Description::changes() const {
    return __atomic_load_n(&changes_, __ATOMIC_SEQ_CST);
}

Outcome<> Description::await_change(u32 seen, Instant deadline) {
    test_cancel();
    const u64 signals = signals_handled();
    while (changes() == seen) {
        if (cancellable_wait(changes_, seen, deadline) == Slept::timed_out) return {};
        test_cancel();
        if (signals_handled() != signals) return refuse(EINTR);
    }
    return {};
}

}  // namespace ringlet::posix
