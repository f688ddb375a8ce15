// The panic screen. It takes no lock, allocates nothing and trusts nothing: a panic inside a panic prints one
// line and ends; a third one only ends. Context: any.
#include "kernel/panic.hpp"

#include <arch/backtrace.hpp>
#include <arch/cpu.hpp>
#include <arch/early.hpp>
#include <arch/power.hpp>
#include <arch/registers.hpp>
#include <atomic>

#include "arch/hooks.hpp"
#include "kernel/console.hpp"
#include "kernel/sched/scheduler.hpp"
#include "lib/format.hpp"

namespace ringlet::kernel {

namespace {

constinit std::atomic<PanicAction> action{PanicAction::halt};
constinit std::atomic<int> depth{0};

void put(std::string_view text) {
    if (console_attached()) return console_write(text);
    for (char c : text) {
        if (c == '\n') arch::early_put('\r');
        arch::early_put(c);
    }
}

constexpr auto kScreen = [](std::string_view text) { put(text); };

// A return address may be the first one after a noreturn call at a function's end: look up the byte before.
void print_frame(usize number, std::uintptr_t address, bool is_return_address) {
    Symbol s = symbolize(address - (is_return_address ? 1 : 0));
    if (s.name.empty()) return format(kScreen, "#{} ? (0x{:x})\n", number, address);
    format(kScreen, "#{} {}+0x{:x} (0x{:x})\n", number, s.name, s.offset + (is_return_address ? 1 : 0), address);
}

void print_stack(const arch::Registers* at, std::uintptr_t frame) {
    usize number = 0;
    if (at != nullptr) {
        print_frame(number++, at->program_counter(), false);
        // A call of something that is no function has no frame yet: the caller is only in the return address.
        const std::uintptr_t caller = at->return_address();
        if (symbolize(at->program_counter()).name.empty() && !symbolize(caller - 1).name.empty())
            print_frame(number++, caller, true);
    }
    std::uintptr_t addresses[32];
    const usize count = arch::backtrace(frame, addresses);
    for (usize i = 0; i < count; ++i) print_frame(number++, addresses[i], true);
}

[[noreturn]] void end() {
    switch (action.load(std::memory_order_relaxed)) {
    case PanicAction::reboot:
        arch::reboot();
    case PanicAction::end_vm:
        arch::end_vm(kPanicExitStatus);
    case PanicAction::halt:
        break;
    }
    arch::halt();
}

}  // namespace

void panic(std::string_view reason, const arch::Registers* at) {
    arch::disable_interrupts();
    const int before = depth.fetch_add(1, std::memory_order_relaxed);
    if (before == 0) console_use_panic_output();
    if (before < 2) {
        put("\nRINGLET PANIC: ");
        put(reason);
        put("\n");
    }
    if (before == 0) {
        format(kScreen, "thread: {}\n", current_thread_name());
        if (at != nullptr)
            arch::describe(*at, kScreen);
        else  // raised by a call: only the registers that tell where are worth anything
            format(kScreen, "pc {:016x}  sp/fp {:016x}\n", __builtin_return_address(0), __builtin_frame_address(0));
        print_stack(at, at != nullptr ? at->frame_pointer() : arch::frame_pointer());
    }
    end();
}

void set_panic_action(PanicAction a) {
    action.store(a, std::memory_order_relaxed);
}

}  // namespace ringlet::kernel

void ringlet::arch::hooks::fault(const char* what, const Registers& at) {
    kernel::panic(what, &at);
}
