// Interrupts and faults, from vectors.S up to the hooks. Arm ARM D13.2.37 (ESR_EL1). Context: interrupt or
// fault.
#include <string_view>

#include "arch/backtrace.hpp"
#include "arch/cpu.hpp"
#include "arch/early.hpp"
#include "arch/hooks.hpp"
#include "arch/paging.hpp"
#include "arch/power.hpp"
#include "arch/registers.hpp"
#include "internal.hpp"
#include "sysreg.hpp"

extern "C" {
/// What an interrupt leaves on the stack for backtraces: a frame.
struct InterruptedFrame {
    ringlet::u64 x29, pc;
};
/// 1: the thread is diverted.
ringlet::u32 ringlet_irq(const InterruptedFrame& at);
/// Returns when `at` is where the thread goes on.
void ringlet_fault(ringlet::arch::Registers* at, ringlet::u32 kind);
void ringlet_divert();
void ringlet_diverted(ringlet::arch::Registers* at);
}

namespace ringlet::arch {

namespace {

enum class Entry : u32 { synchronous, system_error, fiq, nested };

enum ExceptionClass : u32 {  // ESR_EL1.EC
    kUnknown = 0x00,
    kFpTrapped = 0x07,
    kIllegalState = 0x0e,
    kSveTrapped = 0x19,
    kInstructionAbort = 0x21,
    kPcAlignment = 0x22,
    kDataAbort = 0x25,
    kSpAlignment = 0x26,
    kFloatingPoint = 0x2c,
    kBreakpoint = 0x3c,
};

constexpr u64 kConditionFlags = 0xf000'0000;  ///< PSTATE.NZCV
constexpr u64 kIrqMasked = 0x80;
constexpr u64 kMode = 0xf, kThreadMode = 4;  ///< EL1t

constinit char message[160];
constinit u32 nesting = 0;

template <class... A> const char* say(FormatString<std::type_identity_t<A>...> f, const A&... a) {
    message[format_to({message, sizeof message - 1}, f, a...).size()] = '\0';
    return message;
}

std::string_view region_name(u64 address) {
    if (address >= address_of(__text_start) && address < address_of(__text_end)) return " (text)";
    if (address >= address_of(__rodata_start) && address < address_of(__rodata_end)) return " (rodata)";
    if (address >= address_of(__data_start) && address < address_of(__image_end)) return " (data)";
    return "";
}

const char* describe_abort(const Registers& r, std::string_view access) {
    const u64 far = r.far;
    const u32 status = static_cast<u32>(r.esr & 0x3f);
    const bool permission = (status & 0x3c) == 0x0c, translation = (status & 0x3c) == 0x04;
    if ((r.esr & (1u << 10)) != 0) return say("page fault: {} : address unknown, external abort", access);
    if (translation && far < kPageSize) return say("page fault: {} 0x{:x} : null pointer", access, far);
    if (translation && ((far >= kStackWindow && far < kStackWindow + 1_GiB) ||
                        (far >= address_of(__boot_stack_guard) && far < address_of(__boot_stack_bottom))))
        return say("page fault: {} 0x{:x} : stack overflow", access, far);
    if (translation) return say("page fault: {} 0x{:x} : page is not mapped", access, far);
    if (permission) {
        const bool fetch = access.starts_with("execution");
        return say("page fault: {} 0x{:x}{} : page is {}", access, far, region_name(far),
                   fetch ? "not executable" : "read-only");
    }
    if (status == 0x21) return say("alignment fault: {} 0x{:x}", access, far);
    if (status == 0x10) return say("bus error: {} 0x{:x} : no device answers there", access, far);
    return say("memory abort: {} 0x{:x}, status 0x{:x}", access, far, status);
}

const char* explain(const Registers& r, Entry kind) {
    if (kind == Entry::system_error) return say("system error (asynchronous abort), syndrome 0x{:x}", r.esr);
    if (kind == Entry::fiq) return "unexpected fast interrupt (FIQ)";
    switch (static_cast<u32>(r.esr >> 26)) {
    case kDataAbort:
        return describe_abort(r, (r.esr & (1u << 6)) != 0 ? "write to" : "read from");
    case kInstructionAbort:
        return describe_abort(r, "execution of");
    case kUnknown:
        return say("undefined instruction at 0x{:x}", r.pc);
    case kFpTrapped:
    case kSveTrapped:
        return say("vector instruction that is not enabled at 0x{:x}", r.pc);
    case kIllegalState:
        return "illegal execution state";
    case kPcAlignment:
        return say("jump to unaligned address 0x{:x}", r.far);
    case kSpAlignment:
        return say("stack pointer not aligned: 0x{:x}", r.sp);
    case kBreakpoint:
        return say("breakpoint or trap instruction, code {}", r.esr & 0xffff);
    default:
        return say("exception class 0x{:x}, syndrome 0x{:x}", r.esr >> 26, r.esr);
    }
}

bool is_probe(u64 pc) {
    return pc == address_of(ringlet_semihosting_hlt) || pc == address_of(ringlet_psci_hvc) ||
           pc == address_of(ringlet_psci_smc);
}

FaultKind floating_point_kind(u64 syndrome) {
    if ((syndrome & 1) != 0) return FaultKind::float_invalid;
    if ((syndrome & 2) != 0) return FaultKind::float_divide;
    if ((syndrome & 4) != 0) return FaultKind::float_overflow;
    return (syndrome & 8) != 0 ? FaultKind::float_underflow : FaultKind::float_inexact;
}

std::optional<Fault> abort_of(const Registers& r) {
    const u32 status = static_cast<u32>(r.esr & 0x3f);
    if ((status & 0x3c) == 0x0c) return Fault{FaultKind::forbidden, r.far};
    if (status < 0x08) return Fault{FaultKind::unmapped, r.far};  // address size, translation
    if (status == 0x21) return Fault{FaultKind::unaligned, r.far};
    if (status == 0x10) return Fault{FaultKind::no_device, r.far};
    return std::nullopt;
}

/// Puts the end of its Registers where the thread is to be diverted, and sends it there.
bool divert(Registers& at) {
    if ((at.pstate & (kMode | kIrqMasked)) != kThreadMode || !fault_of(at)) return false;
    const std::uintptr_t top = hooks::fault_stack(at);
    if (top == 0) return false;
    auto* const there = reinterpret_cast<Registers*>(align_down<std::uintptr_t>(top, 16)) - 1;
    there->sp = at.sp;
    there->pc = at.pc;
    there->pstate = at.pstate;
    there->esr = at.esr;
    there->far = at.far;
    at.sp = reinterpret_cast<u64>(there);
    at.pc = reinterpret_cast<u64>(&ringlet_divert);
    at.pstate |= kIrqMasked;
    return true;
}

}  // namespace

std::optional<Fault> fault_of(const Registers& at) {
    if (at.esr == kNoFault) return std::nullopt;
    switch (static_cast<u32>(at.esr >> 26 & 0x3f)) {
    case kDataAbort:
    case kInstructionAbort:
        return abort_of(at);
    case kPcAlignment:
        return Fault{FaultKind::unaligned, at.far};
    case kSpAlignment:
        return Fault{FaultKind::unaligned, at.sp};
    case kUnknown:
    case kIllegalState:
        return Fault{FaultKind::illegal_instruction, at.pc};
    case kBreakpoint:
        return Fault{FaultKind::breakpoint, at.pc};
    case kFloatingPoint:
        return Fault{floating_point_kind(at.esr), at.pc};
    default:
        return std::nullopt;
    }
}

void describe(const Registers& r, TextSink sink) {
    for (usize i = 0; i < 31; ++i)
        format(sink, "{}x{:<2} {:016x}{}", i % 4 == 0 ? "  " : " ", i, r.x[i], i % 4 == 3 ? "\n" : "");
    format(sink, " sp  {:016x}\n  pc  {:016x} psr {:016x} esr {:016x} far {:016x}\n", r.sp, r.pc, r.pstate, r.esr,
           r.far);
}

}  // namespace ringlet::arch

ringlet::u32 ringlet_irq(const InterruptedFrame& at) {
    ringlet::arch::irq_dispatch();
    return ringlet::arch::hooks::interrupt_exit({at.pc, at.x29}) ? 1 : 0;
}

void ringlet_diverted(ringlet::arch::Registers* at) {
    using ringlet::arch::kConditionFlags;
    const ringlet::u64 pstate = at->pstate;
    ringlet::arch::hooks::diverted(*at);
    at->pstate = (pstate & ~kConditionFlags) | (at->pstate & kConditionFlags);
}

void ringlet_fault(ringlet::arch::Registers* at, ringlet::u32 kind_number) {
    using namespace ringlet;
    using namespace ringlet::arch;
    const auto kind = static_cast<Entry>(kind_number);
    if (kind == Entry::synchronous && is_probe(at->pc)) {
        at->x[0] = ~u64{0};
        at->pc += 4;
        return;
    }
    if (kind == Entry::synchronous && divert(*at)) return;
    // A fault inside the fault handler is reported once by the same path, then only halted.
    if (++nesting > 2) {
        for (const char c : std::string_view("\r\nRINGLET PANIC: faults while handling a fault; halted\r\n"))
            early_put(c);
        halt();
    }
    hooks::fault(explain(*at, kind), *at);
}
