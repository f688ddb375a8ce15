// Many readers or one writer, both of whom may sleep for the disk while they hold it. A writer that waits goes before
// readers that come later. Not recursive, not even for reading. It has no rank (several are held at once in no fixed
// number): docs/filesystem.md says in which order they are taken. Context: thread.
#pragma once

#include "kernel/sched/wait_queue.hpp"
#include "kernel/sync/spinlock.hpp"
#include "lib/assert.hpp"

namespace ringlet::fs {

class RwLock {
public:
    class [[nodiscard]] Shared {
    public:
        explicit Shared(RwLock& lock) : lock_(lock) { lock_.acquire_shared(); }
        ~Shared() { lock_.release_shared(); }
        Shared(const Shared&) = delete;
        Shared& operator=(const Shared&) = delete;

    private:
        RwLock& lock_;
    };
    class [[nodiscard]] Exclusive {
    public:
        explicit Exclusive(RwLock& lock) : lock_(lock) { lock_.acquire_exclusive(); }
        ~Exclusive() { lock_.release_exclusive(); }
        Exclusive(const Exclusive&) = delete;
        Exclusive& operator=(const Exclusive&) = delete;

    private:
        RwLock& lock_;
    };

private:
    struct State {
        u32 readers = 0, writers_waiting = 0;
        bool writing = false;
    };
    void acquire_shared() {
        auto state = state_.lock();
        changed_.wait(state, [&] { return !state->writing && state->writers_waiting == 0; });
        ++state->readers;
    }
    void release_shared() {
        bool last;
        {
            auto state = state_.lock();
            ASSERT(state->readers != 0);
            last = --state->readers == 0 && state->writers_waiting != 0;
        }
        if (last) changed_.wake_all();
    }
    void acquire_exclusive() {
        auto state = state_.lock();
        ++state->writers_waiting;
        changed_.wait(state, [&] { return !state->writing && state->readers == 0; });
        --state->writers_waiting;
        state->writing = true;
    }
    void release_exclusive() {
        {
            auto state = state_.lock();
            state->writing = false;
        }
        changed_.wake_all();
    }

    kernel::Guarded<State, kernel::Rank::inode, kernel::Spinlock> state_;
    kernel::WaitQueue changed_;
};

}  // namespace ringlet::fs
