// A condition variable bound to a Guarded<> value. The predicate is evaluated under the lock, and the thread is on the
// queue before the lock is dropped: no lost wake-ups, no bare sleep.
#pragma once

#include "kernel/sched/wait_list.hpp"
#include "lib/time.hpp"

namespace ringlet::kernel {

class WaitQueue {
public:
    WaitQueue() = default;
    WaitQueue(const WaitQueue&) = delete;

    /// `held` is a Guarded<>::Access; returns with it held and `ready()` true. Context: thread.
    template <class Access, class Pred> void wait(Access& held, Pred ready) {
        wait_until(held, Instant::never(), ready);
    }
    /// False when the deadline passed and `ready()` is still false.
    template <class Access, class Pred> bool wait_until(Access& held, Instant deadline, Pred ready) {
        while (!ready()) {
            const auto ticket = enqueue();
            held.release();
            const bool in_time = sleep(ticket, deadline);
            held.acquire();
            if (!in_time && !ready()) return false;
        }
        return true;
    }
    void wake_one();  ///< context: any, interrupts included
    void wake_all();

private:
    struct Ticket {
        Thread* thread;
    };
    Ticket enqueue();
    bool sleep(Ticket ticket, Instant deadline);
    WaitList waiters_;
};

}  // namespace ringlet::kernel
