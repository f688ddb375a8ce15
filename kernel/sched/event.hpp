// A sticky wake-up for one waiter: set() before wait() means wait() does not sleep. wait() consumes the setting.
// The link seam: kernel/sched/event.cpp on the target and in host scheduler tests, arch/host/event.cpp (std::
// condition_variable, real threads) for host tests of drivers and filesystems.
#pragma once

#include <atomic>

#include "lib/time.hpp"

namespace ringlet::kernel {

class Thread;

class Event {
public:
    Event() = default;
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    void set();                         ///< context: any, interrupts included; idempotent
    void wait();                        ///< context: thread, holding no spinlock
    bool wait_until(Instant deadline);  ///< false: the deadline passed first
    bool is_set() const { return set_.load(std::memory_order_acquire); }
    void clear() { set_.store(false, std::memory_order_relaxed); }

private:
    void wake_waiter();
    std::atomic<bool> set_{false};
    std::atomic<Thread*> waiter_{nullptr};
};

}  // namespace ringlet::kernel
