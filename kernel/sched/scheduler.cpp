// Picking the next thread: 32 priorities, FIFO inside one, round robin when several are ready at the top.
// Tickless: the timer is set for the earliest sleeper or the end of a slice that somebody else is waiting
// for, and never moved later: an early interrupt only looks again, which is cheaper than setting the timer at
// every wake-up. For the same reason a thread that is woken keeps its place among the sleepers. See scheduler.hpp.
#include "kernel/sched/scheduler.hpp"

#include <algorithm>
#include <arch/clock.hpp>
#include <arch/thread_pointer.hpp>
#include <atomic>
#include <bit>

#include "arch/hooks.hpp"
#include "kernel/panic.hpp"
#include "kernel/sched/internal.hpp"

namespace ringlet::kernel {

constinit std::atomic<bool> scheduler_locked{false};

namespace {

constinit Cpu boot_cpu;

constexpr Duration kLookAgain = Duration::from_ms(1);  ///< at a thread that is to be interrupted

constinit DeadlineHeap sleepers;

// Lists link to themselves when empty, which no constant initialiser can express: made by scheduler_init().
struct ReadyLists {
    List<Thread, ReadyTag> of[kPriorities];
};
alignas(ReadyLists) constinit std::byte ready_storage[sizeof(ReadyLists)] = {};
ReadyLists& ready() {
    return *reinterpret_cast<ReadyLists*>(ready_storage);
}

bool any_ready_at(const Cpu& cpu, u8 priority) {
    return (cpu.ready_priorities >> priority & 1) != 0;
}

void arm_timer(Cpu& cpu, Instant when) {
    if (when >= cpu.timer_at) return;
    cpu.timer_at = when;
    arch::set_timer(when);
}

void add_sleeper(Thread& thread) {
    thread.when = thread.deadline;
    sleepers.push(thread);
}

/// The first of the sleepers, whose time has come if it still waits for that. The caller sets the timer.
void end_sleep(Thread& thread, Instant now) {
    sleepers.erase(thread);
    if (thread.state != ThreadState::waiting || thread.deadline.is_never()) return;
    if (thread.deadline > now) return add_sleeper(thread);
    if (thread.wait_list != nullptr) wait_list_remove(thread);
    thread.timed_out = true;
    wake(thread);
}

void start_slice(Cpu& cpu, Duration length = kTimeSlice) {
    cpu.slice_end = arch::monotonic_now() + length;
    arm_timer(cpu, cpu.slice_end);
}

enum class End : u8 { front, back };

void add_ready(Cpu& cpu, Thread& thread, End end) {
    thread.state = ThreadState::ready;
    auto& list = ready().of[thread.priority];
    end == End::back ? list.push_back(thread) : list.push_front(thread);
    cpu.ready_priorities |= 1u << thread.priority;
}

void remove_ready(Cpu& cpu, Thread& thread) {
    List<Thread, ReadyTag>::remove(thread);
    if (ready().of[thread.priority].empty()) cpu.ready_priorities &= ~(1u << thread.priority);
}

// What a newly ready thread means for the one that runs.
void consider(Cpu& cpu, const Thread& thread) {
    if (cpu.current == cpu.idle || thread.priority > cpu.current->priority)
        cpu.need_switch = true;
    else if (thread.priority == cpu.current->priority && cpu.slice_end.is_never())
        start_slice(cpu);
}

Thread& take_next(Cpu& cpu) {
    if (cpu.ready_priorities == 0) return *cpu.idle;
    const auto top = static_cast<u8>(std::bit_width(cpu.ready_priorities) - 1);
    Thread& thread = ready().of[top].front();
    remove_ready(cpu, thread);
    return thread;
}

/// From now on the CPU's time is `to`'s.
inline void charge(Cpu& cpu, Thread& to) {
    const Instant t = arch::monotonic_now();
    cpu.current->cpu_time_ns += t.ns - cpu.running_since.ns;
    cpu.running_since = t;
    ++to.switches;
    cpu.current = &to;
}

/// Until somebody is ready. The CPU halts where it is, on the stack of the thread that begins to wait: mostly that one
/// is the next to run, and then there is nothing to switch.
void halt_here(Cpu& cpu) {
    Thread& waiter = *cpu.current;
    charge(cpu, *cpu.idle);
    cpu.halted = true;
    unlock_scheduler(cpu);
    do arch::wait_for_interrupt();
    while (cpu.ready_priorities == 0);
    lock_scheduler(cpu);
    cpu.halted = false;
    charge(cpu, waiter);
}

// The current thread has already been put where it belongs. Returns when it runs again.
void switch_away(Cpu& cpu) {
    Thread& from = *cpu.current;
    cpu.slice_end = Instant::never();
    // One that has ended has no stack to halt on, and leaves the idle thread something to do.
    if (cpu.ready_priorities == 0 && from.state == ThreadState::waiting && cpu.zombies == nullptr) halt_here(cpu);
    Thread& to = take_next(cpu);
    cpu.need_switch = cpu.slice_expired = false;
    if (any_ready_at(cpu, to.priority)) start_slice(cpu, to.slice_left);
    to.slice_left = kTimeSlice;
    to.state = ThreadState::running;
    if (to.interruption_wanted.load(std::memory_order_relaxed)) [[unlikely]]
        arm_timer(cpu, arch::monotonic_now() + kLookAgain);
    if (&to == &from) return;
    charge(cpu, to);
    from.held_ranks = cpu.held_ranks;
    cpu.held_ranks = to.held_ranks;
    if (to.thread_pointer != from.thread_pointer) arch::set_thread_pointer(to.thread_pointer);
    arch::context_switch(from.context, to.context);
}

// Gives the CPU to somebody at least as urgent (or strictly more, when its slice is not over).
void preempt(Cpu& cpu) {
    Thread& current = *cpu.current;
    cpu.need_switch = false;
    if (&current != cpu.idle) {
        const u32 rivals = cpu.ready_priorities >> current.priority >> (cpu.slice_expired ? 0 : 1);
        if (rivals == 0) {
            cpu.slice_expired = false;
            return;
        }
        // Preempted inside its slice it keeps its turn, but only the rest of it: a fresh slice after each
        // interruption would let one thread keep the CPU from its equals for ever.
        const Instant t = arch::monotonic_now();
        if (cpu.slice_end <= t) cpu.slice_expired = true;
        if (!cpu.slice_expired && !cpu.slice_end.is_never()) current.slice_left = cpu.slice_end - t;
        add_ready(cpu, current, cpu.slice_expired ? End::back : End::front);
    } else if (cpu.ready_priorities == 0) {
        return;
    }
    switch_away(cpu);
}

}  // namespace

void SchedulerGuard::switch_if_possible(bool interrupts_were_enabled) {
    Cpu& cpu = this_cpu();
    if (cpu.interrupt_depth != 0) return;
    // With interrupts off the caller is in the middle of something: let the timer bring us back.
    if (interrupts_were_enabled)
        preempt(cpu);
    else
        arm_timer(cpu, Instant{0});
}

bool block_current(Instant deadline) {
    Cpu& cpu = this_cpu();
    Thread& current = *cpu.current;
    ASSERT(cpu.interrupt_depth == 0 && &current != cpu.idle);
    current.timed_out = false;
    current.state = ThreadState::waiting;
    current.deadline = deadline;
    if (!deadline.is_never() && !(current.queued && current.when <= deadline)) {
        if (current.queued) sleepers.erase(current);
        add_sleeper(current);
        arm_timer(cpu, deadline);
    }
    switch_away(cpu);
    return !current.timed_out;
}

void wake(Thread& thread) {
    if (thread.state != ThreadState::waiting) return;
    Cpu& cpu = this_cpu();
    add_ready(cpu, thread, End::back);
    consider(cpu, thread);
}

void set_priority(Thread& thread, u8 priority) {
    if (thread.priority == priority) return;
    Cpu& cpu = this_cpu();
    const bool lowered = priority < thread.priority;
    if (thread.state == ThreadState::ready) {
        remove_ready(cpu, thread);
        thread.priority = priority;
        add_ready(cpu, thread, End::back);
        consider(cpu, thread);
    } else {
        thread.priority = priority;
        if (&thread == cpu.current && lowered) {
            if ((cpu.ready_priorities >> priority) > 1)
                cpu.need_switch = true;
            else if (any_ready_at(cpu, priority) && cpu.slice_end.is_never())
                start_slice(cpu);
        }
    }
    if (WaitList* list = thread.wait_list) {
        wait_list_remove(thread);
        wait_list_add(*list, thread);
    }
}

// The list is circular through wait_prev/wait_next; scanning from the tail finds the place at once when all
// priorities are equal.
void wait_list_add(WaitList& list, Thread& thread) {
    ASSERT(thread.wait_list == nullptr);
    thread.wait_list = &list;
    if (list.head == nullptr) {
        list.head = thread.wait_prev = thread.wait_next = &thread;
        return;
    }
    Thread* after = list.head->wait_prev;
    while (after->priority < thread.priority && after != list.head) after = after->wait_prev;
    const bool first = after == list.head && after->priority < thread.priority;
    if (first) after = list.head->wait_prev;
    thread.wait_prev = after;
    thread.wait_next = after->wait_next;
    after->wait_next->wait_prev = &thread;
    after->wait_next = &thread;
    if (first) list.head = &thread;
}

void wait_list_remove(Thread& thread) {
    WaitList& list = *thread.wait_list;
    if (thread.wait_next == &thread) {
        list.head = nullptr;
    } else {
        thread.wait_prev->wait_next = thread.wait_next;
        thread.wait_next->wait_prev = thread.wait_prev;
        if (list.head == &thread) list.head = thread.wait_next;
    }
    thread.wait_list = nullptr;
    thread.wait_prev = thread.wait_next = nullptr;
}

void yield() {
    const SchedulerGuard guard;
    Cpu& cpu = this_cpu();
    if (cpu.current == nullptr || (cpu.ready_priorities >> cpu.current->priority) == 0) return;
    add_ready(cpu, *cpu.current, End::back);
    switch_away(cpu);
}

void sleep_until(Instant when) {
    if (when <= arch::monotonic_now()) return;
    const SchedulerGuard guard;
    block_current(when);
}

void sleep_for(Duration d) {
    if (d.ns > 0) sleep_until(arch::monotonic_now() + d);
}

void start_new_thread() {
    unlock_scheduler(this_cpu());
    arch::enable_interrupts();
}

void switch_for_ever() {
    Cpu& cpu = this_cpu();
    if (cpu.current->queued) sleepers.erase(*cpu.current);
    switch_away(cpu);
    panic("an exited thread ran again");
}

void install_first_threads(Thread& main, Thread& idle) {
    std::construct_at(&ready());
    main.state = ThreadState::running;
    boot_cpu.idle = &idle;
    boot_cpu.running_since = arch::monotonic_now();
    boot_cpu.current = &main;
}

void add_new_thread(Thread& thread) {
    Cpu& cpu = this_cpu();
    // It begins inside switch_away(), which holds the scheduler lock: start_new_thread() releases it.
    thread.held_ranks = 1u << static_cast<unsigned>(Rank::run_queue);
    if (&thread == cpu.idle) return;
    add_ready(cpu, thread, End::back);
    consider(cpu, thread);
}

void rank_is_wrong(Cpu& cpu) {
    cpu.held_ranks = 0;  // the panic screen takes locks too
    panic("a lock was taken out of rank order");
}

}  // namespace ringlet::kernel

namespace ringlet::arch::hooks {

using namespace ringlet::kernel;

void* const boot_cpu_local = &boot_cpu;

void timer() {
    const InterruptScope scope;
    const SchedulerGuard guard;
    Cpu& cpu = this_cpu();
    cpu.timer_at = Instant::never();
    if (cpu.current == nullptr) return;
    const Instant t = arch::monotonic_now();
    while (sleepers.earliest() <= t) end_sleep(*static_cast<Thread*>(sleepers.first()), t);
    if (cpu.slice_end <= t) {
        cpu.slice_end = Instant::never();
        if (any_ready_at(cpu, cpu.current->priority)) cpu.slice_expired = cpu.need_switch = true;
    }
    arm_timer(cpu, std::min(sleepers.earliest(), cpu.slice_end));
}

bool interrupt_exit(const Interrupted& at) {
    Cpu& cpu = this_cpu();
    if (cpu.halted || cpu.interrupt_depth != 0 || cpu.current == nullptr) return false;
    if (cpu.need_switch) {
        // The interrupted thread may hold mutexes of any rank: it is not it who takes the scheduler lock.
        const u32 held_ranks = std::exchange(cpu.held_ranks, 0);
        lock_scheduler(cpu);
        preempt(cpu);
        unlock_scheduler(this_cpu());
        this_cpu().held_ranks = held_ranks;
    }
    if (!cpu.current->interruption_wanted.load(std::memory_order_relaxed)) [[likely]]
        return false;
    if (take_interruption(cpu, at)) return true;
    arm_timer(cpu, arch::monotonic_now() + kLookAgain);
    return false;
}

}  // namespace ringlet::arch::hooks
