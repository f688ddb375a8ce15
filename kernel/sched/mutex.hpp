// A sleeping lock for threads. release() hands it to the most urgent waiter, FIFO inside one priority; while
// threads wait, the owner runs at least at the priority of the most urgent of them (inherited along chains of
// mutexes). Not recursive. Ranks of mutexes lie above Rank::run_queue. Link seam like event.hpp (the host
// version has real threads).
//
// A mutex that nobody waits for is one atomic word: taking and releasing it needs no scheduler lock. The first waiter
// marks the word (kContended) and puts the mutex on its owner's list, under the scheduler lock; from then on the owner
// cannot release it without that lock either, and the two agree.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernel/sched/wait_list.hpp"
#include "kernel/sync/lock.hpp"
#include "kernel/sync/rank.hpp"

namespace ringlet::kernel {

class Mutex {
public:
    Mutex() = default;
    Mutex(const Mutex&) = delete;
    void acquire(Rank rank) { acquire_ranked(rank_bit(rank)); }  ///< context: thread, holding no spinlock
    void release(Rank rank) { release_ranked(rank_bit(rank)); }  ///< context: the thread that acquired it

private:
    static constexpr std::uintptr_t kContended = 1;  ///< threads wait: the owner releases with the scheduler lock held
    Thread* owner() const { return reinterpret_cast<Thread*>(owner_.load(std::memory_order_relaxed) & ~kContended); }
    void own(Thread* thread, std::uintptr_t mark = 0) {
        owner_.store(reinterpret_cast<std::uintptr_t>(thread) | mark, std::memory_order_relaxed);
    }
    void acquire_ranked(u32 bit);
    void release_ranked(u32 bit);
    void wait_for_turn(Thread& self);
    void release_to_next(Thread& self);
    friend void inherit_priority(Thread& waiter);
    friend u8 deserved_priority(const Thread& thread);
    WaitList waiters_;
    std::atomic<std::uintptr_t> owner_{0};  ///< a Thread*, and kContended
    Mutex* next_owned_ = nullptr;           ///< in the owner's list of contended mutexes
};

}  // namespace ringlet::kernel
