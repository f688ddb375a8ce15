// Calling a signal handler: on which stack, with what told, and that of a fault. signal.cpp says whose turn it is.
// Context: thread, holding nothing.
#pragma once

#include <signal.h>

#include <optional>

#include "kernel/sched/interruption.hpp"
#include "posix/thread.hpp"

namespace ringlet::posix {

/// Calls `action`'s function, on the alternate stack if it wants that one. `at`: what was interrupted, and what the
/// handler may change; nullptr: a call of the thread itself. The mask is then what the handler leaves in its context,
/// at first `blocked`. May not return.
void call_handler(__ringlet_thread& thread, const struct sigaction& action, siginfo_t& info, sigset_t blocked,
                  arch::Registers* at);
/// From now on signals interrupt what computes, and faults are signals. Called once, before there are handlers.
void start_interruptions();

/// The action of `signal`, when it is a function and `thread` does not block the signal. Context: any. signal.cpp.
std::optional<struct sigaction> handler_of(const __ringlet_thread& thread, int signal);
/// Takes the action for a signal that is not blocked: the handler runs, or the run ends. signal.cpp.
void act(__ringlet_thread& thread, siginfo_t& info, arch::Registers* at);

}  // namespace ringlet::posix
