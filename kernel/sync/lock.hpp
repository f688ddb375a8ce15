// Locks that own their data. The rank is part of the type: a thread takes locks of falling rank only, and breaking
// that rule is a panic, on the host too. docs/locking.md has the table.
#pragma once

#include <utility>

#include "lib/types.hpp"

namespace ringlet::kernel {

enum class Rank : u8 {
    leaf,
    timer,
    wait_queue,
    run_queue,
    device,
    readiness,
    page_allocator,
    balloon,
    heap,
    block_cache,
    inode,
    fs,
    net,
    service,
    descriptor,
    application
};

/// `Lock` provides acquire(Rank) and release(Rank): Spinlock (kernel/sync/spinlock.hpp; disables interrupts while held,
/// for short sections, any context) or Mutex (kernel/sched/mutex.hpp; sleeps, threads only).
template <class T, Rank kRank, class Lock> class Guarded {
public:
    template <class... A> constexpr explicit Guarded(A&&... a) : value_(std::forward<A>(a)...) {}

    /// Holds the lock for its lifetime: the only way to reach the value.
    class [[nodiscard]] Access {
    public:
        explicit Access(Guarded& g) : guarded_(g) { acquire(); }
        ~Access() { release(); }
        Access(const Access&) = delete;
        Access& operator=(const Access&) = delete;
        T* operator->() const { return &guarded_.value_; }
        T& operator*() const { return guarded_.value_; }
        /// For WaitQueue: drop and retake around a sleep.
        void acquire() { guarded_.lock_.acquire(kRank); }
        void release() { guarded_.lock_.release(kRank); }

    private:
        Guarded& guarded_;
    };
    Access lock() { return Access(*this); }

private:
    Lock lock_;
    T value_;
};

}  // namespace ringlet::kernel
