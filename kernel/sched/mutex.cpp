// Mutex on the scheduler: direct hand-over, priority inheritance. Context: thread.
#include "kernel/sched/mutex.hpp"

#include <algorithm>

#include "kernel/sched/scheduler.hpp"

namespace ringlet::kernel {

namespace {
constexpr int kLongestChain = 16;  // mutexes in a row whose owners wait for the next; ranks keep it shorter
}

/// Lifts the owner of the mutex `waiter` waits for, and the owner that one waits for, and so on.
void inherit_priority(Thread& waiter) {
    const Thread* at = &waiter;
    for (int i = 0; i < kLongestChain && at->wants != nullptr; ++i) {
        Thread* owner = at->wants->owner();
        if (owner == nullptr || owner->priority >= waiter.priority) return;
        set_priority(*owner, waiter.priority);
        at = owner;
    }
}

/// Its own priority or that of the most urgent thread waiting for one of its mutexes.
u8 deserved_priority(const Thread& thread) {
    u8 priority = thread.base_priority;
    for (const Mutex* m = thread.owned; m != nullptr; m = m->next_owned_)
        if (m->waiters_.head != nullptr) priority = std::max(priority, m->waiters_.head->priority);
    return priority;
}

// Before there are threads, when nobody competes, "nobody" takes it from nobody.
void Mutex::acquire_ranked(u32 bit) {
    Cpu& cpu = this_cpu();
    // Before it can block: a wrong order is reported even when it would not deadlock today.
    take_rank(cpu, bit);
    Thread* const self = cpu.current;
    std::uintptr_t free = 0;
    if (!owner_.compare_exchange_strong(free, reinterpret_cast<std::uintptr_t>(self), std::memory_order_acquire))
        [[unlikely]]
        wait_for_turn(*self);
}

void Mutex::wait_for_turn(Thread& self) {
    const SchedulerGuard guard;
    ASSERT(owner() != &self);
    std::uintptr_t was = owner_.load(std::memory_order_relaxed);
    while ((was & kContended) == 0) {
        if (was == 0) {  // released since we looked
            if (owner_.compare_exchange_weak(was, reinterpret_cast<std::uintptr_t>(&self), std::memory_order_acquire))
                return;
        } else if (owner_.compare_exchange_weak(was, was | kContended, std::memory_order_relaxed)) {
            Thread& owner = *reinterpret_cast<Thread*>(was);
            next_owned_ = owner.owned;
            owner.owned = this;
            break;
        }
    }
    self.wants = this;
    wait_list_add(waiters_, self);
    inherit_priority(self);
    while (owner() != &self) block_current(Instant::never());
}

void Mutex::release_ranked(u32 bit) {
    Cpu& cpu = this_cpu();
    auto mine = reinterpret_cast<std::uintptr_t>(cpu.current);
    drop_rank(cpu, bit);
    if (!owner_.compare_exchange_strong(mine, 0, std::memory_order_release)) [[unlikely]]
        release_to_next(*cpu.current);
}

void Mutex::release_to_next(Thread& self) {
    const SchedulerGuard guard;
    if (owner() == nullptr) return;  // taken before there were threads
    ASSERT(owner() == &self);
    Mutex** at = &self.owned;
    while (*at != this) at = &(*at)->next_owned_;
    *at = next_owned_;
    Thread& next = *waiters_.head;  // contended, hence somebody waits; no wait for a mutex ends before it has it
    wait_list_remove(next);
    next.wants = nullptr;
    if (waiters_.head == nullptr) {
        own(&next);
    } else {
        own(&next, kContended);
        next_owned_ = next.owned;
        next.owned = this;
    }
    wake(next);
    set_priority(self, deserved_priority(self));
}

}  // namespace ringlet::kernel
