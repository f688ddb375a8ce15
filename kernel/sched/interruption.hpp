// Interrupting a thread between two instructions of its application: for signals, and for faults that the application
// handles. The thread is diverted (arch/hooks.hpp): it calls a step of whoever handles such things, and goes on.
//
// That happens only in code of the application, or of a library that the application called; not while it is in the
// system, holds a lock or is on a list of waiting threads: there a step that does not return would leave them behind,
// as on other systems a signal waits until the system call is over. A thread that is wanted and is in no such place is
// looked at again every millisecond that it computes, and not at all while it sleeps.
#pragma once

#include <arch/registers.hpp>
#include <cstdint>

#include "lib/types.hpp"

namespace ringlet::kernel {

class Thread;

struct InterruptionSteps {
    /// A fault (arch::fault_of(at)) of the current thread, in its application: the top of the stack on which `run` is
    /// to be called, with a few hundred bytes below for the registers; 0: it is not handled, and is a panic. Context:
    /// fault, interrupts disabled: no more than a look, and spinlocks.
    std::uintptr_t (*fault_stack)(const arch::Registers& at);
    /// What interrupt() or the fault is about. Context: the thread, holding nothing; need not return.
    void (*run)(arch::Registers& at);
};

/// Set once, before interrupt(). `steps` stays.
void set_interruption_steps(const InterruptionSteps& steps);
/// `thread` runs the step soon; the caller itself not before the next interrupt. It must not end meanwhile. Context:
/// any.
void interrupt(Thread& thread);
/// The calling thread, for interrupt(). Context: thread.
Thread& this_thread();
/// Calls `function(argument)` on the stack that ends at `top`; it need not return. Context: thread.
void call_on_stack(std::uintptr_t top, void (*function)(void*), void* argument);
/// How much of its stack the current thread has below `address`; 0 when that is not in it. Context: any.
usize stack_below(std::uintptr_t address);

}  // namespace ringlet::kernel
