// Interrupting threads where they compute (kernel/sched/interruption.hpp), on the fake machine under a virtual clock:
// the test itself is the thread "main".
#include <catch2/catch.hpp>

#include <arch/clock.hpp>
#include <arch/cpu.hpp>
#include <arch/host.hpp>
#include <utility>

#include "kernel/sched/event.hpp"
#include "kernel/sched/internal.hpp"
#include "kernel/sched/interruption.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sync/spinlock.hpp"
#include "kernel/time/clock.hpp"
#include "tests/unit/kernel/machine.hpp"

using namespace ringlet;
using namespace ringlet::kernel;
using arch::CodeOwner;

namespace {

int runs = 0;
Thread* ran_on = nullptr;
std::uintptr_t stack_wanted = 0;

void start_machine() {
    static test::Ram ram(64_MiB);
    static constexpr InterruptionSteps kSteps{.fault_stack = [](const arch::Registers&) { return stack_wanted; },
                                              .run =
                                                  [](arch::Registers&) {
                                                      ++runs;
                                                      ran_on = &this_thread();
                                                      CHECK(arch::interrupts_enabled());
                                                  }};
    runs = 0;
    ran_on = nullptr;
    stack_wanted = 0;
    static bool started = false;
    if (std::exchange(started, true)) return;
    const arch::MmioRange regions[] = {ram.range(0, 64_MiB)};
    REQUIRE(page_allocator_init(regions, {}, test::kAllMapped));
    arch::host::use_virtual_clock(Instant{1000});
    arch::disable_interrupts();
    REQUIRE(scheduler_init());
    set_interruption_steps(kSteps);
}

/// Computes; the timer may interrupt it at any point.
void work(Duration d) {
    const Instant end = now() + d;
    while (now() < end) arch::host::advance_to(std::min(end, now() + Duration::from_us(100)));
}

template <class F> ThreadHandle run(u8 priority, F body) {
    auto thread = ThreadHandle::spawn({.name = "worker", .priority = priority, .stack_bytes = 65536}, std::move(body));
    REQUIRE(thread);
    return std::move(*thread);
}

struct OwnerIs {
    explicit OwnerIs(CodeOwner (*hook)(std::uintptr_t)) { arch::host::set_code_owner(hook); }
    ~OwnerIs() { arch::host::set_code_owner(nullptr); }
};

}  // namespace

TEST_CASE("A computing thread that is wanted runs the step, once, on its own time") {
    start_machine();
    work(Duration::from_ms(20));
    CHECK(runs == 0);
    Thread& main = this_thread();
    auto other = run(20, [&] {
        sleep_for(Duration::from_ms(1));
        interrupt(main);
    });
    work(Duration::from_ms(1));
    CHECK(runs == 1);
    CHECK(ran_on == &main);
    work(Duration::from_ms(20));
    CHECK(runs == 1);
    other.join();
}

TEST_CASE("A thread that is wanted while it waits or is ready runs the step within a millisecond of computing") {
    start_machine();
    Event go;
    Thread* waiter = nullptr;
    int after = -1;
    auto other = run(20, [&] {
        waiter = &this_thread();
        go.wait();
        work(Duration::from_us(1100));
        after = runs;
    });
    interrupt(*waiter);
    work(Duration::from_ms(5));
    CHECK(runs == 0);  // it sleeps, and nobody looks at it
    CHECK(arch::host::timer_deadline().is_never());
    go.set();
    other.join();
    CHECK(after == 1);
    CHECK(ran_on == waiter);
}

TEST_CASE("No step while a lock is held, but soon after") {
    start_machine();
    Guarded<int, Rank::application, Mutex> guarded;
    {
        auto held = guarded.lock();
        interrupt(this_thread());
        arch::set_timer(now());  // whatever interrupts first finds the thread wanted; from then on the timer does
        work(Duration::from_ms(20));
        CHECK(runs == 0);
    }
    work(Duration::from_us(1100));
    CHECK(runs == 1);
}

TEST_CASE("No step in the system's code, nor in a library that it called") {
    start_machine();
    {
        const OwnerIs system([](std::uintptr_t) { return CodeOwner::system; });
        interrupt(this_thread());
        arch::set_timer(now());
        work(Duration::from_ms(10));
        CHECK(runs == 0);
    }
    work(Duration::from_us(1100));
    CHECK(runs == 1);

    // Frames: the library's function was called by that at the address in the first record.
    struct Record {
        Record* caller;
        std::uintptr_t address;
    };
    constexpr std::uintptr_t kSystem = 0x100, kLibrary = 0x200, kApplication = 0x300;
    const OwnerIs by_address([](std::uintptr_t a) {
        if (a < kSystem + 0x80) return CodeOwner::system;
        return a < kLibrary + 0x80 ? CodeOwner::library : CodeOwner::application;
    });
    Record frames[3];
    const auto decide = [&](std::uintptr_t pc, std::uintptr_t caller, std::uintptr_t callers_caller) {
        frames[0] = {&frames[1], caller};
        frames[1] = {&frames[2], callers_caller};
        frames[2] = {nullptr, 0};
        const arch::IrqGuard off;
        this_thread().interruption_wanted = true;
        const bool taken = take_interruption(this_cpu(), {pc, reinterpret_cast<std::uintptr_t>(&frames[0])});
        CHECK(this_thread().interruption_wanted == !taken);
        this_thread().interruption_wanted = false;
        return taken;
    };
    CHECK(decide(kApplication, kSystem, kSystem));
    CHECK_FALSE(decide(kSystem, kApplication, kApplication));
    CHECK(decide(kLibrary, kApplication, kSystem));
    CHECK_FALSE(decide(kLibrary, kSystem, kApplication));
    CHECK_FALSE(decide(kLibrary, kLibrary, kSystem));
    CHECK(decide(kLibrary, kLibrary, kApplication));
    CHECK(decide(kLibrary, 0, 0));  // nothing says that it was the system
}

TEST_CASE("A fault is offered to the application's handler only where the application runs, holding nothing") {
    start_machine();
    const arch::Registers at;
    CHECK(arch::hooks::fault_stack(at) == 0);
    stack_wanted = 0x1234;
    CHECK(arch::hooks::fault_stack(at) == 0x1234);
    {
        Guarded<int, Rank::application, Mutex> guarded;
        auto held = guarded.lock();
        CHECK(arch::hooks::fault_stack(at) == 0);
    }
    {
        const InterruptScope handler;
        CHECK(arch::hooks::fault_stack(at) == 0);
    }
    {
        const OwnerIs system([](std::uintptr_t) { return CodeOwner::system; });
        CHECK(arch::hooks::fault_stack(at) == 0);
    }
    CHECK(arch::hooks::fault_stack(at) == 0x1234);
}

TEST_CASE("How much stack is left") {
    start_machine();
    auto other = run(20, [] {
        const Stack& stack = this_thread().stack;
        CHECK(stack_below(stack.base) == 0);
        CHECK(stack_below(stack.base - 1) == 0);
        CHECK(stack_below(stack.base + 1) == 1);
        CHECK(stack_below(stack.base + stack.bytes) == stack.bytes);
        CHECK(stack_below(stack.base + stack.bytes + 1) == 0);
    });
    other.join();
}
