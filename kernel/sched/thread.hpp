// Threads: preemptive, fixed priorities with round robin inside one, in the single address space.
#pragma once

#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "lib/function_ref.hpp"
#include "lib/result.hpp"
#include "lib/time.hpp"

namespace ringlet::kernel {

class Thread;

struct ThreadConfig {
    std::string_view name;      ///< copied, at most 15 characters
    u8 priority = 16;           ///< 0 (idle) .. 31 (most urgent)
    usize stack_bytes = 32768;  ///< rounded up to pages; a guard page lies below
};

/// Joins on destruction unless detached. Context: thread.
class ThreadHandle {
public:
    ThreadHandle() = default;
    static Result<ThreadHandle> spawn(const ThreadConfig& config, void (*entry)(void*), void* arg);
    /// Runs `body()` on the new thread; `body` is moved to the heap and destroyed there.
    template <class F> static Result<ThreadHandle> spawn(const ThreadConfig& config, F body) {
        std::unique_ptr<F> owned(new (std::nothrow) F(std::move(body)));
        if (!owned) return fail(Error::no_memory);
        auto handle = spawn(
            config, [](void* p) { (*std::unique_ptr<F>(static_cast<F*>(p)))(); }, owned.get());
        if (handle) owned.release();
        return handle;
    }
    ThreadHandle(ThreadHandle&& o) noexcept : thread_(std::exchange(o.thread_, nullptr)) {}
    ThreadHandle& operator=(ThreadHandle&& o) noexcept {
        std::swap(thread_, o.thread_);
        return *this;
    }
    ~ThreadHandle() {
        if (thread_ != nullptr) join();
    }
    void join();
    void detach();

private:
    explicit ThreadHandle(Thread* t) : thread_(t) {}
    Thread* thread_ = nullptr;
};

void yield();
void sleep_until(Instant when);
void sleep_for(Duration d);
/// Ends the calling thread (not "main") where it stands: objects on its stack are not destroyed.
[[noreturn]] void exit_thread();
/// What each thread does at its end, on its own stack: destroys what is thread_local. Set once, before there are threads
/// that need it.
void set_thread_exit_step(void (*step)());

/// Turns the boot context into the first thread (name "main"), starts the idle thread, enables preemption.
Result<> scheduler_init();

struct ThreadInfo {
    u32 id = 0;
    char name[16] = {};
    std::string_view state;  ///< "running", "ready", "waiting", "sleeping", "exited"
    u8 priority = 0;
    u64 cpu_time_ns = 0;
    u64 switches = 0;
    usize stack_bytes = 0;
};
void for_each_thread(FunctionRef<void(const ThreadInfo&)> visit);
/// Nanoseconds that the calling thread has run.
u64 own_cpu_time_ns();
/// Nanoseconds for which the CPU had nothing to run: halted, on whatever stack.
u64 idle_time_ns();

}  // namespace ringlet::kernel
