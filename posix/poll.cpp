// poll() and select(): looks at all descriptors, and when none is ready watches all of them and sleeps. The thread runs
// the network stack while it sleeps, when nobody else does: an answer to a request costs no switch of threads.
#include <poll.h>
#include <sys/select.h>

#include <memory>
#include <new>
#include <span>

#include "posix/descriptor_table.hpp"
#include "posix/futex.hpp"
#include "posix/signal_mask.hpp"
#include "posix/thread.hpp"
#include "posix/time_conversion.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

constexpr short kAlways = POLLERR | POLLHUP | POLLNVAL;

struct Entry final : Watcher {
    void stirred(Watching::Access&) override {
        shared(*word).fetch_add(1);
        futex_wake(*word, kEverybody);
    }
    u32* word = nullptr;
    Ref what;  ///< none: not an open descriptor
    int fd = -1;
    short wanted = 0, got = 0;
};

/// All that one call waits for.
class Entries {
public:
    ~Entries() {
        for (Entry& e : all())
            if (e.word != nullptr) e.what->unwatch(e);
    }
    Outcome<> reserve(usize count) {
        if (count <= std::size(few_)) return {};
        many_.reset(new (std::nothrow) Entry[count]);
        if (!many_) return refuse(ENOMEM);
        return {};
    }
    Entry& add(int fd, short wanted) {
        Entry& e = (many_ ? many_.get() : few_)[count_++];
        e.fd = fd;
        e.wanted = wanted;
        if (auto found = description(fd)) e.what = std::move(*found);
        return e;
    }
    std::span<Entry> all() { return {many_ ? many_.get() : few_, count_}; }

    /// How many are ready; 0: the deadline passed. EINTR.
    Outcome<int> wait(Instant deadline) {
        if (cancel_due()) return refuse(EINTR);
        if (const int count = look(); count != 0 || deadline <= kernel::now()) return count;
        for (Entry& e : all()) {
            if (!e.what) continue;
            e.word = &word_;
            e.what->watch(e);
        }
        for (;;) {
            const u32 seen = shared(word_).load();
            if (const int count = look(); count != 0 || deadline <= kernel::now()) return count;
            TRY_POSIX(await_word(word_, seen, deadline));
        }
    }

private:
    int look() {
        int count = 0;
        for (Entry& e : all()) {
            if (e.what) e.got = static_cast<short>(e.what->ready() & (e.wanted | kAlways));
            count += e.got != 0;
        }
        return count;
    }

    u32 word_ = 0;
    usize count_ = 0;
    Entry few_[8];
    std::unique_ptr<Entry[]> many_;
};

Outcome<int> poll_until(std::span<pollfd> fds, Instant deadline) {
    if (fds.size() > static_cast<usize>(kOpenMax)) return refuse(EINVAL);
    Entries entries;
    TRY_POSIX(entries.reserve(fds.size()));
    for (const pollfd& p : fds) {
        Entry& e = entries.add(p.fd, p.events);
        if (!e.what && p.fd >= 0) e.got = POLLNVAL;
    }
    const int count = TRY_POSIX(entries.wait(deadline));
    for (usize i = 0; i < fds.size(); ++i) fds[i].revents = entries.all()[i].got;
    return count;
}

// What select() calls readable, writable and exceptional (POSIX, pselect()).
constexpr short kReads = POLLIN | POLLRDNORM | POLLHUP | POLLERR;
constexpr short kWrites = POLLOUT | POLLWRNORM | POLLERR;
constexpr short kExcepts = POLLPRI;

bool has(const fd_set* set, int fd) {
    return set != nullptr && FD_ISSET(fd, set) != 0;
}

int settle(fd_set* set, const Entry& e, short bits) {
    if (!has(set, e.fd)) return 0;
    if ((e.got & bits) != 0) return 1;
    FD_CLR(e.fd, set);
    return 0;
}

Outcome<int> select_until(int count, fd_set* reads, fd_set* writes, fd_set* excepts, Instant deadline) {
    if (count < 0 || count > FD_SETSIZE) return refuse(EINVAL);
    Entries entries;
    TRY_POSIX(entries.reserve(static_cast<usize>(count)));
    for (int fd = 0; fd < count; ++fd) {
        const int wanted =
            (has(reads, fd) ? POLLIN : 0) | (has(writes, fd) ? POLLOUT : 0) | (has(excepts, fd) ? POLLPRI : 0);
        if (wanted == 0) continue;
        if (!entries.add(fd, static_cast<short>(wanted)).what) return refuse(EBADF);
    }
    TRY_POSIX(entries.wait(deadline));
    int bits = 0;
    for (const Entry& e : entries.all())
        bits += settle(reads, e, kReads) + settle(writes, e, kWrites) + settle(excepts, e, kExcepts);
    return bits;
}

Outcome<Instant> deadline_in(const timespec* t) {
    if (t == nullptr) return Instant::never();
    return after(TRY_POSIX(duration_of(*t)));
}

Outcome<int> poll_for(std::span<pollfd> fds, const timespec* timeout, const sigset_t* mask) {
    const Instant deadline = TRY_POSIX(deadline_in(timeout));
    const MaskFor during(mask);
    if (during.interrupted()) return refuse(EINTR);
    return during.finish(poll_until(fds, deadline));
}

Outcome<int> select_for(int count, fd_set* r, fd_set* w, fd_set* e, const timespec* timeout, const sigset_t* mask) {
    const Instant deadline = TRY_POSIX(deadline_in(timeout));
    const MaskFor during(mask);
    if (during.interrupted()) return refuse(EINTR);
    return during.finish(select_until(count, r, w, e, deadline));
}

}  // namespace

extern "C" {

int poll(pollfd* fds, nfds_t count, int milliseconds) {
    const Instant deadline = milliseconds < 0 ? Instant::never() : after(Duration::from_ms(milliseconds));
    return finish<int, AfterHandler::ends>([&] { return poll_until({fds, count}, deadline); });
}
int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
    return finish<int, AfterHandler::ends>([&] { return poll_for({fds, count}, timeout, mask); });
}
int pselect(int count, fd_set* r, fd_set* w, fd_set* e, const timespec* timeout, const sigset_t* mask) {
    return finish<int, AfterHandler::ends>([&] { return select_for(count, r, w, e, timeout, mask); });
}
int select(int count, fd_set* r, fd_set* w, fd_set* e, timeval* timeout) {
    if (timeout == nullptr)
        return finish<int, AfterHandler::ends>([&] { return select_for(count, r, w, e, nullptr, nullptr); });
    if (timeout->tv_usec < 0 || timeout->tv_sec < 0) return answer(Outcome<int>(refuse(EINVAL)));
    const timespec fine{.tv_sec = timeout->tv_sec + timeout->tv_usec / 1'000'000,
                        .tv_nsec = static_cast<long>(timeout->tv_usec % 1'000'000) * 1000};
    return finish<int, AfterHandler::ends>([&] { return select_for(count, r, w, e, &fine, nullptr); });
}

}  // extern "C"
