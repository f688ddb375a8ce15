// WaitQueue on the scheduler. A thread is on the list before the caller drops its lock; a wake-up in between
// takes it off the list, which sleep() sees. Context: enqueue and sleep: thread; wake: any.
#include "kernel/sched/wait_queue.hpp"

#include "kernel/sched/scheduler.hpp"

namespace ringlet::kernel {

WaitQueue::Ticket WaitQueue::enqueue() {
    const SchedulerGuard guard;
    Thread* const self = current_thread();
    wait_list_add(waiters_, *self);
    return {self};
}

bool WaitQueue::sleep(Ticket ticket, Instant deadline) {
    const SchedulerGuard guard;
    Thread& self = *ticket.thread;
    while (self.wait_list == &waiters_) {
        if (block_current(deadline)) continue;
        return false;  // the timer has taken us off the list
    }
    return true;
}

void WaitQueue::wake_one() {
    if (__atomic_load_n(&waiters_.head, __ATOMIC_RELAXED) == nullptr) return;
    const SchedulerGuard guard;
    if (Thread* thread = waiters_.head) {
        wait_list_remove(*thread);
        wake(*thread);
    }
}

void WaitQueue::wake_all() {
    const SchedulerGuard guard;
    while (Thread* thread = waiters_.head) {
        wait_list_remove(*thread);
        wake(*thread);
    }
}

}  // namespace ringlet::kernel
