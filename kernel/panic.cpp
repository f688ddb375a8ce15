// The panic screen. It takes no lock, allocates nothing and trusts nothing: a panic inside a panic prints one
// line and ends; a third one only ends. Context: any.
#include "kernel/panic.hpp"

#include <algorithm>
#include <arch/backtrace.hpp>
#include <arch/callers.hpp>
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

/// Prints the lines of the stack and remembers what the last sure one is about.
class Trace {
public:
    void line(std::uintptr_t address, bool is_return_address, const char* mark = "") {
        // A return address may be the first one after a noreturn call at a function's end: look up the byte before.
        const unsigned back = is_return_address ? 1 : 0;
        const Symbol s = symbolize(address - back);
        if (s.name.empty())
            format(kScreen, "#{} ? (0x{:x})\n", number_++, address);
        else
            format(kScreen, "#{} {}{}+0x{:x} (0x{:x})\n", number_++, mark, s.name, s.offset + back, address);
        if (*mark != '\0') return;
        length_ = std::min(s.name.size(), sizeof name_);
        std::copy_n(s.name.data(), length_, name_);
    }
    /// A return address without a frame is sure when the call before it is one of the function that came last.
    void line(const arch::Caller& caller) {
        const bool is_sure = caller.in_frame || (caller.callee != 0 && is_start_of_last(caller.callee));
        line(caller.address, true, is_sure ? "" : "? ");
    }

private:
    bool is_start_of_last(std::uintptr_t callee) const {
        const Symbol s = symbolize(callee);
        return s.offset == 0 && length_ != 0 && s.name.substr(0, sizeof name_) == std::string_view(name_, length_);
    }
    usize number_ = 0, length_ = 0;
    char name_[128];
};

void print_stack(const arch::Registers* at, std::uintptr_t frame) {
    Trace trace;
    std::uintptr_t stack = frame;
    if (at != nullptr) {
        stack = at->stack_pointer();
        trace.line(at->program_counter(), false);
        // A call of something that is no function has no frame yet: the caller is only in the return address.
        const std::uintptr_t caller = at->return_address();
        if (symbolize(at->program_counter()).name.empty() && !symbolize(caller - 1).name.empty()) {
            trace.line(caller, true);
            stack += sizeof(std::uintptr_t);
        }
    }
    arch::Caller callers[32];
    const usize count = arch::callers(stack, frame, callers);
    for (usize i = 0; i < count; ++i) trace.line(callers[i]);
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
