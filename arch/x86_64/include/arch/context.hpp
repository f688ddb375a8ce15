// Switching between threads (System V AMD64 ABI §3.2.1: rbx, rbp, r12-r15, the x87 control word and MXCSR survive a
// call; everything else the caller has saved, or the interrupt entry has). Context: interrupts disabled.
#pragma once

#include <cstdint>

#include "lib/bytes.hpp"

namespace ringlet::arch {

struct Context {
    u64 stack_pointer = 0;  ///< everything else is on the stack
};

/// `entry` starts with interrupts disabled and must never return. `stack` outlives the context.
void context_init(Context& context, MutableBytes stack, void (*entry)(void*), void* arg);
/// Saves into `from`, continues in `to`. Returns when somebody switches back, interrupts still disabled.
extern "C" void ringlet_context_switch(Context& from, Context& to);
inline void context_switch(Context& from, Context& to) {
    ringlet_context_switch(from, to);
}

/// Calls `function(argument)` on the stack that ends at `top`. Context: thread.
extern "C" void ringlet_call_on_stack(std::uintptr_t top, void (*function)(void*), void* argument);
inline void call_on_stack(std::uintptr_t top, void (*function)(void*), void* argument) {
    ringlet_call_on_stack(top, function, argument);
}

}  // namespace ringlet::arch
