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

#include "lib/bytes.hpp"
#include "lib/list.hpp"
#include "lib/time.hpp"
#include "posix/error.hpp"

namespace ringlet::fs {
class Vfs;
}

namespace ringlet::posix {

/// A thread in poll() or the like, on the list of a description that it watches. Lives on its stack.
struct Watcher : ListNode<> {
    /// Something changed. Called with the list's lock held: quick, and takes no lock but a futex's.
    void (*stirred)(Watcher& self) = nullptr;
};

class Description {
public:
    /// `flags`: of open(): O_RDONLY, O_NONBLOCK, O_APPEND…
    explicit Description(int flags) : flags_(flags) {}
    virtual ~Description();
    Description(const Description&) = delete;
    Description& operator=(const Description&) = delete;

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

    /// O_ACCMODE, O_APPEND, O_NONBLOCK…
    int flags() const { return flags_.load(std::memory_order_relaxed); }
    void set_flags(int flags) { flags_.store(flags, std::memory_order_relaxed); }
    bool blocks() const { return (flags() & O_NONBLOCK) == 0; }
    bool readable() const { return (flags() & O_ACCMODE) != O_WRONLY; }
    bool writable() const { return (flags() & O_ACCMODE) != O_RDONLY; }

    /// Who wants to know when ready() may have changed. What a subclass overrides, it does besides.
    virtual void watch(Watcher& watcher);
    virtual void unwatch(Watcher& watcher);

    void retain() { users_.fetch_add(1, std::memory_order_relaxed); }
    void release() {
        if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

protected:
    /// ready() may have changed: wakes those who sleep in await_change(), and the watchers. Context: any, interrupts
    /// included, with no lock of rank `readiness` or lower held.
    void stir();
    /// For the state before a look at what to wait for.
    u32 changes() const;
    /// Sleeps until stir() was called since changes() said `seen`, or the deadline. EINTR.
    Outcome<> await_change(u32 seen, Instant deadline = Instant::never());

private:
    std::atomic<int> flags_;
    std::atomic<u32> users_{1};
    u32 changes_ = 0;  ///< a futex word
    List<Watcher> watchers_;
};

/// Shares a description.
class Ref {
public:
    Ref() = default;
    /// Takes over the use that `d` was made with.
    explicit Ref(Description* d) : description_(d) {}
    Ref(const Ref& o) : description_(o.description_) {
        if (description_ != nullptr) description_->retain();
    }
    Ref(Ref&& o) noexcept : description_(std::exchange(o.description_, nullptr)) {}
    Ref& operator=(Ref o) noexcept {
        std::swap(description_, o.description_);
        return *this;
    }
    ~Ref() {
        if (description_ != nullptr) description_->release();
    }
    explicit operator bool() const { return description_ != nullptr; }
    Description* operator->() const { return description_; }
    Description& operator*() const { return *description_; }

private:
    Description* description_ = nullptr;
};

}  // namespace ringlet::posix
