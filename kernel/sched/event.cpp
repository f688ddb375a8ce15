// Event on the scheduler. The wake-up edge is store, fence, look: set() stores the flag and looks for a
// waiter, wait() stores the waiter and looks at the flag, each with a full fence between; so one of them sees
// the other.
#include "kernel/sched/event.hpp"

#include "kernel/sched/scheduler.hpp"

namespace ringlet::kernel {

void Event::set() {
    set_.store(true, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the one in wait_until()
    if (waiter_.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
        wake_waiter();
}

void Event::wake_waiter() {
    const SchedulerGuard guard;
    if (Thread* thread = waiter_.exchange(nullptr, std::memory_order_relaxed)) wake(*thread);
}

void Event::wait() {
    wait_until(Instant::never());
}

bool Event::wait_until(Instant deadline) {
    if (set_.exchange(false, std::memory_order_acquire)) return true;
    const SchedulerGuard guard;
    for (;;) {
        ASSERT(waiter_.load(std::memory_order_relaxed) == nullptr);
        waiter_.store(current_thread(), std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the one in set()
        if (!set_.load(std::memory_order_relaxed) && !block_current(deadline)) deadline = Instant{0};
        waiter_.store(nullptr, std::memory_order_relaxed);
        if (set_.exchange(false, std::memory_order_acquire)) return true;
        if (deadline == Instant{0}) return false;
    }
}

}  // namespace ringlet::kernel
