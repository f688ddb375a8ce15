// A sleeping lock for threads. release() hands it to the most urgent waiter, FIFO inside one priority; while
// threads wait, the owner runs at least at the priority of the most urgent of them (inherited along chains of
// mutexes). Not recursive. Ranks of mutexes lie above Rank::run_queue. Link seam like event.hpp (the host
// version has real threads).
#pragma once

#include "kernel/sched/wait_list.hpp"
#include "kernel/sync/lock.hpp"

namespace ringlet::kernel {

class Mutex {
public:
    Mutex() = default;
    Mutex(const Mutex&) = delete;
    void acquire(Rank rank);  ///< context: thread, holding no spinlock
    void release(Rank rank);  ///< context: the thread that acquired it

private:
    void release_to_next();
    friend void inherit_priority(Thread& waiter);
    friend u8 deserved_priority(const Thread& thread);
    WaitList waiters_;
    Thread* owner_ = nullptr;
    Mutex* next_owned_ = nullptr;  ///< in the owner's list
};

}  // namespace ringlet::kernel
