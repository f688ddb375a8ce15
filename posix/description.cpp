// What all descriptions have: the answers of a kind that can do nothing, and who is told of a change.
#include "posix/description.hpp"

#include "posix/futex.hpp"
#include "posix/signals.hpp"
#include "posix/thread.hpp"

namespace ringlet::posix {

constinit Watching watching;

Description::~Description() {
    List<Watcher> left;
    {
        auto held = watching.lock();
        while (Watcher* watcher = watchers_.pop_front()) {
            watcher->abandoned(held);
            left.push_back(*watcher);
        }
    }
    while (Watcher* watcher = left.pop_front()) delete watcher;
}

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
    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
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
    auto held = watching.lock();
    stir(held);
}

void Description::stir(Watching::Access& held) {
    shared(changes_).fetch_add(1);
    futex_wake(changes_, kEverybody);
    for (Watcher& watcher : watchers_) watcher.stirred(held);
}

u32 Description::changes() const {
    return __atomic_load_n(&changes_, __ATOMIC_SEQ_CST);
}

Outcome<> Description::await_change(u32 seen, Instant deadline) {
    return await_word(changes_, seen, deadline);
}

Outcome<> await_word(const u32& word, u32 seen, Instant deadline) {
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == seen) {
        if (cancel_due() || signal_due()) return refuse(EINTR);
        if (interruptible_wait(word, seen, deadline, Meanwhile::network) == Slept::timed_out) return {};
    }
    return {};
}

}  // namespace ringlet::posix
