// aarch64: what a fault saved. The layout is known to vectors.S. Context: any.
#pragma once

#include "lib/format.hpp"
#include "lib/types.hpp"

namespace ringlet::arch {

struct Registers {
    u64 x[31];
    u64 sp;
    u64 pc;
    u64 pstate;
    u64 esr;
    u64 far;
    std::uintptr_t program_counter() const { return pc; }
    std::uintptr_t frame_pointer() const { return x[29]; }
    std::uintptr_t stack_pointer() const { return sp; }
    /// Who called what begins at program_counter(); true only before its first instruction. 0: unknown.
    std::uintptr_t return_address() const { return x[30]; }
};
static_assert(sizeof(Registers) == 288);

/// Several lines of text, each ending in '\n'.
void describe(const Registers& r, TextSink sink);

}  // namespace ringlet::arch
