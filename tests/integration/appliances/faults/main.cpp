// An appliance that misbehaves on request: its argument names the fault. tests/integration/test_faults.py checks what
// the panic says. It also holds the tests that only a real machine can run: preemption with FP state, threads,
// timeouts.
#include <atomic>

#include <ringlet/console.hpp>
#include <ringlet/network.hpp>
#include <ringlet/system.hpp>
#include <ringlet/thread.hpp>

#include "lib/assert.hpp"

using namespace ringlet;

namespace {

using Code = void (*)();
void no_tail_call() {
    asm volatile("" : : : "memory");
}  // the function must be on the stack when it faults
constexpr u32 kConstants[] = {1, 2, 3};
alignas(16) unsigned char data_code[16];

[[gnu::noinline]] void write_text() {
    *reinterpret_cast<volatile u32*>(reinterpret_cast<std::uintptr_t>(&write_text)) = 0;
}

[[gnu::noinline]] void write_rodata() {
    *const_cast<volatile u32*>(&kConstants[1]) = 7;
}

[[gnu::noinline]] void execute_data() {
    reinterpret_cast<Code>(reinterpret_cast<std::uintptr_t>(data_code))();
    no_tail_call();
}

[[gnu::noinline]] void execute_stack() {
    volatile unsigned char code[16] = {};
    reinterpret_cast<Code>(reinterpret_cast<std::uintptr_t>(code))();
    no_tail_call();
}

[[gnu::noinline]] void null_read() {
    volatile u32* volatile nowhere = nullptr;
    print("{}\n", static_cast<u32>(*(nowhere + 2)));
}

[[gnu::noinline]] void null_call() {
    const volatile Code nowhere = nullptr;
    nowhere();
    no_tail_call();
}

volatile u32 deepest = ~u32{0};  // a bound that is never reached, so that the recursion is not obviously endless

[[gnu::noinline]] u32 overflow_stack(u32 depth) {
    volatile u32 room[256];
    room[depth % 256] = depth;
    if (depth == deepest) return depth;
    return overflow_stack(depth + 1) + room[(depth + 1) % 256];
}

volatile usize smashed_bytes = 64;

[[gnu::noinline]] void smash_stack() {
    volatile char small[16];
    const usize bytes = smashed_bytes;
    for (usize i = 0; i < bytes; ++i) small[i] = 0x41;
    asm volatile("" : : "r"(small) : "memory");
}

[[gnu::noinline]] void fail_assert() {
    ASSERT(data_code[0] == 1);
}

/// A connection to ourselves, and what fails deep in the network: a bad pointer where bytes are copied, or an ASSERT
/// where a socket's observer is told.
struct Pair {
    TcpListener listener;
    TcpStream client;
};
Result<Pair> connect_to_ourselves() {
    constexpr u16 kPort = 9;
    TcpListener listener = TRY(TcpListener::bind(network(), kPort));
    TcpStream client = TRY(TcpStream::start_connect(network(), {Ipv4Addr::of(127, 0, 0, 1), kPort}));
    return Pair{std::move(listener), std::move(client)};
}

[[gnu::noinline]] void write_from_nowhere() {
    auto pair = connect_to_ourselves();
    if (!pair || !pair->listener.accept()) return;
    const volatile std::uintptr_t nowhere = 8;
    (void)pair->client.try_write({reinterpret_cast<const std::byte*>(nowhere), 100});
    no_tail_call();
}

[[gnu::noinline]] void assert_in_observer() {
    net::detail::Observer observer{[](net::detail::Observer&) { fail_assert(); }};
    auto pair = connect_to_ourselves();
    if (!pair) return;
    pair->client.observe(&observer);
    (void)pair->listener.accept();
    no_tail_call();
}

/// The same sum again and again while another thread does other sums at the same priority.
bool sums_agree(double seed, Instant until) {
    double first = 0;
    for (bool once = true; now() < until; once = false) {
        double sum = seed;
        for (int i = 1; i < 20000; ++i) sum = sum * 0.75 + 1.0 / (i + seed);
        if (once) first = sum;
        if (sum != first) return false;
    }
    return true;
}

void floating_point() {
    const Instant until = now() + Duration::from_s(3);
    bool ok[4] = {};
    {
        Result<Thread> workers[4] = {fail(Error::invalid), fail(Error::invalid), fail(Error::invalid),
                                     fail(Error::invalid)};
        for (int i = 0; i < 4; ++i)
            workers[i] = Thread::spawn({.name = "sums"}, [&ok, i, until] { ok[i] = sums_agree(i + 1.5, until); });
    }
    print("floating point: {}\n", ok[0] && ok[1] && ok[2] && ok[3] ? "ok" : "WRONG");
}

bool timeouts_are_right() {
    Event never;
    const Instant start = now();
    if (never.wait_until(start + Duration::from_ms(50))) return false;
    const Duration slept = now() - start;
    return slept >= Duration::from_ms(50) && slept < Duration::from_ms(2000);
}

/// Four threads add to one number under a lock, with sleeps inside: none may be lost.
bool locks_hold() {
    Locked<u64> total{u64{0}};
    {
        Result<Thread> workers[4] = {fail(Error::invalid), fail(Error::invalid), fail(Error::invalid),
                                     fail(Error::invalid)};
        for (auto& w : workers)
            w = Thread::spawn({.name = "adder"}, [&total] {
                for (int i = 0; i < 200; ++i) {
                    auto held = total.lock();
                    const u64 before = *held;
                    if (i % 50 == 0) sleep_for(Duration::from_ms(1));
                    yield();
                    *held = before + 1;
                }
            });
    }
    return *total.lock() == 800;
}

/// A busy thread must not keep another of the same priority from running.
bool busy_threads_share() {
    std::atomic<bool> stop{false};
    std::atomic<u64> turns{0};
    auto busy = Thread::spawn({.name = "busy"}, [&] {
        while (!stop) turns.fetch_add(1);
    });
    const Instant until = now() + Duration::from_ms(300);
    while (now() < until) {
    }
    stop = true;
    return turns > 1000;
}

void threads() {
    const bool ok = timeouts_are_right() && locks_hold() && busy_threads_share();
    print("threads: {}\n", ok ? "ok" : "WRONG");
}

void arguments(int argc, char** argv) {
    for (int i = 2; i < argc; ++i) print("argument <{}>\n", std::string_view(argv[i]));
    print("arguments: end\n");
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view what = argc > 1 ? argv[1] : "";
    if (what == "write-text")
        write_text();
    else if (what == "write-rodata")
        write_rodata();
    else if (what == "execute-data")
        execute_data();
    else if (what == "execute-stack")
        execute_stack();
    else if (what == "null-read")
        null_read();
    else if (what == "null-call")
        null_call();
    else if (what == "stack-overflow")
        print("{}\n", overflow_stack(1));
    else if (what == "smash-stack")
        smash_stack();
    else if (what == "assert")
        fail_assert();
    else if (what == "bad-write")
        write_from_nowhere();
    else if (what == "observer")
        assert_in_observer();
    else if (what == "floating-point")
        floating_point();
    else if (what == "threads")
        threads();
    else if (what == "arguments")
        arguments(argc, argv);
    else
        print("unknown request '{}'\n", what);
    return 0;
}
