// The rest of the kernel for host tests: clock, log (kept for log_read(); on stderr too when RINGLET_TEST_LOG
// is set in the environment), reproducible random numbers, panic, heap from malloc.
#include <malloc.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <random>
#include <string>

#include "arch/clock.hpp"
#include "arch/host.hpp"
#include "kernel/log.hpp"
#include "kernel/mm/heap.hpp"
#include "kernel/panic.hpp"
#include "kernel/random.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::kernel {

namespace {

struct Line {
    Instant when;
    LogLevel level;
    std::string text;
};
struct State {
    std::mutex mutex;
    std::deque<Line> log;
    void (*console)(std::string_view) = nullptr;
    LogLevel least = LogLevel::info;
    std::mt19937_64 random{20260};
    std::vector<std::byte> entropy;
};
State& state() {
    static State s;
    return s;
}
std::atomic<u64> wall_clock_offset{0};

}  // namespace

Instant now() {
    return arch::monotonic_now();
}

u64 wall_clock_ns() {
    if (wall_clock_offset == 0)
        wall_clock_offset = arch::wall_clock_unix_seconds().value_or(0) * 1'000'000'000 - now().ns;
    return wall_clock_offset + now().ns;
}
void set_wall_clock_ns(u64 unix_ns) {
    wall_clock_offset = unix_ns - now().ns;
}
void slew_wall_clock(Duration offset) {  // a test does not wait: kernel/time/wall_clock.hpp is tested by itself
    wall_clock_offset += static_cast<u64>(offset.ns);
}

void log_write(LogLevel level, std::string_view text) {
    static const bool echo = std::getenv("RINGLET_TEST_LOG") != nullptr;
    std::lock_guard lock(state().mutex);
    state().log.push_back({now(), level, std::string(text)});
    if (state().log.size() > 1000) state().log.pop_front();
    if (echo) std::fprintf(stderr, "[log] %.*s\n", static_cast<int>(text.size()), text.data());
    if (state().console != nullptr && level >= state().least) state().console(text);
}

void log_set_console(void (*sink)(std::string_view), LogLevel least) {
    std::lock_guard lock(state().mutex);
    state().console = sink;
    state().least = least;
}

void log_read(FunctionRef<void(Instant, LogLevel, std::string_view)> sink) {
    std::lock_guard lock(state().mutex);
    for (const Line& line : state().log) sink(line.when, line.level, line.text);
}

void random_init() {}
void random_add_entropy(Bytes bytes) {
    std::lock_guard lock(state().mutex);
    state().entropy.insert(state().entropy.end(), bytes.begin(), bytes.end());
}
u64 random_u64() {
    std::lock_guard lock(state().mutex);
    return state().random();
}
void random_fill(MutableBytes to) {
    while (!to.empty()) {
        const u64 word = random_u64();
        const usize n = to.size() < sizeof word ? to.size() : sizeof word;
        std::memcpy(to.data(), &word, n);
        to = to.subspan(n);
    }
}

void panic(std::string_view reason, const arch::Registers*) {
    std::fprintf(stderr, "RINGLET PANIC: %.*s\n", static_cast<int>(reason.size()), reason.data());
    std::abort();
}
void set_panic_action(PanicAction) {}
Symbol symbolize(std::uintptr_t) {
    return {};
}

void* heap_allocate(usize bytes, usize align) {
    void* p = nullptr;
    return posix_memalign(&p, align < sizeof(void*) ? sizeof(void*) : align, bytes) == 0 ? p : nullptr;
}
void heap_free(void* p) {
    std::free(p);
}
usize heap_usable_size(const void* p) {
    return malloc_usable_size(const_cast<void*>(p));
}
HeapStats heap_stats() {
    return {};
}

}  // namespace ringlet::kernel

std::vector<std::byte> ringlet::arch::host::take_added_entropy() {
    std::lock_guard lock(kernel::state().mutex);
    return std::exchange(kernel::state().entropy, {});
}
