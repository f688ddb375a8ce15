// A sleeping lock for threads, with priority hand-over in FIFO order inside a priority. Not recursive.
// Link seam like event.hpp (the host version is a std::mutex).
#pragma once

#include "kernel/sync/lock.hpp"
#include "kernel/sched/wait_list.hpp"

namespace ringlet::kernel {

class Mutex {
public:
    Mutex() = default;
    Mutex(const Mutex&) = delete;
    void acquire(Rank rank);
    void release(Rank rank);

private:
    WaitList waiters_;
    Thread* owner_ = nullptr;
};

}  // namespace ringlet::kernel
