// std::thread and what synchronises threads; thread_local variables and their destructors.
#include <atomic>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"

using namespace std::chrono_literals;

namespace {

struct AtEnd {
    std::atomic<int>* count = nullptr;
    ~AtEnd() {
        if (count != nullptr) ++*count;
    }
};

thread_local int initialised = 7;
thread_local int zero;
thread_local std::string text = "per-thread";
alignas(64) thread_local char aligned[64];
thread_local AtEnd at_end;

bool fresh() {
    char* p = aligned;
    asm volatile("" : "+r"(p));
    return initialised == 7 && zero == 0 && text == "per-thread" && reinterpret_cast<std::uintptr_t>(p) % 64 == 0;
}

void check_many_threads() {
    std::mutex mutex;
    int sum = 0;
    std::atomic<int> own_state{0}, caught{0}, ended{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&, i] {
            bool good = fresh();
            at_end.count = &ended;
            initialised = zero = i;
            text += std::to_string(i);
            errno = 1000 + i;
            for (int k = 0; k < 100; ++k) {
                const std::lock_guard lock(mutex);
                ++sum;
                if (k % 10 == 0) std::this_thread::yield();
            }
            try {
                throw std::runtime_error("in a thread");
            } catch (const std::exception&) {
                std::this_thread::yield();
                ++caught;
            }
            good = good && initialised == i && zero == i && text == "per-thread" + std::to_string(i);
            if (good && errno == 1000 + i) ++own_state;
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(sum == 800);
    CHECK(own_state == 8);
    CHECK(caught == 8);
    CHECK(ended == 8);
    CHECK(fresh());
}

void check_waiting() {
    std::mutex mutex;
    std::condition_variable changed;
    bool ready = false, seen = false;
    std::thread waiter([&] {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return ready; });
        seen = true;
    });
    {
        const std::lock_guard lock(mutex);
        ready = true;
    }
    changed.notify_one();
    waiter.join();
    CHECK(seen);

    std::unique_lock lock(mutex);
    const auto began = std::chrono::steady_clock::now();
    CHECK(!changed.wait_for(lock, 3ms, [] { return false; }));
    CHECK(std::chrono::steady_clock::now() - began >= 3ms);
    CHECK(changed.wait_until(lock, std::chrono::system_clock::now() - 1s) == std::cv_status::timeout);
}

void check_futures() {
    auto answer = std::async(std::launch::async, [] { return 6 * 7; });
    CHECK(answer.get() == 42);
    std::promise<int> promise;
    auto broken = promise.get_future();
    std::jthread thread([&](std::stop_token) {
        try {
            throw std::out_of_range("nine");
        } catch (...) {
            promise.set_exception(std::current_exception());
        }
    });
    bool arrived = false;
    try {
        broken.get();
    } catch (const std::out_of_range&) {
        arrived = true;
    }
    CHECK(arrived);
    std::jthread stops([](std::stop_token stop) {
        while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
    });
    stops.request_stop();
    stops.join();
    CHECK(!stops.joinable());
}

void check_locks() {
    std::recursive_mutex recursive;
    recursive.lock();
    CHECK(recursive.try_lock());
    recursive.unlock();
    recursive.unlock();

    std::shared_mutex shared;
    {
        const std::shared_lock first(shared), second(shared, std::try_to_lock);
        CHECK(second.owns_lock());
        CHECK(!shared.try_lock());
    }
    CHECK(shared.try_lock());
    shared.unlock();

    std::timed_mutex timed;
    timed.lock();
    std::thread other([&] { CHECK(!timed.try_lock_for(2ms)); });
    other.join();
    timed.unlock();

    std::once_flag once;
    int runs = 0;
    try {
        std::call_once(once, [] { throw 1; });
    } catch (int) {
    }
    std::call_once(once, [&] { ++runs; });
    std::call_once(once, [&] { ++runs; });
    CHECK(runs == 1);
}

void check_newer_ones() {
    std::latch latch(2);
    std::barrier barrier(2);
    std::counting_semaphore<4> semaphore(0);
    std::atomic<int> state{0};
    std::thread thread([&] {
        latch.count_down();
        barrier.arrive_and_wait();
        semaphore.release();
        state.wait(0);
        state = 2;
        state.notify_all();
    });
    latch.arrive_and_wait();
    barrier.arrive_and_wait();
    semaphore.acquire();
    state = 1;
    state.notify_one();
    thread.join();
    CHECK(state == 2);
    CHECK(!semaphore.try_acquire_for(1ms));
    CHECK(std::thread::hardware_concurrency() >= 1);
}

}  // namespace

void check_threads() {
    CHECK(fresh());
    check_many_threads();
    check_waiting();
    check_futures();
    check_locks();
    check_newer_ones();
}
