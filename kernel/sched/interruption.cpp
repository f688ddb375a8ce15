// Who may be interrupted where. The decision needs no bookkeeping by anybody: the address of the code, the frames above
// it and what the thread holds say it.
#include "kernel/sched/interruption.hpp"

#include <arch/backtrace.hpp>
#include <arch/callers.hpp>
#include <arch/code_owner.hpp>
#include <arch/context.hpp>

#include "kernel/sched/internal.hpp"

namespace ringlet::kernel {

namespace {

constinit const InterruptionSteps* steps = nullptr;

/// The first frame that is not a library's decides: the system calls memcpy() too. Libraries have frame pointers, but a
/// function at its first instruction, or without a frame, hides who called it; then a caller of the caller decides,
/// which for the application's calls is right, and for the system's means at worst what a handler that does not return
/// always means: what the call had taken is lost.
bool in_application(const arch::hooks::Interrupted& at) {
    arch::CodeOwner owner = arch::code_owner(at.program_counter);
    if (owner == arch::CodeOwner::library)
        if (const auto caller = arch::caller_of_frameless(at.program_counter, at.stack_pointer))
            owner = arch::code_owner(caller - 1);
    if (owner != arch::CodeOwner::library) return owner == arch::CodeOwner::application;
    std::uintptr_t callers[32];
    const usize count = arch::backtrace(at.frame_pointer, callers);
    for (usize i = 0; i < count && owner == arch::CodeOwner::library; ++i) owner = arch::code_owner(callers[i] - 1);
    return owner != arch::CodeOwner::system;
}

bool holds_nothing(const Cpu& cpu) {
    return cpu.held_ranks == 0 && cpu.current != cpu.idle && cpu.current->state == ThreadState::running &&
           cpu.current->wait_list == nullptr;
}

}  // namespace

bool take_interruption(Cpu& cpu, const arch::hooks::Interrupted& at) {
    if (!holds_nothing(cpu) || !in_application(at)) return false;
    cpu.current->interruption_wanted.store(false, std::memory_order_relaxed);
    return true;
}

void set_interruption_steps(const InterruptionSteps& s) {
    steps = &s;
}

void interrupt(Thread& thread) {
    thread.interruption_wanted.store(true, std::memory_order_relaxed);  // seen at interrupt_exit() or the next switch
}

Thread& this_thread() {
    return *current_thread();
}

void call_on_stack(std::uintptr_t top, void (*function)(void*), void* argument) {
    arch::call_on_stack(top, function, argument);
}

usize stack_below(std::uintptr_t address) {
    const Stack& stack = current_thread()->stack;
    return address - stack.base <= stack.bytes ? address - stack.base : 0;
}

}  // namespace ringlet::kernel

namespace ringlet::arch::hooks {

using namespace ringlet::kernel;

std::uintptr_t fault_stack(const Registers& at) {
    const Cpu& cpu = this_cpu();
    if (steps == nullptr || cpu.current == nullptr || cpu.interrupt_depth != 0 || !holds_nothing(cpu)) return 0;
    return in_application({at.program_counter(), at.frame_pointer(), at.stack_pointer()}) ? steps->fault_stack(at) : 0;
}

void diverted(Registers& at) {
    steps->run(at);
}

}  // namespace ringlet::arch::hooks
