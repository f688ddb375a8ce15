// Handlers of signals and of faults. A fault comes here twice: on the fault stack, to be asked whether somebody handles
// it and where; then on that stack, in its thread, to be handled (kernel/sched/interruption.hpp).
#include "posix/handler.hpp"

#include <setjmp.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kernel/panic.hpp"
#include "posix/error.hpp"
#include "posix/signals.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

static_assert(sizeof(mcontext_t) == sizeof(arch::Registers));

/// Bytes of stack for the registers and the way to the handler; what this one needs is not known.
constexpr usize kRoom = MINSIGSTKSZ / 2;

struct Meaning {
    int signal, code;
};

Meaning meaning_of(arch::FaultKind kind) {
    using enum arch::FaultKind;
    switch (kind) {
    case unmapped:
        return {SIGSEGV, SEGV_MAPERR};
    case forbidden:
        return {SIGSEGV, SEGV_ACCERR};
    case unaligned:
        return {SIGBUS, BUS_ADRALN};
    case no_device:
        return {SIGBUS, BUS_ADRERR};
    case illegal_instruction:
        return {SIGILL, ILL_ILLOPC};
    case breakpoint:
        return {SIGTRAP, TRAP_BRKPT};
    case integer_divide:
        return {SIGFPE, FPE_INTDIV};
    case float_divide:
        return {SIGFPE, FPE_FLTDIV};
    case float_overflow:
        return {SIGFPE, FPE_FLTOVF};
    case float_underflow:
        return {SIGFPE, FPE_FLTUND};
    case float_inexact:
        return {SIGFPE, FPE_FLTRES};
    case float_invalid:
        return {SIGFPE, FPE_FLTINV};
    }
    std::unreachable();
}

bool is_on(const stack_t& stack, std::uintptr_t address) {
    const auto base = reinterpret_cast<std::uintptr_t>(stack.ss_sp);
    return address > base && address - base <= stack.ss_size;
}

/// The top of the alternate stack, when the handler wants it and it is not in use already; else 0.
std::uintptr_t alternate_top(const __ringlet_thread& thread, const struct sigaction& action, std::uintptr_t now) {
    const stack_t& stack = thread.alternate;
    if ((action.sa_flags & SA_ONSTACK) == 0 || stack.ss_size == 0 || is_on(stack, now)) return 0;
    return reinterpret_cast<std::uintptr_t>(stack.ss_sp) + stack.ss_size;
}

std::uintptr_t here() {
    return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

stack_t alternate_now(const __ringlet_thread& thread, std::uintptr_t sp) {
    stack_t stack = thread.alternate;
    if (stack.ss_size == 0)
        stack.ss_flags = SS_DISABLE;
    else if (is_on(stack, sp))
        stack.ss_flags = SS_ONSTACK;
    return stack;
}

struct Call {
    const struct sigaction& action;
    siginfo_t& info;
    ucontext_t context;
};

void run_call(void* p) {
    Call& call = *static_cast<Call*>(p);
    if ((call.action.sa_flags & SA_SIGINFO) != 0)
        call.action.sa_sigaction(call.info.si_signo, &call.info, &call.context);
    else
        call.action.sa_handler(call.info.si_signo);
}

/// Is there somebody who handles it, and room where to?
std::uintptr_t fault_stack(const arch::Registers& at) {
    if (!is_application_thread()) return 0;
    const __ringlet_thread& thread = *pthread_self();
    const auto action = handler_of(thread, meaning_of(arch::fault_of(at)->kind).signal);
    if (!action) return 0;
    const std::uintptr_t sp = at.stack_pointer();
    if (const auto top = alternate_top(thread, *action, sp)) return top;
    const auto base = reinterpret_cast<std::uintptr_t>(thread.alternate.ss_sp);
    const usize room = is_on(thread.alternate, sp) ? sp - base : kernel::stack_below(sp);
    return room >= kRoom ? sp : 0;
}

void run(arch::Registers& at) {
    if (const auto fault = arch::fault_of(at)) {
        const auto [signal, code] = meaning_of(fault->kind);
        siginfo_t info{};
        info.si_signo = signal;
        info.si_code = code;
        info.si_addr = reinterpret_cast<void*>(fault->address);
        if (!handler_of(*pthread_self(), signal)) kernel::panic("a fault, whose handler was taken away meanwhile", &at);
        act(*pthread_self(), info, &at);
    }
    run_pending_signals(&at);
}

Outcome<> set_alternate(const stack_t* to, stack_t* old) {
    __ringlet_thread& thread = *pthread_self();
    const stack_t now = alternate_now(thread, here());
    if (to != nullptr) {
        if (now.ss_flags == SS_ONSTACK) return refuse(EPERM);
        if ((to->ss_flags & ~SS_DISABLE) != 0) return refuse(EINVAL);
        const bool off = (to->ss_flags & SS_DISABLE) != 0;
        if (!off && to->ss_size < MINSIGSTKSZ) return refuse(ENOMEM);
        thread.alternate = off ? stack_t{} : *to;
    }
    if (old != nullptr) *old = now;
    return {};
}

}  // namespace

namespace ringlet::posix {

void call_handler(__ringlet_thread& thread, const struct sigaction& action, siginfo_t& info, sigset_t blocked,
                  arch::Registers* at) {
    const std::uintptr_t sp = at != nullptr ? at->stack_pointer() : here();
    const auto pc = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
    const arch::Registers registers = at != nullptr ? *at : arch::Registers::of_call(pc, sp);
    Call call{.action = action, .info = info, .context = {}};
    call.context.uc_stack = alternate_now(thread, sp);
    call.context.uc_sigmask = blocked;
    std::memcpy(&call.context.uc_mcontext, &registers, sizeof registers);
    if (const auto top = alternate_top(thread, action, here()))
        kernel::call_on_stack(top, run_call, &call);
    else
        run_call(&call);
    thread.blocked = call.context.uc_sigmask & ~(sigset_t{1} << SIGKILL | sigset_t{1} << SIGSTOP);
    if (at != nullptr) std::memcpy(at, &call.context.uc_mcontext, sizeof registers);
}

void start_interruptions() {
    static constexpr kernel::InterruptionSteps kSteps{.fault_stack = fault_stack, .run = run};
    kernel::set_interruption_steps(kSteps);
}

}  // namespace ringlet::posix

extern "C" {

int sigaltstack(const stack_t* __restrict to, stack_t* __restrict old) {
    return answer(set_alternate(to, old));
}

long long* __ringlet_sigsetjmp(sigjmp_buf env, int savemask) {
    env->__has_mask = savemask;
    if (savemask != 0) pthread_sigmask(SIG_SETMASK, nullptr, &env->__mask);
    return env->__place;
}

void siglongjmp(sigjmp_buf env, int value) {
    if (env->__has_mask != 0) pthread_sigmask(SIG_SETMASK, &env->__mask, nullptr);
    longjmp(env->__place, value != 0 ? value : 1);
}

}  // extern "C"
