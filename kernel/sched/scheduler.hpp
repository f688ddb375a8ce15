// The scheduler's inside: Thread, Cpu, and the few operations from which Event, Mutex, WaitQueue and
// ThreadHandle are made. Only kernel/ includes this.
//
// Rules. One lock (SchedulerGuard) protects every field below; it is taken with interrupts disabled and is
// handed over across a context switch: the thread that is switched to releases it. A thread is current, or on
// the ready list of its priority, or waiting (with a deadline in the heap or not), or exited. Being on a
// WaitList is independent of that: a thread is on it from enqueue to wake-up, also while it still runs or has
// been preempted on the way to sleep. Wake-ups of a more urgent thread switch at the end of the guard, or at
// interrupt_exit(); when the caller had interrupts disabled for its own reasons, the timer is set to "now"
// instead, and the switch follows when it is done.
#pragma once

#include <arch/context.hpp>
#include <arch/cpu.hpp>
#include <atomic>

#include "kernel/mm/stack.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/sched/wait_list.hpp"
#include "kernel/sync/rank.hpp"
#include "kernel/time/deadline_heap.hpp"
#include "lib/list.hpp"

namespace ringlet::kernel {

class Mutex;

inline constexpr u8 kPriorities = 32;
inline constexpr Duration kTimeSlice = Duration::from_ms(10);

enum class ThreadState : u8 { running, ready, waiting, exited };

struct ReadyTag;
struct AllTag;

class Thread : public ListNode<ReadyTag>, public ListNode<AllTag>, public DeadlineNode {
public:
    arch::Context context;
    std::uintptr_t thread_pointer = 0;  ///< of its thread_local variables, which lie at the top of its stack; 0: none
    Stack stack;                        ///< empty for "main", which runs on the boot stack
    void (*entry)(void*) = nullptr;
    void* arg = nullptr;

    u32 id = 0;
    char name[16] = {};
    u8 base_priority = 16;
    u8 priority = 16;  ///< raised while a more urgent thread waits for one of its mutexes
    ThreadState state = ThreadState::ready;
    bool timed_out = false;  ///< why the last wait ended
    bool detached = false;
    Instant deadline;  ///< of that wait. Its place among the sleepers may be earlier, also while it does not wait

    WaitList* wait_list = nullptr;  ///< the list it is on, with the two links
    Thread* wait_prev = nullptr;
    Thread* wait_next = nullptr;
    Mutex* wants = nullptr;  ///< the mutex it waits for
    Mutex* owned = nullptr;  ///< the mutexes it holds that others wait for, latest first
    Thread* joiner = nullptr;
    u32 held_ranks = 0;                ///< while not running; else in Cpu
    Duration slice_left = kTimeSlice;  ///< what its next turn may last; less after a preemption inside a slice

    u64 cpu_time_ns = 0;
    u64 switches = 0;
    std::atomic<bool> interruption_wanted{false};  ///< see interruption.hpp
};

struct Cpu {
    Thread* current = nullptr;  ///< nullptr until scheduler_init()
    Thread* idle = nullptr;
    Thread* zombies = nullptr;  ///< exited and detached, linked by `joiner`; the idle thread frees them
    u32 ready_priorities = 0;   ///< bit p: ready[p] is not empty
    u32 held_ranks = 0;         ///< of the running thread or handler
    u32 interrupt_depth = 0;
    bool need_switch = false;
    bool slice_expired = false;
    bool halted = false;  ///< on the stack of a thread that waits, which sees for itself who is next
    Instant slice_end = Instant::never();
    Instant timer_at = Instant::never();  ///< what the hardware timer is set to
    Instant running_since;
};

/// This CPU's data; valid from arch::cpu_init() on.
inline Cpu& this_cpu() {
    return *static_cast<Cpu*>(arch::cpu_local());
}
/// Every lock says what it is before it is taken, and after it was given back.
[[noreturn]] void rank_is_wrong(Cpu& cpu);
inline void take_rank(Cpu& cpu, u32 bit) {
    if (!rank_allowed(cpu.held_ranks, bit)) [[unlikely]]
        rank_is_wrong(cpu);
    cpu.held_ranks |= bit;
}
inline void drop_rank(Cpu& cpu, u32 bit) {
    cpu.held_ranks &= ~bit;
}
inline Thread* current_thread() {
    return this_cpu().current;
}

/// The one lock, for SchedulerGuard and for who is between two threads. Interrupts are disabled.
extern constinit std::atomic<bool> scheduler_locked;
inline void lock_scheduler(Cpu& cpu) {
    take_rank(cpu, rank_bit(Rank::run_queue));
    while (scheduler_locked.exchange(true, std::memory_order_acquire)) arch::relax();
}
inline void unlock_scheduler(Cpu& cpu) {
    scheduler_locked.store(false, std::memory_order_release);
    drop_rank(cpu, rank_bit(Rank::run_queue));
}

/// Holds the scheduler lock; its end is where a pending switch happens.
class [[nodiscard]] SchedulerGuard {
public:
    SchedulerGuard() : interrupts_were_enabled_(arch::interrupts_enabled()) {
        arch::disable_interrupts();
        lock_scheduler(this_cpu());
    }
    ~SchedulerGuard() {
        if (this_cpu().need_switch) [[unlikely]]
            switch_if_possible(interrupts_were_enabled_);
        unlock_scheduler(this_cpu());
        if (interrupts_were_enabled_) arch::enable_interrupts();
    }
    SchedulerGuard(const SchedulerGuard&) = delete;
    SchedulerGuard& operator=(const SchedulerGuard&) = delete;

private:
    static void switch_if_possible(bool interrupts_were_enabled);
    bool interrupts_were_enabled_;
};

// All of these with the SchedulerGuard held.

/// Sleeps until wake() (true) or `deadline` (false).
bool block_current(Instant deadline);
/// No effect unless `thread` is waiting.
void wake(Thread& thread);
/// Changes the effective priority wherever the thread is queued.
void set_priority(Thread& thread, u8 priority);
void wait_list_add(WaitList& list, Thread& thread);
void wait_list_remove(Thread& thread);

/// For the panic screen and the log; "boot" before there are threads. Context: any.
std::string_view current_thread_name();

}  // namespace ringlet::kernel
