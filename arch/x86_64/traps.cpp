// What happens after traps.S has saved the registers: interrupts go up to the kernel, faults to whoever handles them or
// into words. SDM vol. 3 §6.15. Context: interrupt or fault, interrupts disabled.
#include "arch/x86_64/traps.hpp"

#include <cstring>

#include "arch/hooks.hpp"
#include "arch/paging.hpp"
#include "arch/registers.hpp"
#include "arch/x86_64/image.hpp"
#include "arch/x86_64/page_tables.hpp"
#include "lib/format.hpp"

namespace ringlet::arch {
namespace {

enum Vector : u64 {
    kDivideError = 0,
    kBreakpoint = 3,
    kInvalidOpcode = 6,
    kStackFault = 12,
    kGeneralProtection = 13,
    kPageFault = 14,
    kX87Error = 16,
    kAlignmentCheck = 17,
    kSimdError = 19,
};
constexpr u64 kInterruptFlag = 0x200;
constexpr u64 kConditionFlags = 0xcd5;  ///< carry, parity, adjust, zero, sign, direction, overflow

constexpr const char* kFaultNames[32] = {
    "divide error",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "no FPU",
    "double fault",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack segment fault",
    "general protection fault",
    "page fault",
    "reserved fault 15",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD floating-point error",
    "virtualization exception",
    "control protection exception",
    "reserved fault 22",
    "reserved fault 23",
    "reserved fault 24",
    "reserved fault 25",
    "reserved fault 26",
    "reserved fault 27",
    "hypervisor injection",
    "VMM communication",
    "security exception",
    "reserved fault 31",
};

bool inside(u64 address, const char* start, const char* end) {
    return address >= x86::at(start) && address < x86::at(end);
}

/// SDM vol. 3 §4.7: the error code of a page fault.
struct PageFaultCode {
    u64 raw;
    bool present() const { return (raw & 1) != 0; }
    bool write() const { return (raw & 2) != 0; }
    bool reserved_bit() const { return (raw & 8) != 0; }
    bool fetch() const { return (raw & 16) != 0; }
};

const char* why(u64 address, PageFaultCode code) {
    if (address < kPageSize) return "null pointer";
    if (code.reserved_bit()) return "page table is corrupt";
    if (inside(address, __boot_stack_guard, __boot_stack_bottom)) return "stack overflow";
    if (!code.present()) {
        const bool in_stacks = address >= kStackWindow && address - kStackWindow < 1_GiB;
        return in_stacks ? "stack overflow" : "page is not mapped";
    }
    if (code.fetch()) return "page is not executable";
    if (!code.write()) return "page is not readable";
    return inside(address, __text_start, __text_end) ? "page is read-only: text" : "page is read-only";
}

/// The report must survive the stack it was made on: hooks::fault() never returns.
constinit char text[160];

const char* words_for(const Registers& at) {
    std::string_view said;
    const std::span<char> room(text, sizeof text - 1);
    if (at.vector == kPageFault) {
        const PageFaultCode code{at.error_code};
        const char* access = code.fetch() ? "execution" : code.write() ? "write" : "read";
        said = format_to(room, "page fault: {} at 0x{:x} by code at 0x{:x}: {}", access, at.fault_address, at.rip,
                         why(at.fault_address, code));
    } else {
        const char* name = at.vector < 32 ? kFaultNames[at.vector] : "unexpected exception";
        said = format_to(room, "{} (error code 0x{:x}) by code at 0x{:x}", name, at.error_code, at.rip);
    }
    text[said.size()] = '\0';
    return text;
}

/// SDM vol. 1 §8.1.3, §10.2.3: the exceptions that happened and are not masked.
FaultKind floating_point_kind(u64 flags) {
    if ((flags & 1) != 0) return FaultKind::float_invalid;
    if ((flags & 4) != 0) return FaultKind::float_divide;
    if ((flags & 8) != 0) return FaultKind::float_overflow;
    return (flags & 0x12) != 0 ? FaultKind::float_underflow : FaultKind::float_inexact;
}

/// These faults have no error code: the status of the unit takes its place.
void note_floating_point(Registers& at) {
    if (at.vector == kSimdError) {
        u32 mxcsr;
        asm volatile("stmxcsr %0" : "=m"(mxcsr));
        at.error_code = mxcsr & ~(mxcsr >> 7) & 0x3f;
    } else if (at.vector == kX87Error) {
        u16 status, control;
        asm volatile("fnstsw %0\n\tfnstcw %1" : "=m"(status), "=m"(control));
        at.error_code = status & ~control & 0x3f;
    }
}

/// Copies what the CPU pushed to where the thread is to be diverted, and sends it there.
bool divert(Registers& at) {
    if ((at.rflags & kInterruptFlag) == 0) return false;
    note_floating_point(at);
    if (!fault_of(at)) return false;
    const std::uintptr_t top = hooks::fault_stack(at);
    if (top == 0) return false;
    constexpr usize kWords = 7;  // from the vector to ss
    auto* const pushed = reinterpret_cast<u64*>(align_down<std::uintptr_t>(top, 16)) - kWords;
    std::memcpy(pushed, &at.vector, kWords * sizeof(u64));
    at.rip = reinterpret_cast<u64>(&ringlet_divert);
    at.rsp = reinterpret_cast<u64>(pushed);
    at.rflags &= ~(kInterruptFlag | kConditionFlags);
    return true;
}

}  // namespace

std::optional<Fault> fault_of(const Registers& at) {
    switch (at.vector) {
    case kPageFault:
        return Fault{PageFaultCode{at.error_code}.present() ? FaultKind::forbidden : FaultKind::unmapped,
                     at.fault_address};
    case kGeneralProtection:  // an address that is none, or an instruction that is not for applications: nobody says
    case kStackFault:
        return Fault{FaultKind::unmapped, 0};
    case kAlignmentCheck:
        return Fault{FaultKind::unaligned, 0};
    case kInvalidOpcode:
        return Fault{FaultKind::illegal_instruction, at.rip};
    case kBreakpoint:
        return Fault{FaultKind::breakpoint, at.rip};
    case kDivideError:
        return Fault{FaultKind::integer_divide, at.rip};
    case kX87Error:
    case kSimdError:
        return Fault{floating_point_kind(at.error_code), at.rip};
    default:
        return std::nullopt;
    }
}

void describe(const Registers& r, TextSink sink) {
    format(sink, "rip {:016x}  rsp {:016x}  rbp {:016x}  flags {:08x}\n", r.rip, r.rsp, r.rbp, r.rflags);
    format(sink, "rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}\n", r.rax, r.rbx, r.rcx, r.rdx);
    format(sink, "rsi {:016x}  rdi {:016x}  r8  {:016x}  r9  {:016x}\n", r.rsi, r.rdi, r.r8, r.r9);
    format(sink, "r10 {:016x}  r11 {:016x}  r12 {:016x}  r13 {:016x}\n", r.r10, r.r11, r.r12, r.r13);
    format(sink, "r14 {:016x}  r15 {:016x}  cr2 {:016x}\n", r.r14, r.r15, r.fault_address);
    format(sink, "vector {}, error code 0x{:x}, cs {:x}, ss {:x}\n", r.vector, r.error_code, r.cs, r.ss);
}

}  // namespace ringlet::arch

using namespace ringlet;

u32 ringlet_interrupt(u32 vector, const InterruptedFrame& at) {
    if (vector == arch::x86::kTimerVector) {
        arch::x86::timer_interrupt();
    } else {
        arch::hooks::interrupt(arch::IrqId{vector});
    }
    arch::x86::end_of_interrupt();
    return arch::hooks::interrupt_exit({at.rip, at.rbp, at.rsp}) ? 1 : 0;
}

void ringlet_fault(arch::Registers& at) {
    if (!arch::divert(at)) arch::hooks::fault(arch::words_for(at), at);
}

void ringlet_diverted(arch::Registers& at) {
    const u64 cs = at.cs, ss = at.ss, rflags = at.rflags;
    arch::hooks::diverted(at);
    at.cs = cs;
    at.ss = ss;
    at.rflags = (rflags & ~arch::kConditionFlags) | (at.rflags & arch::kConditionFlags);
}
