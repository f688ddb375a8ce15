// Execution contexts on the host: swapcontext() with AddressSanitizer told about every stack, so that the
// real scheduler runs in one OS thread under sanitizers. Context: interrupts disabled.
#pragma once

#include <ucontext.h>

#include "lib/bytes.hpp"

namespace ringlet::arch {

struct Context {
    ucontext_t registers;
    void (*entry)(void*) = nullptr;
    void* arg = nullptr;
    const void* stack_bottom = nullptr;  ///< unknown (nullptr) for the boot context until it is first switched away
    usize stack_bytes = 0;
    void* fake_stack = nullptr;  ///< ASan's, while switched away
};

/// `entry` starts with interrupts disabled and must never return.
void context_init(Context& context, MutableBytes stack, void (*entry)(void*), void* arg);
/// Saves into `from`, continues in `to`. Returns when somebody switches back, interrupts still disabled.
void context_switch(Context& from, Context& to);

/// On the host there is no other stack for handlers.
inline void call_on_stack(std::uintptr_t, void (*function)(void*), void* argument) {
    function(argument);
}

}  // namespace ringlet::arch
