// kernel/sched/thread.hpp with std::thread. Priorities mean nothing here.
#include "kernel/sched/thread.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "arch/host/seams/wait.hpp"
#include "lib/assert.hpp"

namespace ringlet::kernel {

namespace {
struct ExitThread {};
std::thread* as_std(Thread* t) {
    return reinterpret_cast<std::thread*>(t);
}
}  // namespace

Result<ThreadHandle> ThreadHandle::spawn(const ThreadConfig&, void (*entry)(void*), void* arg) {
    auto* thread = new std::thread([entry, arg] {
        try {
            entry(arg);
        } catch (const ExitThread&) {
        }
    });
    return ThreadHandle(reinterpret_cast<Thread*>(thread));
}

void ThreadHandle::join() {
    ASSERT(thread_ != nullptr);
    as_std(thread_)->join();
    delete as_std(std::exchange(thread_, nullptr));
}

void ThreadHandle::detach() {
    ASSERT(thread_ != nullptr);
    as_std(thread_)->detach();
    delete as_std(std::exchange(thread_, nullptr));
}

void yield() {
    std::this_thread::yield();
}

void sleep_until(Instant when) {
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock lock(mutex);
    host::wait(lock, never, when, [] { return false; });
}

void sleep_for(Duration d) {
    sleep_until(arch::monotonic_now() + d);
}
void exit_thread() {
    throw ExitThread();
}
Result<> scheduler_init() {
    return {};
}
void for_each_thread(FunctionRef<void(const ThreadInfo&)>) {}
u64 idle_time_ns() {
    return 0;
}

}  // namespace ringlet::kernel
