// The real scheduler on host contexts under a virtual clock: the test itself is the thread "main",
// priority 16.
#include <catch2/catch.hpp>

#include <arch/clock.hpp>
#include <arch/cpu.hpp>
#include <arch/host.hpp>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernel/sched/event.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sched/scheduler.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/sched/wait_queue.hpp"
#include "kernel/sync/rank.hpp"
#include "kernel/sync/spinlock.hpp"
#include "kernel/time/clock.hpp"
#include "tests/unit/kernel/machine.hpp"

using namespace ringlet;
using namespace ringlet::kernel;

namespace {

void start_machine() {
    static test::Ram ram(64_MiB);
    static bool started = false;
    if (started) return;
    started = true;
    const arch::MmioRange regions[] = {ram.range(0, 64_MiB)};
    REQUIRE(page_allocator_init(regions, {}, test::kAllMapped));
    arch::host::use_virtual_clock(Instant{1000});
    arch::disable_interrupts();
    REQUIRE(scheduler_init());
    CHECK(arch::interrupts_enabled());
}

template <class F> ThreadHandle run(u8 priority, F body, std::string_view name = "worker") {
    auto thread = ThreadHandle::spawn({.name = name, .priority = priority, .stack_bytes = 65536}, std::move(body));
    REQUIRE(thread);
    return std::move(*thread);
}

/// Computes for so long; the timer may interrupt it at any point of it.
void work(Duration d) {
    const Instant end = now() + d;
    while (now() < end) arch::host::advance_to(std::min(end, now() + Duration::from_us(100)));
}

usize thread_count() {
    usize n = 0;
    for_each_thread([&](const ThreadInfo&) { ++n; });
    return n;
}

}  // namespace

TEST_CASE("A more urgent thread runs at once, a less urgent one when nobody else wants to") {
    start_machine();
    std::string order;
    {
        auto low = run(10, [&] { order += 'l'; });
        order += '1';
        auto high = run(20, [&] { order += 'h'; });
        order += '2';
        auto equal = run(16, [&] { order += 'e'; });
        order += '3';
        yield();
        order += '4';
        low.join();
    }
    CHECK(order == "1h23e4l");
}

TEST_CASE("Equal threads share the CPU in slices, only when somebody waits") {
    start_machine();
    std::string order;
    auto a = run(15, [&] {
        for (int i = 0; i < 3; ++i) {
            order += 'a';
            work(kTimeSlice);
        }
    });
    auto b = run(15, [&] {
        for (int i = 0; i < 3; ++i) {
            order += 'b';
            work(kTimeSlice);
        }
    });
    a.join();
    b.join();
    CHECK(order.size() == 6);
    CHECK((order == "ababab" || order == "abbaab" || order == "abaabb"));
    // Alone, nobody sets the timer.
    auto alone = run(15, [&] {
        const u64 switches = current_thread()->switches;
        work(Duration::from_ms(100));
        CHECK(current_thread()->switches == switches);
        CHECK(arch::host::timer_deadline().is_never());
    });
    alone.join();
}

TEST_CASE("A thread preempted within its slice keeps its turn") {
    start_machine();
    std::string order;
    auto a = run(15, [&] {
        order += 'a';
        work(Duration::from_ms(5));
        order += 'A';
    });
    auto b = run(15, [&] { order += 'b'; });
    sleep_for(Duration::from_ms(2));
    order += 'm';
    a.join();
    b.join();
    CHECK(order == "amAb");
}

TEST_CASE("Equal threads share evenly however often a more urgent one interrupts them") {
    start_machine();
    const Instant end = now() + Duration::from_ms(600);
    Duration used[3] = {};
    std::vector<ThreadHandle> workers;
    for (Duration& mine : used)
        workers.push_back(run(15, [&mine, end] {
            while (now() < end) {
                work(Duration::from_us(50));
                mine = mine + Duration::from_us(50);
            }
        }));
    while (now() < end) sleep_for(Duration::from_us(100));
    for (auto& worker : workers) worker.join();
    for (const Duration& mine : used) {
        CHECK(mine >= Duration::from_ms(150));
        CHECK(mine <= Duration::from_ms(250));
    }
}

TEST_CASE("Sleepers wake in order of time, and idle time is counted") {
    start_machine();
    const u64 idle_before = idle_time_ns();
    const Instant begin = now();
    std::string order;
    std::vector<ThreadHandle> threads;
    for (const int ms : {30, 10, 20, 40})
        threads.push_back(run(17, [&order, ms] {
            const Instant wanted = now() + Duration::from_ms(ms);
            sleep_for(Duration::from_ms(ms));
            CHECK(now() == wanted);
            order += static_cast<char>('0' + ms / 10);
        }));
    threads.clear();
    CHECK(order == "1234");
    CHECK(now() - begin == Duration::from_ms(40));
    CHECK(idle_time_ns() - idle_before == 40'000'000);
    sleep_until(Instant{0});  // past: no sleep
    sleep_for(Duration{-5});
}

TEST_CASE("A thread that was woken before its time sleeps the next time for as long as it says then") {
    start_machine();
    Event event;
    const auto ms = [](i64 n) { return Duration::from_ms(n); };
    auto waiter = run(20, [&] {
        for (const i64 next : {30, 5, 10}) {  // later than the first wait's end, sooner, and just then
            const Instant begin = now();
            CHECK(event.wait_until(begin + ms(11)));
            CHECK(now() == begin + ms(1));
            CHECK_FALSE(event.wait_until(now() + ms(next)));
            CHECK(now() == begin + ms(1 + next));
        }
        CHECK(event.wait_until(now() + ms(11)));
        event.wait();  // without an end
        CHECK(event.wait_until(now() + ms(50)));
    });
    for (const i64 pause : {1, 31, 6, 11, 30, 1}) {
        sleep_for(ms(pause));
        event.set();
    }
    waiter.join();  // it has ended before its time
    sleep_for(ms(100));
}

TEST_CASE("The CPU halts on the stack of whoever waits, unless a thread has ended") {
    start_machine();
    static Event event;
    static std::uintptr_t halted_at;
    static int halts;
    halts = 0;
    arch::host::set_idle_hook([] {
        halted_at = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        if (++halts == 2) event.set();  // the first interrupt was for nobody
    });
    const auto near = [](const void* frame) {
        const auto at = reinterpret_cast<std::uintptr_t>(frame);
        return halted_at < at && at - halted_at < 16384;
    };
    event.wait();
    CHECK(halts == 2);
    CHECK(near(__builtin_frame_address(0)));
    halts = 1;
    bool there = false;
    auto waiter = run(17, [&] {
        event.wait();
        there = near(__builtin_frame_address(0));
    });
    waiter.join();  // main begins to wait last, and gives the CPU to the other from its halt
    CHECK_FALSE(there);
    CHECK(near(__builtin_frame_address(0)));
    Event end;
    run(17, [&] { end.wait(); }).detach();
    end.set();  // it ends before main goes on
    halts = 1;
    event.wait();
    CHECK_FALSE(near(__builtin_frame_address(0)));  // the idle thread has freed it, and halted
    halts = 1;
    event.wait();
    CHECK(near(__builtin_frame_address(0)));
    arch::host::set_idle_hook(nullptr);
}

TEST_CASE("CPU time is charged to who used it") {
    start_machine();
    u64 used = 0;
    auto worker = run(
        15,
        [&] {
            work(Duration::from_ms(7));
            sleep_for(Duration::from_ms(50));
            work(Duration::from_ms(5));
            for_each_thread([&](const ThreadInfo& info) {
                if (std::string(info.name) == "charged") used = info.cpu_time_ns;
            });
        },
        "charged");
    worker.join();
    CHECK(used == 12'000'000);
}

TEST_CASE("An event is sticky, times out, and is set from an interrupt") {
    start_machine();
    Event event;
    event.set();
    event.set();
    CHECK(event.wait_until(Instant{0}));
    CHECK_FALSE(event.wait_until(now() + Duration::from_ms(3)));
    CHECK_FALSE(event.wait_until(Instant{0}));
    Instant woken;
    auto waiter = run(20, [&] {
        event.wait();
        woken = now();
        CHECK_FALSE(event.wait_until(now() + Duration::from_ms(1)));
    });
    sleep_for(Duration::from_ms(2));
    const Instant set_at = now();
    {
        // As a driver that sets it under a spinlock: the switch follows when interrupts go on again.
        Guarded<int, Rank::device, Spinlock> lock{0};
        auto held = lock.lock();
        event.set();
        CHECK(woken == Instant{});
    }
    CHECK(woken == set_at);
    waiter.join();
}

TEST_CASE("Random setters and waiters never lose a wake-up") {
    start_machine();
    const unsigned seed = 99;
    INFO("seed " << seed);
    std::mt19937 random(seed);
    constexpr int kRounds = 3000;
    Event ping, pong;
    int seen = 0;
    auto echo = run(16, [&] {
        for (int i = 0; i < kRounds; ++i) {
            if (random() % 3 == 0) work(Duration::from_us(static_cast<i64>(random() % 300)));
            while (!ping.wait_until(now() + Duration::from_us(static_cast<i64>(random() % 200)))) {
            }
            ++seen;
            pong.set();
        }
    });
    auto noise = run(16, [&] {
        while (seen < kRounds) {
            work(Duration::from_us(static_cast<i64>(random() % 400)));
            yield();
        }
    });
    for (int i = 0; i < kRounds; ++i) {
        ping.set();
        if (random() % 2 == 0) yield();
        pong.wait();
        REQUIRE(seen == i + 1);
    }
    echo.join();
    noise.join();
}

TEST_CASE("A mutex excludes, hands over in order of urgency, and lends its waiters' priority") {
    start_machine();
    Guarded<int, Rank::service, Mutex> shared{0};
    std::string order;
    bool inside = false;
    auto contend = [&](char name) {
        return [&, name] {
            auto held = shared.lock();
            CHECK_FALSE(inside);
            inside = true;
            order += name;
            work(Duration::from_ms(25));
            inside = false;
        };
    };
    std::vector<ThreadHandle> threads;
    {
        auto held = shared.lock();
        threads.push_back(run(17, contend('a')));
        threads.push_back(run(18, contend('b')));
        threads.push_back(run(17, contend('c')));
        threads.push_back(run(19, contend('d')));
        CHECK(current_thread()->priority == 19);
        auto between = run(18, [&] { order += 'x'; });  // waits for main, which is as urgent as 'd' now
        CHECK(order.empty());
        between.detach();
    }
    CHECK(current_thread()->priority == 16);
    threads.clear();
    CHECK(order == "dxbac");
}

TEST_CASE("Inheritance goes along a chain of mutexes and ends with the release") {
    start_machine();
    Guarded<int, Rank::service, Mutex> outer{0};
    Guarded<int, Rank::net, Mutex> inner{0};
    auto inner_held = std::make_unique<Guarded<int, Rank::net, Mutex>::Access>(inner);
    auto middle = run(17, [&] {
        auto a = outer.lock();
        auto b = inner.lock();
    });
    CHECK(current_thread()->priority == 17);
    auto top = run(25, [&] { auto a = outer.lock(); });
    CHECK(current_thread()->priority == 25);
    inner_held.reset();
    CHECK(current_thread()->priority == 16);
    middle.join();
    top.join();
}

TEST_CASE("A wait queue wakes for the predicate, one or all, with and without deadline") {
    start_machine();
    Guarded<int, Rank::net, Mutex> value{0};
    WaitQueue changed;
    int woken = 0;
    std::vector<ThreadHandle> threads;
    for (int i = 0; i < 5; ++i)
        threads.push_back(run(17, [&] {
            auto held = value.lock();
            changed.wait(held, [&] { return *held > 0; });
            --*held;
            ++woken;
        }));
    CHECK(woken == 0);
    changed.wake_all();  // nothing to take: all go back to sleep
    CHECK(woken == 0);
    {
        auto held = value.lock();
        *held = 1;
        changed.wake_one();
    }
    CHECK(woken == 1);
    {
        auto held = value.lock();
        const Instant begin = now();
        CHECK_FALSE(changed.wait_until(held, begin + Duration::from_ms(4), [&] { return *held == 77; }));
        CHECK(now() == begin + Duration::from_ms(4));
        CHECK_FALSE(changed.wait_until(held, Instant{0}, [&] { return *held == 77; }));
        *held = 4;
        changed.wake_all();
    }
    threads.clear();
    CHECK(woken == 5);
}

TEST_CASE("Thousands of threads come and go without a leak") {
    start_machine();
    release_cached_stacks();
    const u64 pages = page_stats().free_pages;
    const usize threads = thread_count();
    std::mt19937 random(5);
    int done = 0;
    for (int round = 0; round < 40; ++round) {
        std::vector<ThreadHandle> handles;
        for (int i = 0; i < 100; ++i) {
            const ThreadConfig config{
                .name = "many", .priority = static_cast<u8>(random() % 31 + 1), .stack_bytes = 16384};
            const auto body = [](void* arg) {
                int& count = *static_cast<int*>(arg);
                if (count % 3 == 0) sleep_for(Duration::from_us(count % 7 * 10));
                if (count++ % 5 == 0) exit_thread();
            };
            auto handle = ThreadHandle::spawn(config, body, &done);
            REQUIRE(handle);
            if (random() % 4 == 0)
                handle->detach();
            else
                handles.push_back(std::move(*handle));
        }
    }
    sleep_for(Duration::from_ms(1));  // detached ones end, idle reaps them
    CHECK(done == 4000);
    CHECK(thread_count() == threads);
    release_cached_stacks();
    CHECK(page_stats().free_pages == pages);
}

TEST_CASE("Impossible threads are refused") {
    start_machine();
    const u64 pages = page_stats().free_pages;
    CHECK_FALSE(ThreadHandle::spawn(
        {.name = "p", .priority = 32}, [](void*) {}, nullptr));
    CHECK_FALSE(ThreadHandle::spawn(
        {.name = "s", .stack_bytes = 17_MiB}, [](void*) {}, nullptr));
    std::vector<ThreadHandle> handles;
    for (;;) {  // until memory is out
        auto handle = ThreadHandle::spawn(
            {.name = "big", .priority = 1, .stack_bytes = 8_MiB}, [](void*) {}, nullptr);
        if (!handle) break;
        handles.push_back(std::move(*handle));
    }
    CHECK(handles.size() >= 5);
    handles.clear();
    release_cached_stacks();
    CHECK(page_stats().free_pages >= pages);
}

namespace {
struct Panicked {};
}  // namespace

TEST_CASE("Locks out of rank order panic, also across threads' own sets") {
    start_machine();
    arch::host::set_power_hook([](arch::host::PowerEvent, u8) { throw Panicked(); });
    arch::host::set_early_sink([](char) {});
    CHECK(rank_allowed(0, rank_bit(Rank::service)));
    Guarded<int, Rank::net, Mutex> net{0};
    Guarded<int, Rank::fs, Mutex> fs{0};
    auto held = fs.lock();
    auto other = run(20, [&] { auto mine = net.lock(); });  // its ranks are not ours
    other.join();
    const u32 ranks = this_cpu().held_ranks;
    const auto wrong = [&] { auto now_held = net.lock(); };
    CHECK_THROWS_AS(wrong(), Panicked);
    this_cpu().held_ranks = ranks;
    arch::enable_interrupts();
    arch::host::set_power_hook(nullptr);
    arch::host::set_early_sink(nullptr);
}
