// aarch64: the part of a thread that a voluntary switch must keep (AAPCS64 callee-saved registers, on its
// stack).
#pragma once

#include <cstdint>

#include "lib/bytes.hpp"

namespace ringlet::arch {

struct Context {
    u64 stack_pointer = 0;
};

/// Prepares `stack` so that the first switch to `c` calls `entry(arg)` with interrupts disabled. `entry` must
/// not return. `stack` outlives the context. Context: any.
void context_init(Context& c, MutableBytes stack, void (*entry)(void*), void* arg);

/// Saves the current thread in `from` and resumes `to`. Interrupts disabled. Context: thread, or interrupt
/// exit.
extern "C" void ringlet_context_switch(Context* from, Context* to);
inline void context_switch(Context& from, Context& to) {
    ringlet_context_switch(&from, &to);
}

/// Calls `function(argument)` on the stack that ends at `top`. Context: thread.
extern "C" void ringlet_call_on_stack(std::uintptr_t top, void (*function)(void*), void* argument);
inline void call_on_stack(std::uintptr_t top, void (*function)(void*), void* argument) {
    ringlet_call_on_stack(top, function, argument);
}

}  // namespace ringlet::arch
