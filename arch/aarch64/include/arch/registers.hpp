// aarch64: what a fault saved. The layout is known to vectors.S. Context: any.
#pragma once

#include <cstdint>
#include <optional>

#include "arch/fault.hpp"
#include "lib/format.hpp"

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
    /// A place in the middle of a call, of which no more is known.
    static Registers of_call(std::uintptr_t call, std::uintptr_t frame) {
        Registers at{};
        at.pc = call;
        at.x[29] = at.sp = frame;
        return at;
    }
};
static_assert(sizeof(Registers) == 288);

/// `esr` of a thread that was diverted by an interrupt.
inline constexpr u64 kNoFault = ~u64{0};
/// What fault it was; none: an interrupt, or nothing that code of an application can cause.
std::optional<Fault> fault_of(const Registers& at);

/// Several lines of text, each ending in '\n'.
void describe(const Registers& r, TextSink sink);

}  // namespace ringlet::arch
