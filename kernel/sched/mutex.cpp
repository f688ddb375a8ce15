// Mutex on the scheduler: direct hand-over, priority inheritance. Context: thread.
#include "kernel/sched/mutex.hpp"

#include <algorithm>

#include "kernel/sched/scheduler.hpp"
#include "kernel/sync/rank.hpp"

namespace ringlet::kernel {

namespace {
constexpr int kLongestChain = 16;  // mutexes in a row whose owners wait for the next; ranks keep it shorter
}

/// Lifts the owner of the mutex `waiter` waits for, and the owner that one waits for, and so on.
void inherit_priority(Thread& waiter) {
    const Thread* at = &waiter;
    for (int i = 0; i < kLongestChain && at->wants != nullptr; ++i) {
        Thread* owner = at->wants->owner_;
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

void Mutex::acquire(Rank rank) {
    rank_acquired(rank);  // before it can block: a wrong order is reported even when it would not deadlock today
    Thread* const self = current_thread();
    if (self == nullptr) return;  // before there are threads nobody competes
    const SchedulerGuard guard;
    ASSERT(owner_ != self);
    if (owner_ == nullptr) {
        owner_ = self;
        next_owned_ = self->owned;
        self->owned = this;
        return;
    }
    self->wants = this;
    wait_list_add(waiters_, *self);
    inherit_priority(*self);
    while (owner_ != self) block_current(Instant::never());
}

void Mutex::release(Rank rank) {
    release_to_next();
    rank_released(rank);
}

void Mutex::release_to_next() {
    const SchedulerGuard guard;
    Thread* const self = current_thread();
    if (self == nullptr || owner_ == nullptr) return;
    ASSERT(owner_ == self);
    Mutex** at = &self->owned;
    while (*at != this) at = &(*at)->next_owned_;
    *at = next_owned_;
    Thread* const next = waiters_.head;
    owner_ = next;
    if (next != nullptr) {
        wait_list_remove(*next);
        next->wants = nullptr;
        next_owned_ = next->owned;
        next->owned = this;
        wake(*next);
    }
    set_priority(*self, deserved_priority(*self));
}

}  // namespace ringlet::kernel
