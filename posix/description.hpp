// What a file descriptor refers to: an open file description (POSIX §3.253), shared by the descriptors that dup() made.
// Files, directories, the console, pipes, sockets and the rest derive from it; what a kind cannot do, it inherits, and
// the answer is the errno that POSIX gives for it.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdarg>
#include <string_view>
#include <utility>

#include "kernel/sync/spinlock.hpp"
#include "lib/bytes.hpp"
#include "lib/list.hpp"
#include "lib/time.hpp"
#include "posix/error.hpp"
#include "posix/ref.hpp"
#include "posix/signals.hpp"

namespace ringlet::fs {
class Vfs;
}

namespace ringlet::posix {

/// The lock around all lists of watchers, and what hangs on the watchers.
struct Nothing {};
using Watching = kernel::Guarded<Nothing, kernel::Rank::readiness, kernel::Spinlock>;
extern constinit Watching watching;

/// Whoever wants to know of a description's changes: a thread in poll(), an entry of an epoll.
class Watcher : public ListNode<> {
public:
    virtual ~Watcher() = default;
    // Both are called under `watching`: quick, and they take no lock but a futex's.
    /// ready() may have changed.
    virtual void stirred(Watching::Access& held) = 0;
    /// The description is at its end. The watcher is off its list and is deleted next.
    virtual void abandoned(Watching::Access&) {}
    /// Itself, when it is an epoll's; else nullptr.
    virtual Watcher* epoll_entry() { return nullptr; }
};

/// Sleeps until `word`, a futex word, is no longer `seen`, or the deadline: what all waits for descriptions end in.
/// EINTR: the thread is to be cancelled, or has a signal: finish() does it.
Outcome<> await_word(const u32& word, u32 seen, Instant deadline);

class Description : public Counted {
public:
    /// `flags`: of open(): O_RDONLY, O_NONBLOCK, O_APPEND…
    explicit Description(int flags) : flags_(flags) {}
    ~Description() override;

    // Context of all: thread, no lock held. read and write wait unless O_NONBLOCK is set, then they refuse: EAGAIN.
    virtual Outcome<usize> read(MutableBytes to);
    virtual Outcome<usize> write(Bytes from);
    virtual Outcome<usize> read_at(u64 offset, MutableBytes to);
    virtual Outcome<usize> write_at(u64 offset, Bytes from);
    virtual Outcome<u64> seek(i64 offset, int whence);
    virtual Outcome<> stat(struct stat& out);
    virtual Outcome<> truncate(u64 size);
    virtual Outcome<> sync(bool data_only);
    virtual Outcome<int> control(unsigned long request, void* argument);
    /// POLLIN, POLLOUT, POLLHUP, POLLERR as of now.
    virtual short ready();
    virtual bool is_terminal() const { return false; }
    /// What only some kinds can do: nullptr from the others.
    virtual class FileDescription* as_file() { return nullptr; }
    virtual class DirectoryDescription* as_directory() { return nullptr; }
    virtual class Socket* as_socket() { return nullptr; }
    virtual class Epoll* as_epoll() { return nullptr; }
    virtual class TimerDescription* as_timer() { return nullptr; }

    /// O_ACCMODE, O_APPEND, O_NONBLOCK…
    int flags() const { return flags_.load(std::memory_order_relaxed); }
    void set_flags(int flags) { flags_.store(flags, std::memory_order_relaxed); }
    bool blocks() const { return (flags() & O_NONBLOCK) == 0; }
    bool readable() const { return (flags() & O_ACCMODE) != O_WRONLY; }
    bool writable() const { return (flags() & O_ACCMODE) != O_RDONLY; }

    /// Who wants to know when ready() may have changed.
    void watch(Watcher& watcher);
    void unwatch(Watcher& watcher);
    List<Watcher>& watchers(Watching::Access&) { return watchers_; }

    /// Under `watching`, for a watcher, which has no use of its own: false when the description is at its end.
    bool try_retain(Watching::Access&) { return retain_if_used(); }

    /// ready() may have changed: wakes those who sleep in await_change(), and the watchers. Context: any, interrupts
    /// included, with no lock of rank `readiness` or lower held.
    void stir();
    void stir(Watching::Access& held);

protected:
    /// For the state before a look at what to wait for.
    u32 changes() const;
    /// Sleeps until stir() was called since changes() said `seen`, or the deadline. EINTR: as await_word().
    Outcome<> await_change(u32 seen, Instant deadline = Instant::never());

private:
    std::atomic<int> flags_;
    u32 changes_ = 0;  ///< a futex word
    List<Watcher> watchers_;
};

using Ref = RefTo<Description>;

}  // namespace ringlet::posix
