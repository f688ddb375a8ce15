#include "kernel/console.hpp"

#include <atomic>

#include "kernel/sched/event.hpp"

namespace ringlet::kernel {

namespace {

// Single producer (the serial interrupt), single consumer (the reader): `head` is the producer's, `tail` the
// reader's.
struct InputRing {
    static constexpr u32 kSize = 256;
    char data[kSize] = {};
    std::atomic<u32> head{0}, tail{0};
    std::atomic<u64> overruns{0};
};

constinit InputRing input;
constinit Event input_arrived;
constinit std::atomic<void (*)(std::string_view)> output{nullptr};

}  // namespace

void console_attach(void (*write)(std::string_view)) {
    output.store(write, std::memory_order_release);
}

bool console_attached() {
    return output.load(std::memory_order_acquire) != nullptr;
}

void console_write(std::string_view text) {
    const auto write = output.load(std::memory_order_acquire);
    if (write == nullptr) return;
    while (!text.empty()) {
        const usize newline = text.find('\n');
        write(text.substr(0, newline));
        if (newline == text.npos) return;
        write("\r\n");
        text.remove_prefix(newline + 1);
    }
}

void console_input(char c) {
    const u32 head = input.head.load(std::memory_order_relaxed);
    if (head - input.tail.load(std::memory_order_acquire) == InputRing::kSize) {
        input.overruns.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    input.data[head % InputRing::kSize] = c;
    input.head.store(head + 1, std::memory_order_release);
    input_arrived.set();
}

std::optional<char> console_read(Instant deadline) {
    for (;;) {
        const u32 tail = input.tail.load(std::memory_order_relaxed);
        if (tail != input.head.load(std::memory_order_acquire)) {
            const char c = input.data[tail % InputRing::kSize];
            input.tail.store(tail + 1, std::memory_order_release);
            return c;
        }
        if (!input_arrived.wait_until(deadline)) return std::nullopt;
    }
}

u64 console_overruns() {
    return input.overruns.load(std::memory_order_relaxed);
}

}  // namespace ringlet::kernel
