// Many readers or one writer, both of whom may sleep for the disk while they hold it. A writer that waits goes before
// readers that come later. Not recursive, not even for reading. It has no rank (several are held at once in no fixed
// number): docs/filesystem.md says in which order they are taken. Context: thread.
//
// Who need not wait changes one atomic word. Who must, holds the spinlock from before it sets kSleeping until it is on
// the queue; who lets go and finds kSleeping set takes the spinlock before it wakes. All on one word: either the
// sleeper sees that it was let go, or who lets go sees the sleeper.
#pragma once

#include <atomic>

#include "kernel/sched/wait_queue.hpp"
#include "kernel/sync/spinlock.hpp"
#include "lib/assert.hpp"

namespace ringlet::fs {

class RwLock {
public:
    class [[nodiscard]] Shared {
    public:
        explicit Shared(RwLock& lock) : lock_(lock) {
            if (!lock_.try_shared()) lock_.wait_shared();
        }
        ~Shared() { lock_.release_shared(); }
        Shared(const Shared&) = delete;
        Shared& operator=(const Shared&) = delete;

    private:
        RwLock& lock_;
    };
    class [[nodiscard]] Exclusive {
    public:
        explicit Exclusive(RwLock& lock) : lock_(lock) {
            u32 idle = 0;
            if (!lock_.word_.compare_exchange_strong(idle, kWriting)) lock_.wait_exclusive();
        }
        ~Exclusive() { lock_.release_exclusive(); }
        Exclusive(const Exclusive&) = delete;
        Exclusive& operator=(const Exclusive&) = delete;

    private:
        RwLock& lock_;
    };

private:
    static constexpr u32 kWriting = 1u << 31;
    static constexpr u32 kWriterWaits = 1u << 30;  ///< no reader may come in
    static constexpr u32 kSleeping = 1u << 29;     ///< somebody may be on the queue
    static constexpr u32 kReaders = kSleeping - 1;

    bool try_shared() {
        u32 seen = word_.load();
        while ((seen & (kWriting | kWriterWaits)) == 0)
            if (word_.compare_exchange_weak(seen, seen + 1)) return true;
        return false;
    }
    /// Under the spinlock; `rest`: what the word says besides.
    bool try_exclusive(u32 rest) {
        u32 seen = word_.load();
        while ((seen & (kWriting | kReaders)) == 0)
            if (word_.compare_exchange_weak(seen, kWriting | kSleeping | rest)) return true;
        return false;
    }
    [[gnu::noinline]] void wait_shared() {
        auto writers = writers_.lock();
        changed_.wait(writers, [&] {
            word_.fetch_or(kSleeping);
            return try_shared();
        });
    }
    [[gnu::noinline]] void wait_exclusive() {
        auto writers = writers_.lock();
        ++*writers;
        changed_.wait(writers, [&] {
            word_.fetch_or(kSleeping | kWriterWaits);
            return try_exclusive(*writers > 1 ? kWriterWaits : 0);
        });
        --*writers;
    }
    void release_shared() {
        const u32 before = word_.fetch_sub(1);
        ASSERT((before & kReaders) != 0);
        if ((before & (kReaders | kSleeping)) == (kSleeping | 1)) wake();
    }
    void release_exclusive() {
        if ((word_.fetch_and(~kWriting) & kSleeping) != 0) wake();
    }
    [[gnu::noinline]] void wake() {
        {
            auto writers = writers_.lock();
            word_.fetch_and(~kSleeping);
        }
        changed_.wake_all();
    }

    std::atomic<u32> word_{0};
    kernel::Guarded<u32, kernel::Rank::inode, kernel::Spinlock> writers_{0};  ///< that wait
    kernel::WaitQueue changed_;
};

}  // namespace ringlet::fs
