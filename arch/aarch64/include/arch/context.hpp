// aarch64: the part of a thread that a voluntary switch must keep (AAPCS64 callee-saved registers, on its
// stack).
#pragma once

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

}  // namespace ringlet::arch
