// Signals inside one process: a number that a thread sends itself or another, and a function that the receiver runs
// where it waits or computes, not inside other calls. Context: thread, holding nothing.
#pragma once

#include "lib/types.hpp"

namespace ringlet::arch {
struct Registers;
}

namespace ringlet::posix {

/// Runs the handlers of what is pending for this thread and not blocked. Called where a thread woke from a wait, or was
/// interrupted: `at`. May not return.
void run_pending_signals(arch::Registers* at = nullptr);
/// Is there a signal for this thread that it does not block nor ignore? Who holds something gives it back first: calls
/// that wait say EINTR for it, and finish() comes to it.
bool signal_due();
/// Handlers that this thread has run so far: who sees it change was interrupted (EINTR).
u64 signals_handled();
/// Those that were not set with SA_RESTART.
u64 signals_interrupting();
/// A signal for whichever thread does not block it. Context: any, interrupts included, holding no lock of rank <=
/// readiness.
void signal_process(int signal);
/// Has the application a handler for it?
bool signal_is_handled(int signal);

}  // namespace ringlet::posix
