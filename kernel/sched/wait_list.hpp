// The list of threads that wait for something: the base of Mutex and WaitQueue. Used by kernel/sched alone.
#pragma once

namespace ringlet::kernel {

class Thread;

struct WaitList {
    Thread* head = nullptr;  ///< most urgent first, FIFO inside one priority
};

}  // namespace ringlet::kernel
