// What a fault saved. The order is that of the pushes in traps.S. Context: any.
#pragma once

#include <cstdint>
#include <optional>

#include "arch/fault.hpp"
#include "lib/format.hpp"

namespace ringlet::arch {

struct Registers {
    u64 fault_address;  ///< CR2
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    u64 vector, error_code;
    u64 rip, cs, rflags, rsp, ss;  // pushed by the CPU

    std::uintptr_t program_counter() const { return rip; }
    std::uintptr_t frame_pointer() const { return rbp; }
    std::uintptr_t stack_pointer() const { return rsp; }
    /// Who called what begins at program_counter(); true only before its first instruction. 0: unknown.
    std::uintptr_t return_address() const;
    /// A place in the middle of a call, of which no more is known.
    static Registers of_call(std::uintptr_t pc, std::uintptr_t frame) {
        Registers at{};
        at.rip = pc;
        at.rbp = at.rsp = frame;
        return at;
    }
};
static_assert(sizeof(Registers) == 184);

/// What fault it was; none: an interrupt, or nothing that code of an application can cause.
std::optional<Fault> fault_of(const Registers& at);

/// Six lines of text.
void describe(const Registers& registers, TextSink sink);

}  // namespace ringlet::arch
