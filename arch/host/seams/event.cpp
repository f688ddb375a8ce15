// kernel/sched/event.hpp for real threads: a condition variable per bucket of addresses. With the virtual
// clock a timed wait looks at it every millisecond, since time then moves without waking anybody.
#include "kernel/sched/event.hpp"

#include "arch/host/seams/wait.hpp"

namespace ringlet::kernel {

void Event::set() {
    auto& bucket = host::bucket_of(this);
    {
        std::lock_guard lock(bucket.mutex);
        set_.store(true, std::memory_order_release);
    }
    bucket.changed.notify_all();
}

void Event::wait() {
    wait_until(Instant::never());
}

bool Event::wait_until(Instant deadline) {
    auto& bucket = host::bucket_of(this);
    std::unique_lock lock(bucket.mutex);
    auto consume = [this] { return set_.exchange(false, std::memory_order_acq_rel); };
    return host::wait(lock, bucket.changed, deadline, consume);
}

}  // namespace ringlet::kernel
