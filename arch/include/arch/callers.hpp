// Who called whom, for people to read: also where functions have no frames. Context: any, faults included.
#pragma once

#include <cstdint>
#include <span>

#include "lib/types.hpp"

namespace ringlet::arch {

/// A return address on the stack.
struct Caller {
    std::uintptr_t address = 0;
    /// What the call before `address` calls; 0: not known.
    std::uintptr_t callee = 0;
    /// Of a frame. Else only a word that looks like one: of a function without a frame, or left by an earlier call.
    bool in_frame = false;
};

/// Fills `to` innermost first, returns how many. `frame` as backtrace() takes it, `stack_pointer` not above it. Where
/// all functions have frames this is backtrace().
usize callers(std::uintptr_t stack_pointer, std::uintptr_t frame, std::span<Caller> to);

/// Where code at `pc` returns to, when it surely has no frame: copying of memory, which everybody calls. 0: not known.
std::uintptr_t caller_of_frameless(std::uintptr_t pc, std::uintptr_t stack_pointer);

}  // namespace ringlet::arch
