// Shared by the sources of arch/host only.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace ringlet::arch::host {

/// True if an interrupt or the timer was delivered to this thread. Interrupts are (and stay) disabled.
bool deliver_one_pending_irq();
bool deliver_due_timer();
/// The end of an interrupt: hooks::interrupt_exit(), and what a diverted thread does.
void finish_interrupt();
/// Virtual clock only: moves it to the timer. False when no timer is set.
bool advance_to_timer();

[[noreturn]] inline void test_error(const char* what, unsigned long long value) {
    std::fprintf(stderr, "arch/host: %s 0x%llx\n", what, value);
    std::abort();
}

}  // namespace ringlet::arch::host
