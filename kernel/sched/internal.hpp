// Between scheduler.cpp (who runs) and thread.cpp (how threads begin and end). Nobody else includes this.
#pragma once

#include "arch/hooks.hpp"
#include "kernel/sched/scheduler.hpp"

namespace ringlet::kernel {

/// The first thing on a new thread's stack: releases the scheduler lock taken by whoever switched here.
void start_new_thread();
/// The current thread has exited. With the SchedulerGuard held.
[[noreturn]] void switch_for_ever();
/// Boot only: `main` is what runs now.
void install_first_threads(Thread& main, Thread& idle);
/// With the SchedulerGuard held.
void add_new_thread(Thread& thread);

/// The current thread was wanted (interruption.hpp) and interrupted there: true when that is a place where it can be
/// diverted; then it is no longer wanted. With interrupts disabled.
bool take_interruption(Cpu& cpu, const arch::hooks::Interrupted& at);

/// In an interrupt handler: no switching, and ranks count from nothing.
class InterruptScope {
public:
    InterruptScope() : cpu_(this_cpu()), held_ranks_(cpu_.held_ranks) {
        cpu_.held_ranks = 0;
        ++cpu_.interrupt_depth;
    }
    ~InterruptScope() {
        --cpu_.interrupt_depth;
        cpu_.held_ranks = held_ranks_;
    }
    InterruptScope(const InterruptScope&) = delete;
    InterruptScope& operator=(const InterruptScope&) = delete;

private:
    Cpu& cpu_;
    u32 held_ranks_;
};

}  // namespace ringlet::kernel
