#include "kernel/console.hpp"

#include <arch/cpu.hpp>
#include <atomic>
#include <utility>

#include "kernel/mm/heap.hpp"
#include "kernel/sched/event.hpp"

namespace ringlet::kernel {

namespace {

// Single producer (the serial interrupt), single consumer (the reader): `head` is the producer's, `tail` the
// reader's. `data` is replaced once, by console_on_input(): whoever touches it has interrupts off.
struct InputRing {
    static constexpr u32 kSize = 256, kWide = 16384;
    char small[kSize] = {};
    char* data = small;
    u32 size = kSize;
    std::atomic<u32> head{0}, tail{0};
    std::atomic<u64> overruns{0};
    std::atomic<bool> held_back{false};  // the producer was told to wait

    bool is_full() const { return head.load(std::memory_order_relaxed) - tail.load(std::memory_order_acquire) == size; }
    char at(u32 index) const {
        const arch::IrqGuard off;
        return data[index % size];
    }
    /// Room for `kWide`, if that is to be had. Context: thread.
    void widen();
    /// The reader is done with everything before `to`.
    void release(u32 to);
};

constinit InputRing input;
constinit Event input_arrived;
constinit std::atomic<void (*)(std::string_view)> output{nullptr};
constinit std::atomic<void (*)(std::string_view)> panic_output{nullptr};
constinit std::atomic<void (*)()> room_made{nullptr};
constinit std::atomic<void (*)(char)> arrived{nullptr};
constinit std::atomic<bool> claimed{false};

void InputRing::widen() {
    auto* const wide = size == kWide ? nullptr : static_cast<char*>(heap_allocate(kWide));
    if (wide == nullptr) return;
    const arch::IrqGuard off;
    for (u32 i = tail.load(); i != head.load(); ++i) wide[i % kWide] = data[i % size];
    data = wide;
    size = kWide;
}

// Store, fence, look, as in Event: either the producer sees the room or the reader sees that it waits.
void InputRing::release(u32 to) {
    tail.store(to, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with console_input_full()
    if (!held_back.load(std::memory_order_relaxed)) return;
    if (head.load(std::memory_order_acquire) - to > size / 2) return;  // a few at a time are not worth it
    held_back.store(false, std::memory_order_relaxed);
    if (const auto resume = room_made.load(std::memory_order_acquire)) resume();
}

}  // namespace

void (*console_attach(void (*write)(std::string_view)))(std::string_view) {
    return output.exchange(write, std::memory_order_acq_rel);
}

void console_attach_panic(void (*write)(std::string_view)) {
    panic_output.store(write, std::memory_order_release);
}

void console_use_panic_output() {
    if (const auto write = panic_output.load(std::memory_order_acquire)) (void)console_attach(write);
}

bool console_attached() {
    return output.load(std::memory_order_acquire) != nullptr;
}

void console_write(std::string_view text) {
    const auto write = output.load(std::memory_order_acquire);
    if (write == nullptr) return;
    char piece[256];
    usize n = 0;
    for (const char c : text) {
        if (n + 2 > sizeof piece) write({piece, std::exchange(n, 0)});
        if (c == '\n') piece[n++] = '\r';
        piece[n++] = c;
    }
    if (n != 0) write({piece, n});
}

void console_input(char c) {
    if (input.is_full()) {
        input.overruns.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    {
        const arch::IrqGuard off;
        const u32 head = input.head.load(std::memory_order_relaxed);
        input.data[head % input.size] = c;
        input.head.store(head + 1, std::memory_order_release);
    }
    input_arrived.set();
    if (const auto tell = arrived.load(std::memory_order_acquire)) tell(c);
}

bool console_claim_input() {
    return !claimed.exchange(true, std::memory_order_relaxed);
}

void console_on_input(void (*tell)(char)) {
    input.widen();
    arrived.store(tell, std::memory_order_release);
}

bool console_input_pending() {
    return input.tail.load(std::memory_order_relaxed) != input.head.load(std::memory_order_acquire);
}

std::optional<char> console_read(Instant deadline) {
    for (;;) {
        const u32 tail = input.tail.load(std::memory_order_relaxed);
        if (tail != input.head.load(std::memory_order_acquire)) {
            const char c = input.at(tail);
            input.release(tail + 1);
            return c;
        }
        if (!input_arrived.wait_until(deadline)) return std::nullopt;
    }
}

bool console_input_full() {
    if (!input.is_full()) return false;
    input.held_back.store(true, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with InputRing::release()
    if (input.is_full()) return true;
    input.held_back.store(false, std::memory_order_relaxed);
    return false;
}

void console_on_room(void (*resume)()) {
    room_made.store(resume, std::memory_order_release);
}

bool console_discard_through(char c) {
    const u32 tail = input.tail.load(std::memory_order_relaxed), head = input.head.load(std::memory_order_acquire);
    for (u32 at = tail; at != head; ++at)
        if (input.at(at) == c) {
            input.release(at + 1);
            return true;
        }
    return false;
}

u64 console_overruns() {
    return input.overruns.load(std::memory_order_relaxed);
}

}  // namespace ringlet::kernel
