// Spinlock, Mutex, WaitQueue and lock ranks for real threads.
#include "arch/cpu.hpp"
#include "arch/host/seams/wait.hpp"
#include "kernel/panic.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sched/wait_queue.hpp"
#include "kernel/sync/rank.hpp"
#include "kernel/sync/spinlock.hpp"
#include "lib/assert.hpp"

namespace ringlet::kernel {

/// What a waiting OS thread is to the lists; the kernel's own Thread does not exist in this room.
class Thread {
public:
    std::condition_variable woken_changed;
    Thread* next = nullptr;
    bool woken = false;
};

namespace {

Thread& self() {
    thread_local Thread thread;
    return thread;
}
std::mutex queues;  // guards every WaitQueue's list
thread_local u32 held_ranks = 0;

void rank_acquired(u32 bit) {
    if (!rank_allowed(held_ranks, bit)) panic("a lock was taken out of rank order");
    held_ranks |= bit;
}

void rank_released(u32 bit) {
    held_ranks &= ~bit;
}

}  // namespace

host::Bucket& host::bucket_of(const void* object) {
    static Bucket buckets[64];
    return buckets[(reinterpret_cast<std::uintptr_t>(object) >> 4) % 64];
}

void Spinlock::acquire(Rank rank) {
    const bool enabled = arch::interrupts_enabled();
    arch::disable_interrupts();
    rank_acquired(rank_bit(rank));
    while (held_.exchange(true, std::memory_order_acquire)) {
        while (held_.load(std::memory_order_relaxed)) arch::relax();
    }
    interrupts_were_enabled_ = enabled;
}

void Spinlock::release(Rank rank) {
    const bool enable = interrupts_were_enabled_;
    held_.store(false, std::memory_order_release);
    rank_released(rank_bit(rank));
    if (enable) arch::enable_interrupts();
}

void Mutex::acquire_ranked(u32 bit) {
    rank_acquired(bit);
    auto& bucket = host::bucket_of(this);
    std::unique_lock lock(bucket.mutex);
    ASSERT(owner() != &self());
    bucket.changed.wait(lock, [this] { return owner() == nullptr; });
    own(&self());
}

void Mutex::release_ranked(u32 bit) {
    auto& bucket = host::bucket_of(this);
    {
        std::lock_guard lock(bucket.mutex);
        ASSERT(owner() == &self());
        own(nullptr);
    }
    bucket.changed.notify_all();
    rank_released(bit);
}

WaitQueue::Ticket WaitQueue::enqueue() {
    std::lock_guard lock(queues);
    Thread& me = self();
    me.woken = false;
    me.next = nullptr;
    Thread** end = &waiters_.head;
    while (*end != nullptr) end = &(*end)->next;
    *end = &me;
    return {&me};
}

bool WaitQueue::sleep(Ticket ticket, Instant deadline) {
    std::unique_lock lock(queues);
    Thread& me = *ticket.thread;
    if (host::wait(lock, me.woken_changed, deadline, [&me] { return me.woken; })) return true;
    for (Thread** at = &waiters_.head; *at != nullptr; at = &(*at)->next) {
        if (*at != &me) continue;
        *at = me.next;
        break;
    }
    return false;
}

void WaitQueue::wake_one() {
    std::lock_guard lock(queues);
    Thread* first = waiters_.head;
    if (first == nullptr) return;
    waiters_.head = first->next;
    first->woken = true;
    first->woken_changed.notify_one();
}

void WaitQueue::wake_all() {
    std::lock_guard lock(queues);
    while (Thread* first = waiters_.head) {
        waiters_.head = first->next;
        first->woken = true;
        first->woken_changed.notify_one();
    }
}

}  // namespace ringlet::kernel
