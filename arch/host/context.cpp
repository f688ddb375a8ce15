// Contexts: ucontext plus the sanitizer's bookkeeping. Context: interrupts disabled, one OS thread.
#include "arch/context.hpp"

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace ringlet::arch {

namespace {

thread_local Context* leaving = nullptr;

void before_switch([[maybe_unused]] Context& from, [[maybe_unused]] Context& to) {
    leaving = &from;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack_bottom, to.stack_bytes);
#endif
}

// On the new stack: learns where the one we left lies (the boot context's is known to nobody else).
void after_switch([[maybe_unused]] Context& here) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(here.fake_stack, &leaving->stack_bottom, &leaving->stack_bytes);
#endif
}

void trampoline(unsigned high, unsigned low) {
    auto* self = reinterpret_cast<Context*>(static_cast<std::uintptr_t>(u64{high} << 32 | low));
    after_switch(*self);
    self->entry(self->arg);
    __builtin_trap();  // an entry never returns
}

}  // namespace

void context_init(Context& context, MutableBytes stack, void (*entry)(void*), void* arg) {
    context.entry = entry;
    context.arg = arg;
    context.stack_bottom = stack.data();
    context.stack_bytes = stack.size();
    context.fake_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack.data(),
                                  stack.size());  // frames of an earlier thread that never returned
#endif
    getcontext(&context.registers);
    context.registers.uc_stack.ss_sp = stack.data();
    context.registers.uc_stack.ss_size = stack.size();
    context.registers.uc_link = nullptr;
    const u64 self = reinterpret_cast<std::uintptr_t>(&context);
    makecontext(&context.registers, reinterpret_cast<void (*)()>(trampoline), 2, static_cast<unsigned>(self >> 32),
                static_cast<unsigned>(self));
}

void context_switch(Context& from, Context& to) {
    before_switch(from, to);
    swapcontext(&from.registers, &to.registers);
    after_switch(from);
}

}  // namespace ringlet::arch
